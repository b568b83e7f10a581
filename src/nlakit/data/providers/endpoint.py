"""The teacher behind an endpoint: asks a language model to explain contexts (:mod:`nlakit.data.instruction`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from nlakit.config import AnnotateConfig
from nlakit.data.instruction import INSTRUCTION, explain_reply, instruct
from nlakit.data.providers.asker import EndpointAsker
from nlakit.data.providers.wire import EndpointOptions, Wire
from nlakit.data.teachers import Context, Plan
from nlakit.explanations import Explanation
from nlakit.validation import validated


class EndpointTeacher:
    """A language model behind an endpoint, in the format of a wire.

    Raises :class:`~nlakit.errors.ConfigError` for wrong options, and what
    :class:`~nlakit.data.providers.asker.EndpointAsker` raises.
    """

    def __init__(self, wire: Wire, config: AnnotateConfig) -> None:
        options = validated(EndpointOptions, dict(config.options), "annotate.options")
        self._asker = EndpointAsker(wire, options, config.calls, wording=INSTRUCTION)
        self.name, self.batch_rows = wire.name, self._asker.batch_rows

    def fingerprint(self) -> str:
        """Hash the format, the address, the wording and the options."""
        return self._asker.fingerprint()

    def record(self) -> dict[str, Any]:
        """Say who was asked and how."""
        return self._asker.record()

    def check(self) -> None:
        """Raise ConfigError for a missing key and MissingExtraError for a missing package."""
        self._asker.check()

    def plan(self, contexts: Iterable[Context], answers: Path | None) -> Plan:
        """Count the requests without an answer in the folder ``answers``, and keep new answers there."""
        return self._asker.plan(map(instruct, contexts), answers)

    def receipt(self) -> str:
        """Say what all answers that are kept have used."""
        return self._asker.receipt()

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        """Return an explanation for each context, asking for those that have no answer yet.

        Raises :class:`~nlakit.errors.EndpointError` when the endpoint refuses or is silent, and
        :class:`~nlakit.errors.SpendingError` at a cap; what was answered until then is kept.
        """
        return [explain_reply(reply) for reply in self._asker.ask([instruct(context) for context in contexts])]
