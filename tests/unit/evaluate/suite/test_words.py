"""The part that edits explanations, on a bag of words: what is left of FVE can be foretold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.claims.bag import BagOfWords
from tests.unit.evaluate import toy

from nlakit.claims.exchange import Pool
from nlakit.claims.leverage import Leverage, leverages
from nlakit.config import EvaluateConfig
from nlakit.evaluate import paraphrases
from nlakit.evaluate.bench import Bench, Found
from nlakit.evaluate.definitions.words import DEFINITIONS
from nlakit.evaluate.estimates import Estimator
from nlakit.evaluate.suite import words
from nlakit.explanations import Explanation, Outcome
from nlakit.paraphrase import Rewording
from nlakit.truth import Claim

TRUTHS = [
    {"topic": "animals", "animal": animal, "colour": colour}
    for animal in ("cat", "dog", "tree")
    for colour in ("red", "old", "cold")
]
TEXTS = [
    f"Topic animals, colour {truth['colour']}. It is about animal {truth['animal']}; nothing else." for truth in TRUTHS
]

VARIANCE = 0.8


class Shouter:
    """A paraphraser that keeps meaning lightly, keeps nothing heavily, and translates into nothing known."""

    def fingerprint(self) -> str:
        return "shouter"

    def reword(self, texts: Sequence[str], how: Rewording, seed: int) -> list[str]:
        return [text.upper() if how == "light" else f"{how} {seed % 2}" for text in texts]


def make_bench(
    texts: Sequence[str] = TEXTS, corpus: str = "toy", reader: BagOfWords | None = None, vectors: Any = None
) -> Bench:
    """A bench of one row a text, whose vectors are what a bag of words makes of the truth."""
    bag = reader or BagOfWords()
    vectors_ND = bag.reconstruct(TEXTS[: len(texts)]) if vectors is None else vectors
    documents = [f"d{row}" for row in range(len(texts))]
    truths = [{"facts": truth, "planned": {}} for truth in TRUTHS[: len(texts)]]
    heldout = SimpleNamespace(vectors_ND=vectors_ND, document_ids=documents)
    bench = Bench(
        Path("pair"),
        SimpleNamespace(reconstructor=bag, card=SimpleNamespace(data={})),  # type: ignore[arg-type]
        SimpleNamespace(corpus=SimpleNamespace(name=corpus)),  # type: ignore[arg-type]
        heldout,  # type: ignore[arg-type]
        None,
        EvaluateConfig(bootstrap=100),
        Found(Estimator(100, 0), documents, variance=VARIANCE),
    )
    bench.__dict__["explanations"] = [Explanation(text, Outcome.OK if text else Outcome.EMPTY) for text in texts]
    bench.__dict__["truths"] = truths
    bench.__dict__["checks_N"] = [{} for _ in texts]
    return bench


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    toy.install(monkeypatch)
    monkeypatch.setattr(paraphrases, "paraphraser_of", lambda _: Shouter())
    return make_bench()


def test_every_measure_is_taken_or_left_out_with_a_reason(bench: Bench) -> None:
    """Nothing that is defined goes missing."""
    words.measure(bench)

    assert {definition.name for definition in DEFINITIONS} == set(bench.found.measures) | set(bench.found.left_out)
    assert set(bench.found.left_out) == {"fve_kept_quotes_only", "fve_kept_prose_only"}


def test_claims_are_exchanged_for_what_the_pair_was_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a row that is measured alone has other values too; without them on the card there are none."""
    toy.install(monkeypatch)
    for values, exchanged in (({}, 0), ({"colour": {"blue": 3}, "animal": {"bird": 2}}, 2)):
        bench = make_bench(TEXTS[:1])
        bench.pair.card.data["claims"] = {"values": values}
        words.measure(bench)
        assert bench.found.measures["claim_leverage"].n == exchanged


def test_a_bag_of_words_keeps_what_edits_keep(bench: Bench) -> None:
    """Order costs nothing, a missing half much, another entity some, other words all, and letters large nothing."""
    words.measure(bench)
    kept = {name: found.value for name, found in bench.found.measures.items() if found.value is not None}

    for name in ("shuffle", "shuffle_body", "paraphrase_light"):
        assert kept[f"fve_kept_{name}"] == pytest.approx(1.0, abs=1e-6)
    assert kept["fve_kept_paraphrase_heavy"] < 0.1
    assert kept["fve_kept_translation"] < 0.1
    assert 0.0 < kept["fve_kept_drop_half"] < 0.9
    assert kept["fve_kept_drop_half"] < kept["fve_kept_entity_swap"] < 0.95
    assert bench.found.measures["fve_kept_entity_swap"].n == len(TEXTS)


def test_the_control_of_half_the_clauses_has_as_many_words() -> None:
    """Each text is cut to the length of its half."""
    edited = words.any_edits(TEXTS, 3)

    for text, half, cut in zip(TEXTS, edited["drop_half"], edited["truncated"], strict=True):
        assert half is not None
        assert cut is not None
        assert text.startswith(cut)
        assert len(cut.split()) == len(half.split()) < len(text.split())


def test_leverage_is_in_units_of_var(bench: Bench) -> None:
    """The measures are the mean rises of the error over all claims, divided by Var."""
    words.measure(bench)
    claims_N = [toy.ToyTruth().claims(text) for text in TEXTS]
    pool = Pool.of(claim for claims in claims_N for claim in claims)
    vectors_ND = bench.heldout.vectors_ND
    found = leverages(BagOfWords(), vectors_ND, TEXTS, claims_N, pool, seed=bench.seed("claims"))  # type: ignore[arg-type]
    flat = [leverage for of_row in found for leverage in of_row]

    assert bench.found.measures["claim_drop"].value == pytest.approx(fmean(item.drop for item in flat) / VARIANCE)
    assert bench.found.measures["claim_leverage"].value == pytest.approx(
        fmean(item.swap for item in flat if item.swap is not None) / VARIANCE
    )


