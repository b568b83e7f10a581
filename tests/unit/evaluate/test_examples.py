"""The documents that the report shows."""

from __future__ import annotations

from nlakit.evaluate.claims import JudgedClaim
from nlakit.evaluate.examples import outcome_counts, shown_claims, spread
from nlakit.truth import Claim, Verdict


def judged(words: str, start: int) -> JudgedClaim:
    claim = Claim("animal", "cat", "entity", words, start, start, start + len(words))
    return JudgedClaim(0, claim, Verdict.TRUE, None)


def test_rows_are_spread_over_the_document() -> None:
    """Three of seven rows, the last among them; all where there are few."""
    assert spread([0, 1, 2, 3, 4, 5, 6], 3) == [1, 3, 6]
    assert spread([4, 9], 3) == [4, 9]


def test_claims_are_shown_where_they_stand() -> None:
    """The same words said twice are two places."""
    found = shown_claims([judged("a cat", 0), judged("and", 6), judged("a cat", 10)])
    assert [(claim.start, claim.end) for claim in found] == [(0, 5), (6, 9), (10, 15)]


def test_outcomes_are_counted() -> None:
    """Usable outputs come first."""
    assert list(outcome_counts(["cut_off", "ok", "empty", "ok"]).items()) == [("ok", 2), ("cut_off", 1), ("empty", 1)]
