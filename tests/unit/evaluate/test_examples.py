"""The documents that the report shows."""

from __future__ import annotations

from nlakit.evaluate.claims import JudgedClaim
from nlakit.evaluate.examples import outcome_counts, shown_claims, spread
from nlakit.truth import Claim, Verdict


def judged(words: str) -> JudgedClaim:
    return JudgedClaim(0, Claim("animal", "cat", "entity", words), Verdict.TRUE, None)


def test_rows_are_spread_over_the_document() -> None:
    """Three of seven rows, the last among them; all where there are few."""
    assert spread([0, 1, 2, 3, 4, 5, 6], 3) == [1, 3, 6]
    assert spread([4, 9], 3) == [4, 9]


def test_claims_are_found_in_their_order() -> None:
    """The same words said twice are two places."""
    found = shown_claims("a cat and a cat", [judged("a cat"), judged("and"), judged("a cat")])
    assert [(claim.start, claim.end) for claim in found] == [(0, 5), (6, 9), (10, 15)]


def test_words_that_are_not_in_the_text_are_listed_only() -> None:
    """A plugin that paraphrases its claims colours nothing."""
    assert [(c.start, c.end) for c in shown_claims("a dog", [judged("the cat")])] == [(0, 0)]


def test_outcomes_are_counted() -> None:
    """Usable outputs come first."""
    assert list(outcome_counts(["cut_off", "ok", "empty", "ok"]).items()) == [("ok", 2), ("cut_off", 1), ("empty", 1)]
