"""The registry of measures and what is written from it."""

from __future__ import annotations

import pytest

from nlakit.errors import InternalError
from nlakit.evaluate.definitions.reconstruction import RECONSTRUCTION
from nlakit.evaluate.measures import (
    REGISTRY,
    definition_of,
    format_value,
    in_registry_order,
    metrics_markdown,
    names_that_need,
)

REQUIRED = {
    "fve", "fve_greedy", "fve_warm_start", "fve_gain", "fve_frozen_reconstructor",
    "fve_teacher_text", "fve_mean", "fve_shuffled", "fve_zero_vector",
    "fve_empty_text", "fve_other_text", "parse_rate", "length_tokens", "distinct_texts", "claims_true",
    "claims_true_theme", "claims_true_entity", "claims_true_detail", "claims_related", "claims_per_explanation",
    "claims_held", "facts_mentioned", "cross_entropy_true", "cross_entropy_shuffled",
}  # fmt: skip


def test_every_promised_measure_is_registered() -> None:
    """The names that programs rely on are all there."""
    assert set(REGISTRY) >= REQUIRED


def test_each_definition_is_complete() -> None:
    """A measure comes with a definition, something to hold it against, and its cost."""
    for name, definition in REGISTRY.items():
        assert definition.name == name
        assert all((definition.title, definition.definition, definition.baseline, definition.cost)), name


def test_the_page_has_a_heading_for_every_measure() -> None:
    """The generated documentation lists each measure once, with its definition."""
    page = metrics_markdown()
    for name, definition in REGISTRY.items():
        assert page.count(f"### `{name}`\n") == 1
        assert definition.definition in page
    assert max(len(line) for line in page.splitlines() if not line.startswith(("FVE", "*"))) < 400


def test_an_unknown_measure_is_our_fault() -> None:
    """A name without a definition cannot be printed."""
    with pytest.raises(InternalError, match="'fve_best' has no definition"):
        definition_of("fve_best")


def test_order_is_that_of_the_registry() -> None:
    """Tables list measures in one order, whatever order they were taken in."""
    assert in_registry_order(["claims_true", "fve_mean", "fve"]) == ["fve", "fve_mean", "claims_true"]


def test_needs_are_declared() -> None:
    """What cannot be had without a teacher, a truth or a warm start is known by name."""
    assert names_that_need("warm start", RECONSTRUCTION) == ["fve_warm_start", "fve_gain", "fve_frozen_reconstructor"]
    assert "task_yes_no_warm_start" in names_that_need("warm start")
    assert "cross_entropy_true" in names_that_need("teacher")
    assert {"claims_true", "facts_held"} <= set(names_that_need("truth"))
    assert not {"fve", "parse_rate"} & {name for need in ("truth", "teacher") for name in names_that_need(need)}


@pytest.mark.parametrize(
    ("value", "unit", "fine", "shown"),
    [
        (0.8731, "FVE", False, "0.87"),
        (-0.947, "FVE", True, "−0.947"),
        (0.412, "fraction", False, "41\u00a0%"),
        (0.0061, "fraction", True, "0.6\u00a0%"),
        (31.44, "tokens", False, "31.4"),
        (0.911, "nats/token", False, "0.91"),
    ],
)
def test_values_are_written_by_their_unit(value: float, unit: str, fine: bool, shown: str) -> None:
    """Shares in per cent, lengths with one decimal, the rest with two; one more where asked."""
    assert format_value(value, unit, fine=fine) == shown  # type: ignore[arg-type]
