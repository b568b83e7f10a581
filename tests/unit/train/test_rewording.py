"""Explanations that the reconstructor reads in other words."""

from __future__ import annotations

from collections.abc import Sequence

from nlakit.claims.paraphrasers import Shuffler
from nlakit.paraphrase import Rewording
from nlakit.train.rewording import Reworder

TEXTS = [f"One {n}, two {n}. Three {n}, four {n}." for n in range(200)]


class Shouting:
    def fingerprint(self) -> str:
        return "shouting"

    def reword(self, texts: Sequence[str], how: Rewording, seed: int) -> list[str]:
        return [text.upper() for text in texts]


def test_the_share_is_reworded_and_the_rest_is_not() -> None:
    """About half of the texts, the same ones for the same seed, others for another."""
    half = Reworder(Shouting(), 0.5)
    first, again, other = (half.some(TEXTS, range(200), seed) for seed in (1, 1, 2))
    assert first == again != other
    assert 70 < sum(text.isupper() for text in first) < 130
    assert all(new in (old, old.upper()) for new, old in zip(first, TEXTS, strict=True))


def test_cutting_a_batch_changes_no_text() -> None:
    """What is reworded depends on a text's own key and not on what stands beside it."""
    half = Reworder(Shouting(), 0.5)
    whole = half.some(TEXTS, range(200), 1)
    assert half.some(TEXTS[:50], range(50), 1) + half.some(TEXTS[50:], range(50, 200), 1) == whole


def test_nothing_is_reworded_by_default() -> None:
    """A share of 0 costs nothing and changes nothing."""
    assert Reworder(Shouting(), 0.0).some(TEXTS, range(200), 1) == TEXTS


def test_any_text_can_be_shuffled() -> None:
    """Without a paraphraser the same clauses come in another order."""
    found = Reworder.of("text", 1.0).some(TEXTS, range(200), 1)
    assert isinstance(Reworder.of("text", 1.0).paraphraser, Shuffler)
    assert found != TEXTS
    words = [sorted(text.lower().replace(",", "").replace(".", "").split()) for text in (found[7], TEXTS[7])]
    assert words[0] == words[1]


def test_a_text_that_cannot_be_said_anew_stays() -> None:
    """Where the paraphraser has nothing, the reconstructor reads the text itself."""

    class Silent(Shouting):
        def reword(self, texts: Sequence[str], how: Rewording, seed: int) -> Sequence[str | None]:  # type: ignore[override]
            return [None for _ in texts]

    assert Reworder(Silent(), 1.0).some(TEXTS, range(200), 1) == TEXTS
