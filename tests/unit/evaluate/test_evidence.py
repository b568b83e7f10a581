"""Claims judged by words or by a model, and the text they are held against."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.data.providers.server import Asked, Endpoint, anthropic, serving
from tests.unit.evaluate import toy

from nlakit.claims.anytext import FrameReader
from nlakit.claims.evidence import Evidence
from nlakit.config import AskConfig, EvaluateConfig
from nlakit.data.providers import client
from nlakit.errors import ConfigError, SpendingError
from nlakit.evaluate import evidence, runner
from nlakit.evaluate.claims import JudgedClaim
from nlakit.evaluate.evidence import (
    Finding,
    Judged,
    judge_by_model,
    judge_by_words,
    judgements_table,
    surroundings,
    truth_of,
)
from nlakit.explanations import Explanation, Outcome
from nlakit.models.target import Target
from nlakit.progress import Progress
from nlakit.truth import Verdict

EXPLANATIONS = [Explanation("Anna sings."), Explanation("cut", Outcome.CUT_OFF), Explanation("Tom sleeps.")]
TEXTS = [Evidence("Anna sings", " now"), Evidence("", ""), Evidence("Tom rows", "")]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    with serving() as found:
        found.answer = lambda asked, n: anthropic(told(asked))
        yield found


def told(asked: Asked) -> str:
    """One claim, true where the passage holds all the words of the description, and one of no level; no judgement of Tom."""
    passage, description = (asked.prompt.split(f"<{tag}>\n")[1].split("\n</")[0] for tag in ("passage", "description"))
    if description.startswith("Tom"):
        return "I would rather not."
    verdict = "true" if description.rstrip(".") in passage else "unrelated"
    return json.dumps([{"claim": description, "level": level, "verdict": verdict} for level in ("entity", "scene")])


def bench_of(endpoint: Endpoint, *, yes: bool = True, answers: Path | None = None) -> Any:
    judge = AskConfig(teacher="anthropic", options={"model": "m", "base_url": endpoint.url})
    return SimpleNamespace(
        explanations=EXPLANATIONS,
        config=EvaluateConfig(judge=judge),
        progress=Progress(silent=True, yes=yes),
        answers=answers,
    )


def test_words_judge_what_parsed() -> None:
    """Each claim of an explanation that parsed is held against the text of its own row."""
    judged = judge_by_words(FrameReader({}), EXPLANATIONS, TEXTS)
    assert judged.findings == [
        Finding(0, "Anna sings", "theme", Verdict.TRUE),
        Finding(2, "Tom sleeps", "theme", Verdict.RELATED),
    ]
    assert judged.read == [True, True]


def test_a_model_judges_each_explanation_against_each_text(endpoint: Endpoint, tmp_path: Path) -> None:
    """Judgements come by text; one that cannot be read is counted, makes no claim, and is kept like the others."""
    own, other = judge_by_model(bench_of(endpoint, answers=tmp_path), [TEXTS, TEXTS[::-1]])
    assert own.findings == [Finding(0, "Anna sings.", "entity", Verdict.TRUE)]
    assert other.findings == [Finding(0, "Anna sings.", "entity", Verdict.UNRELATED)]
    assert own.read == other.read == [True, False]
    assert own.faults == other.faults == {"no_list": 1}
    assert own.skipped == other.skipped == {"unknown_level": 1}
    assert len(endpoint.asked) == 4
    judge_by_model(bench_of(endpoint, yes=False, answers=tmp_path), [TEXTS, TEXTS[::-1]])
    assert len(endpoint.asked) == 4


def test_the_table_says_what_was_not_read_and_why() -> None:
    """One line a text: replies, those that were read, and by reason what was not, the most frequent first."""
    findings = [Finding(0, "Anna", "entity", Verdict.TRUE)]
    faults, skipped = Counter(refused=1, no_list=2), Counter(unknown_level=3)
    own = Judged(findings, [True, False, False, False], faults, skipped)
    assert judgements_table(own, Judged(findings * 4, [True] * 4)).rows == (
        ("its own", 4, 1, "2 no list, 1 refused", 1, "3 unknown level"),
        ("another document's", 4, 4, "", 4, ""),
    )
    assert len(judgements_table(own, None).rows) == 1


@pytest.mark.parametrize(
    ("words", "true"),
    [
        ("about Animal cat", None),  # the toy's reader knows small letters alone, and the words stand nowhere
        ("The text mentions animal cat", True),
        ("colour red", False),
        ("animal cat, colour red", False),
        ("animal dog", None),  # the explanation does not say so
        ("Cat.", True),  # a bobcat and cats are other words
        ("red", None),  # it stands there twice
        ("on", None),  # no value
        ("a red door", None),
        ("", None),
    ],
)
def test_a_judges_claim_is_matched_by_its_words(words: str, true: bool | None) -> None:
    """It speaks of what the reader finds in it and the explanation says too, or else of the one place where its words stand."""
    explanation = "On animal cat, no bobcat of all cats; colour red, and red again."
    reader = toy.ToyTruth()
    verdicts = {"animal": Verdict.TRUE, "colour": Verdict.RELATED}
    claims = [JudgedClaim(0, claim, verdicts[claim.slot], None) for claim in reader.claims(explanation)]
    assert truth_of(words, explanation, claims, reader) is true


def test_nobody_is_asked_without_approval(endpoint: Endpoint) -> None:
    """Where nobody can be asked and --yes is not given, nothing is spent."""
    with pytest.raises(SpendingError, match="nobody approved"):
        judge_by_model(bench_of(endpoint, yes=False), [TEXTS])
    assert not endpoint.asked


def test_a_judge_without_a_key_is_missed_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known to be missing is said at once, where the judge will be asked."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    judge = AskConfig(teacher="openai", options={"model": "m"})
    monkeypatch.setattr(runner.Pair, "from_pretrained", lambda _: pytest.fail("work has begun"))
    with pytest.raises(ConfigError, match=r"evaluate\.judge\.calls\.key_env"):
        runner.evaluate("terrarium", EvaluateConfig(parts=("evidence",), judge=judge))


def test_surroundings_are_what_was_read_and_the_next_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text before a row ends with its token, and that after it begins there; both are of its own document."""
    monkeypatch.setattr(evidence, "FOLLOWING_TOKENS", 5)
    target = Target.load(toy.toy_recipe(tmp_path).target.model)
    documents = tuple(toy.write_document(number) for number in range(2))
    places = [target.tokenizer(d.text, return_offsets_mapping=True)["offset_mapping"] for d in documents]
    last = len(places[0]) - 3
    columns = {"document_id": ["toy-1", "toy-0"], "position": [6, last]}
    bench: Any = SimpleNamespace(
        target=target,
        heldout=SimpleNamespace(document_ids=columns["document_id"], documents=documents, column=columns.__getitem__),
        settings=SimpleNamespace(extract=SimpleNamespace(max_tokens=512)),
    )
    (_, begin), (_, end) = places[1][6], places[1][11]
    assert surroundings(bench) == [
        Evidence(documents[1].text[:begin], documents[1].text[begin:end]),
        Evidence(documents[0].text[: places[0][last][1]], documents[0].text[places[0][last][1] :]),
    ]
