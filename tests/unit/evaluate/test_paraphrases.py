"""Explanations in other words: who says them, at whose cost, and what comes of a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.claims.bag import BagOfWords
from tests.unit.data.providers.server import Answer, Asked, Endpoint, anthropic, serving
from tests.unit.evaluate.suite.test_words import TEXTS, make_bench

from nlakit.config import AskConfig, EvaluateConfig
from nlakit.data.providers import client
from nlakit.errors import ConfigError, SpendingError
from nlakit.evaluate import runner
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.definitions.words import DEFINITIONS
from nlakit.evaluate.paraphrases import REWORDINGS, Reworded, reword, rewordings_table
from nlakit.evaluate.suite import words
from nlakit.progress import Progress

NAMES = [f"fve_kept_{edit}" for edit in REWORDINGS]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    with serving() as found:
        found.answer = said
        yield found


def said(asked: Asked, _: int) -> Answer:
    """Other words for everything but what is about trees, which is refused."""
    text = asked.prompt.split("<description>\n")[1].split("\n</description>")[0]
    if "tree" in text:
        return anthropic("no", "refusal")
    return anthropic(f"<rewording>{text.replace('It is about', 'This concerns')}</rewording>")


def asking(endpoint: Endpoint, *, yes: bool = True, answers: Path | None = None, **changes: Any) -> Bench:
    """A bench on real text, whose settings name a model."""
    bench = make_bench(corpus="jsonl", **changes)
    model = AskConfig(teacher="anthropic", options={"model": "m", "base_url": endpoint.url})
    bench.config = EvaluateConfig(bootstrap=100, paraphraser=model)
    bench.progress, bench.answers = Progress(silent=True, yes=yes), answers
    return bench


def test_a_model_stands_in_on_real_text(endpoint: Endpoint, tmp_path: Path) -> None:
    """All three measures are taken over what was said anew, refusals are counted in a table, and nothing is paid twice."""
    bench = asking(endpoint, answers=tmp_path)
    words.measure(bench)

    assert {definition.name for definition in DEFINITIONS} == set(bench.found.measures) | set(bench.found.left_out)
    for name in NAMES:
        assert bench.found.measures[name].n == 6
        assert 0.3 < bench.found.measures[name].value < 1
    assert bench.found.tables["rewordings"].rows == tuple((edit, 9, 6, "3 refused") for edit in REWORDINGS)
    assert len(endpoint.asked) == 3 * len(TEXTS)
    again = asking(endpoint, yes=False, answers=tmp_path)
    words.measure(again)
    assert [again.found.measures[name] for name in NAMES] == [bench.found.measures[name] for name in NAMES]
    assert len(endpoint.asked) == 3 * len(TEXTS)


def test_no_model_is_asked_that_nobody_named(endpoint: Endpoint) -> None:
    """By default real text has no paraphraser, whatever is approved, and the reason names the setting."""
    bench = make_bench(corpus="jsonl")
    bench.progress = Progress(silent=True, yes=True)
    assert reword(bench, TEXTS) is None
    words.measure(bench)
    assert "evaluate.paraphraser names no model" in bench.found.left_out["fve_kept_translation"]
    assert not endpoint.asked


def test_nobody_is_asked_without_approval(endpoint: Endpoint) -> None:
    """Where nobody approves the cost, what the model would have said is left out, and the rest is measured."""
    bench = asking(endpoint, yes=False)
    with pytest.raises(SpendingError, match="nobody approved"):
        reword(bench, TEXTS)
    words.measure(bench)
    assert set(NAMES) <= set(bench.found.left_out)
    assert "'anthropic' cannot be asked (nothing was asked" in bench.found.left_out[NAMES[0]]
    assert "fve_kept_shuffle" in bench.found.measures
    assert not endpoint.asked


def test_what_the_reconstructor_cannot_read_is_a_failure(endpoint: Endpoint) -> None:
    """A rewording that the window does not hold is counted and left out; when none is left the reason says why."""
    endpoint.answer = lambda asked, n: anthropic(f"<rewording>{'so it is ' * 10}</rewording>")
    bench = asking(endpoint, reader=BagOfWords(window=20))
    words.measure(bench)
    assert bench.found.left_out[NAMES[0]] == "no rewording can be used (9 too long for the reconstructor)"
    assert bench.found.tables["rewordings"].rows[0] == ("paraphrase_light", 9, 0, "9 too long for the reconstructor")


def test_the_table_says_the_most_frequent_fault_first() -> None:
    """One line an edit, with what was asked, what is used, and why the rest is not."""
    found = Reworded(["a", None, None, None], Counter({"too_short": 1, "refused": 2}))
    assert rewordings_table({"translation": found}).rows == (("translation", 4, 1, "2 refused, 1 too short"),)


def test_a_paraphraser_without_a_key_is_missed_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known to be missing is said at once, where the paraphraser will be asked, and only there."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = AskConfig(teacher="openai", options={"model": "m"})
    monkeypatch.setattr(runner.Pair, "from_pretrained", lambda _: pytest.fail("work has begun"))
    with pytest.raises(ConfigError, match=r"evaluate\.paraphraser\.calls\.key_env"):
        runner.evaluate("terrarium", EvaluateConfig(parts=("words",), paraphraser=model))
    with pytest.raises(pytest.fail.Exception, match="work has begun"):
        runner.evaluate("terrarium", EvaluateConfig(parts=("evidence",), paraphraser=model))


def test_a_run_that_asks_nobody_is_as_before() -> None:
    """A paraphraser that is not named is no setting of a run, and how one is called never is."""
    assert "paraphraser" not in runner._deciding(EvaluateConfig())
    model = AskConfig(teacher="openai", options={"model": "m"})
    named = runner._deciding(EvaluateConfig(paraphraser=model))
    assert named["paraphraser"] == {"teacher": "openai", "options": {"model": "m"}}
