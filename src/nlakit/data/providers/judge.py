"""The judge behind an endpoint: asks a language model which claims a text bears out (:mod:`nlakit.data.judgement`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nlakit.config import JudgeConfig, settings_from
from nlakit.data.judgement import INSTRUCTION, Case, Judgement, instruct, judge_reply
from nlakit.data.providers.asker import Asker
from nlakit.data.providers.wire import AnthropicWire, EndpointOptions, OpenAIWire, Wire
from nlakit.data.teachers import Plan
from nlakit.errors import not_found

TABLE = "evaluate.judge"
"""The table of the settings, for messages."""
WIRES: tuple[type[Wire], ...] = (AnthropicWire, OpenAIWire)


class JudgeOptions(EndpointOptions):
    """``evaluate.judge.options``."""

    max_tokens: int = 1000
    """Longest reply, in tokens (our choice: a list of claims is longer than an explanation)."""


class EndpointJudge:
    """A language model behind an endpoint that judges claims; priced as a teacher is."""

    def __init__(self, config: JudgeConfig) -> None:
        """Raise NotFoundError for an unknown interface, and what an Asker raises for wrong settings."""
        wires = {wire.name: wire for wire in WIRES}
        if config.teacher not in wires:
            raise not_found("judge", config.teacher, wires)
        options = settings_from(JudgeOptions, config.options, f"{TABLE}.options")
        self._asker = Asker(wires[config.teacher](), options, config.calls, wording=INSTRUCTION, table=TABLE)

    def check(self) -> None:
        """Raise ConfigError for a missing key and MissingExtraError for a missing package."""
        self._asker.check()

    def plan(self, cases: Iterable[Case], answers: Path | None) -> Plan:
        """Count the requests without an answer in the folder ``answers``, and keep new answers there."""
        return self._asker.plan(map(instruct, cases), answers)

    def receipt(self) -> str:
        """Say what all answers that are kept have used."""
        return self._asker.receipt()

    def judge(self, cases: Sequence[Case]) -> list[list[Judgement] | None]:
        """Return the judged claims of each case, None where the reply cannot be read as such.

        Raises :class:`~nlakit.errors.EndpointError` when the endpoint refuses or is silent, and
        :class:`~nlakit.errors.SpendingError` at a cap; what was answered until then is kept.
        """
        return list(self._judge(cases))

    def _judge(self, cases: Sequence[Case]) -> Iterator[list[Judgement] | None]:
        for start in range(0, len(cases), self._asker.batch_rows):
            prompts = [instruct(case) for case in cases[start : start + self._asker.batch_rows]]
            yield from map(judge_reply, self._asker.ask(prompts))
