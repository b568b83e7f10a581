"""The rule that recommends a layer, on tables small enough to read, and the truth held against it."""

from __future__ import annotations

import pytest

from nlakit.card import Measure
from nlakit.errors import InputError
from nlakit.evaluate.layers.choice import MATTERS, LayerLine, check, recommend

Number = float | tuple[float, float, float] | None


def measure(number: Number) -> Measure:
    value, low, high = number if isinstance(number, tuple) else (number, number, number)
    return Measure(value=value, low=low, high=high, n=10, split="asked")


def table(
    context: list[float], behind: list[Number], fve: list[Number] | None = None, layers: list[int] | None = None
) -> list[LayerLine]:
    count = len(context)
    fve = [0.5] * count if fve is None else fve
    return [
        LayerLine(
            layer,
            (layer + 1) / count,
            {
                "context": measure((context[row], context[row] - 0.1, context[row] + 0.1)),
                "context_behind": measure(behind[row]),
                "fve_text": measure(fve[row]),
            },
        )
        for row, layer in enumerate(range(count) if layers is None else layers)
    ]


def test_the_layer_that_knows_most_is_recommended() -> None:
    """A layer that is clearly ahead wins wherever it lies, with the gap to the next in the reason."""
    found = recommend(
        table([0.1, 0.6, 0.2, 0.3, 0.2, 0.1], [(0.5, 0.4, 0.6), 0.0, 0.4, (0.3, 0.25, 0.35), 0.4, 0.5]), 6
    )

    assert (1, True, (1,)) == (found.layer, found.separated, found.contenders)
    assert "Layer 1 knows most of what stands around its token (0.60, 0.50 to 0.70)" in found.reason
    assert "layer 3, the next, is 0.30 behind (0.25 to 0.35)" in found.reason


def test_layers_that_cannot_be_told_apart_are_named_and_depth_decides() -> None:
    """Within an interval that reaches down to what matters, the nearest to two thirds of the depth is taken."""
    near = (0.05, MATTERS - 0.01, 0.1)
    found = recommend(table([0.5] * 6, [near, near, near, near, 0.0, 0.3]), 6)

    assert (3, False, (0, 1, 2, 3, 4)) == (found.layer, found.separated, found.contenders)
    assert "Layers 0, 1, 2, 3 and 4 know about as much" in found.reason
    assert "no gap above 0.02 is shown" in found.reason
    assert "Layer 3 is the nearest of them to two thirds of the depth" in found.reason


def test_a_gap_too_small_to_matter_decides_nothing() -> None:
    """A difference that is sure, and smaller than what matters, leaves a layer in the race."""
    small, large = MATTERS / 2, MATTERS * 2
    inside = recommend(table([0.5] * 6, [0.0, 0.5, 0.5, (small, small, small), 0.5, 0.5]), 6)
    outside = recommend(table([0.5] * 6, [0.0, 0.5, 0.5, (large, large, large), 0.5, 0.5]), 6)

    assert (3, 0) == (inside.layer, outside.layer)


def test_among_equals_text_must_carry_the_layer() -> None:
    """Of layers that know alike, one whose FVE is below the interval of the best is not taken, however deep it lies."""
    found = recommend(table([0.5] * 6, [0.0] * 5 + [0.5], [0.2, (0.6, 0.55, 0.65), 0.56, 0.4, 0.4, 0.9]), 6)

    assert 2 == found.layer
    assert "Of these, layers 1 and 2 are carried best by text (FVE 0.60, 0.55 to 0.65, 0.56" in found.reason


def test_the_last_block_wins_only_when_no_other_comes_near() -> None:
    """As one of several it is left out and the reason says so; alone it is recommended, with a warning."""
    among = recommend(table([0.5] * 3, [0.5, 0.0, 0.0]), 3)
    alone = recommend(table([0.1, 0.1, 0.5], [0.4, 0.4, 0.0]), 3)

    assert (1, 2) == (among.layer, alone.layer)
    assert "The last block is left out" in among.reason
    assert "the last block, which only the output layer reads; no other comes near" in alone.reason


def test_of_two_layers_equally_near_the_cheaper_is_taken() -> None:
    """Layers 2 and 4 of nine blocks, whose two thirds are layer 5, are no tie; 4 and 6 are, and 4 runs fewer blocks."""
    found = recommend(table([0.5] * 2, [0.0, 0.0], layers=[4, 6]), 9)

    assert 4 == found.layer


def test_without_measures_depth_alone_decides() -> None:
    """Too few rows for any probe is said, and the paper's depth is taken."""
    lines = [
        LayerLine(
            layer,
            0.0,
            {"context": measure(None), "context_behind": measure(None), "fve_text": measure((0.1, 0.0, 0.2))},
        )
        for layer in range(6)
    ]

    found = recommend(lines, 6)

    assert 3 == found.layer
    assert "too few rows" in found.reason


def test_layers_that_know_nothing_are_said_to() -> None:
    """A best share whose interval reaches 0 is not sold as knowledge."""
    found = recommend(table([0.05, 0.02, 0.04], [0.0, 0.0, 0.0]), 3)

    assert 1 == found.layer
    assert "No layer is shown to know more" in found.reason


def test_one_layer_is_recommended_for_want_of_others() -> None:
    """A sweep of one layer says that there was nothing to compare."""
    assert "the only one" in recommend(table([0.5], [0.0], layers=[2]), 9).reason


def test_no_line_is_an_error() -> None:
    """A table without lines has no layer to recommend."""
    with pytest.raises(InputError, match="no layer was measured"):
        recommend([], 4)


def facts(shares: list[float], behind: list[Number]) -> list[LayerLine]:
    return [
        LayerLine(layer, 0.0, {"facts": measure((share, share - 0.02, share + 0.02)), "facts_behind": measure(gap)})
        for layer, (share, gap) in enumerate(zip(shares, behind, strict=True))
    ]


@pytest.mark.parametrize(
    ("recommended", "agrees", "words"),
    [
        (1, True, "layer 1 holds most of the known facts (0.50, 0.48 to 0.52): the recommendation agrees"),
        (2, True, "layer 2 about as many (0.01 behind, −0.02 to 0.04): the recommendation agrees"),
        (0, False, "layer 0 fewer (0.30 behind, 0.25 to 0.35): the recommendation is wrong here"),
    ],
)
def test_the_truth_judges_the_recommendation(recommended: int, agrees: bool, words: str) -> None:
    """It agrees with the best layer and with those that cannot be told from it, and says plainly when it does not."""
    found = check(facts([0.2, 0.5, 0.49], [(0.3, 0.25, 0.35), 0.0, (0.01, -0.02, 0.04)]), recommended)

    assert (1, (1, 2), agrees) == (found.layer, found.contenders, found.agrees)
    assert words in found.verdict