def test_leverage_tells_true_from_false(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one colour is said wrong, exchanging it does not hurt on average as exchanging a true one does."""
    toy.install(monkeypatch)
    wrong = [text.replace("red", "cold") for text in TEXTS]
    bench = make_bench(wrong)
    words.measure(bench)
    found = bench.found.measures

    assert found["claim_leverage_true"].value > 0.1 > found["claim_leverage_false"].value
    assert found["claim_leverage_false"].n == 3
    assert found["claim_leverage_true"].n + 3 == found["claim_leverage"].n == found["flip_rate"].n == 18
    assert found["claim_drop"].n == 18
    assert 15 / 18 <= found["flip_rate"].value <= 1.0


def test_a_reconstructor_that_is_deaf_to_values_has_no_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error does not move when a value is exchanged that nobody reads."""
    toy.install(monkeypatch)
    bench = make_bench(reader=BagOfWords(deaf_to=[*toy.ANIMALS, *toy.COLOURS]))
    words.measure(bench)

    assert bench.found.measures["flip_rate"].value == 0.0
    assert bench.found.measures["fve_kept_entity_swap"].value == pytest.approx(1.0)


def test_quotations_are_measured_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only rows that have both quotations and other words count."""
    toy.install(monkeypatch)
    texts = [f'It says "{text}" here.' for text in TEXTS[:4]] + TEXTS[4:]
    bench = make_bench(texts)
    words.measure(bench)
    quotes, prose = (bench.found.measures[f"fve_kept_{name}"] for name in ("quotes_only", "prose_only"))

    assert quotes.n == prose.n == 4
    assert quotes.value > 0.9
    assert prose.value < 0.1


def test_failed_outputs_are_not_edited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row without an explanation has no words to edit and no claim."""
    toy.install(monkeypatch)
    bench = make_bench([*TEXTS[:-1], ""])
    words.measure(bench)

    assert bench.found.measures["fve_kept_shuffle"].n == len(TEXTS) - 1
    assert bench.found.measures["fve_kept_shuffle"].value == pytest.approx(1.0)


def test_nothing_is_kept_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where FVE is not above 0 no share of it is given, and leverage still is."""
    toy.install(monkeypatch)
    bench = make_bench(vectors=-BagOfWords().reconstruct(TEXTS))
    words.measure(bench)

    assert "not clearly above 0" in bench.found.left_out["fve_kept_shuffle"]
    assert "edits" not in bench.found.tables
    assert "claim_leverage" in bench.found.measures


def test_an_edit_of_one_document_alone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rows that can be edited are of one document, that is the reason, and not a low FVE."""
    toy.install(monkeypatch)
    bench = make_bench()
    bench.found.documents_N[:] = ["d0"] * len(TEXTS)
    words.measure(bench)

    assert "all of one document" in bench.found.left_out["fve_kept_shuffle"]


def test_a_corpus_without_plugins_is_edited_claim_by_claim_too() -> None:
    """Where nobody knows the language frames are learnt from the explanations; only what needs truth or other words is left out."""
    texts = [TEXTS[number % len(TEXTS)] for number in range(18)]
    bench = make_bench(texts, corpus="jsonl", vectors=BagOfWords().reconstruct(texts))
    bench.__dict__["truths"] = None
    words.measure(bench)
    found = bench.found

    assert found.left_out.pop("fve_kept_entity_swap") == "no claim about an entity has another value"
    assert set(found.left_out) == {
        *("fve_kept_quotes_only", "fve_kept_prose_only", "claim_leverage_true", "claim_leverage_false"),
        *(f"fve_kept_{edit}" for edit in paraphrases.REWORDINGS),
    }
    assert "nobody paraphrases the corpus 'jsonl'" in found.left_out["fve_kept_paraphrase_heavy"]
    assert "does not know what is true" in found.left_out["claim_leverage_true"]
    assert {"colour _", "it is about animal _"} <= {row[0] for row in found.tables["leverage"].rows}
    assert found.measures["claim_leverage"].value > 0.1


def test_the_table_of_edits_repeats_the_measures(bench: Bench) -> None:
    """One row an edit that was taken, with the interval."""
    words.measure(bench)
    table = bench.found.tables["edits"]

    assert table.heads == ("edit", "FVE kept", "low", "high")
    for edit, value, low, high in table.rows:
        found = bench.found.measures[f"fve_kept_{edit}"]
        assert (value, low, high) == (found.value, found.low, found.high)


def test_the_table_of_leverage_by_hand() -> None:
    """Means by slot in units of Var, the highest first, and slots without another value last."""
    who = Claim("who", "Mia", "entity", "Mia", 0, 0, 3)
    mood = Claim("mood", "sad", "entity", "sad", 0, 0, 3)
    genre = Claim("genre", "story", "theme", "story", 0, 0, 5)
    table = words.leverage_table(
        [
            (genre, Leverage(None, 0.25)),
            (mood, Leverage(0.001, 0.0)),
            (who, Leverage(0.5, 0.5)),
            (who, Leverage(0.0, 0.0)),
        ],
        variance=0.5,
    )

    assert table.rows == (
        ("who", 2, 0.5, 0.5, 0.5),
        ("mood", 1, 0.002, 0.0, 0.0),
        ("genre", 1, None, None, 0.5),
    )
