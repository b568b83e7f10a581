"""Which installed teachers answer any prompt, and what a teacher plugin has to have for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nlakit import plugins
from nlakit.config import AnnotateConfig, AskConfig
from nlakit.data.asking import askable, load_asker
from nlakit.data.instruction import Reply
from nlakit.data.judgement import TABLE, Case, Judgements, ModelJudge
from nlakit.data.teachers import Context, Plan
from nlakit.errors import ConfigError, NotFoundError
from nlakit.explanations import Explanation


class Oracle:
    """One who answers a prompt with the name of the table that asks, and what was asked for."""

    def __init__(self, said: str) -> None:
        self.said = said

    def fingerprint(self) -> str:
        return self.said

    def check(self) -> None:
        pass

    def plan(self, prompts: Iterable[str], answers: Path | None) -> Plan:
        return Plan(0, "free")

    def receipt(self) -> str:
        return ""

    def ask(self, prompts: Sequence[str]) -> list[Reply]:
        return [Reply(self.said, "done") for _ in prompts]


class OracleTeacher:
    """A teacher of a stranger's package, whose class is the entry point."""

    name = "oracle"

    def __init__(self, config: AnnotateConfig) -> None:
        self.config = config

    def fingerprint(self) -> str:
        return "oracle"

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        return [Explanation("It speaks.") for _ in contexts]

    @classmethod
    def asker(cls, config: AskConfig, *, table: str, wording: str, max_tokens: int) -> Oracle:
        return Oracle(f"{table} {wording} {max_tokens}")


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the oracle, and a package whose module is gone."""
    real = plugins._entries
    own = {
        "oracle": EntryPoint("oracle", f"{__name__}:OracleTeacher", plugins.TEACHERS),
        "gone": EntryPoint("gone", "no.such.module:Teacher", plugins.TEACHERS),
    }
    monkeypatch.setattr(plugins, "_entries", lambda group: real(group) | (own if group == plugins.TEACHERS else {}))


def test_the_teachers_behind_endpoints_answer_any_prompt() -> None:
    """Of those that come with nlakit both providers can be asked."""
    assert askable() == ["anthropic", "openai"]


@pytest.mark.usefixtures("oracle")
def test_a_plugin_that_answers_prompts_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher class with ``asker`` is listed, told what it is wanted for, and serves as judge."""
    assert askable() == ["anthropic", "openai", "oracle"]
    asker = load_asker(AskConfig(teacher="oracle"), table=TABLE, wording="Judge!", max_tokens=7)
    assert asker.ask(["a", "b"]) == [Reply("evaluate.judge Judge! 7", "done")] * 2
    monkeypatch.setattr(Oracle, "ask", lambda _, prompts: [Reply("[]", "done") for _ in prompts])
    assert ModelJudge(AskConfig(teacher="oracle")).judge([Case("", "", "")]) == [Judgements([])]


@pytest.mark.usefixtures("oracle")
def test_who_answers_is_said_where_somebody_else_is_named() -> None:
    """A teacher that only explains rows, and a name that nobody has, are refused with the names of those that can."""
    with pytest.raises(ConfigError, match=r"evaluate\.judge\.teacher is 'extractive'.*: anthropic, openai, oracle\."):
        load_asker(AskConfig(teacher="extractive"), table=TABLE, wording="", max_tokens=1)
    with pytest.raises(NotFoundError, match=r"Known: anthropic, openai, oracle\."):
        load_asker(AskConfig(teacher="nobody"), table=TABLE, wording="", max_tokens=1)
    with pytest.raises(ConfigError, match="cannot be imported"):
        load_asker(AskConfig(teacher="gone"), table=TABLE, wording="", max_tokens=1)
