"""Linear probes as the yardstick of what vectors hold."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from nlakit.claims.probes import MIN_ROWS, NOT_THERE, FactCheck, fit_probes, with_absence
from nlakit.errors import InputError, MissingExtraError


def rows(count: int, seed: int) -> tuple[Tensor, list[dict[str, str]], list[str]]:
    """Vectors that hold ``shown`` in one axis, and not ``hidden``; ``half`` is true on every second row only."""
    generator = torch.Generator().manual_seed(seed)
    vectors_ND = torch.randn((count, 8), generator=generator)
    shown = (torch.rand(count, generator=generator) < 0.5).tolist()
    hidden = (torch.rand(count, generator=generator) < 0.7).tolist()
    vectors_ND[:, 0] = torch.tensor([3.0 if value else -3.0 for value in shown])
    facts = [
        {"shown": "yes" if s else "no", "hidden": "yes" if h else "no"} for s, h in zip(shown, hidden, strict=True)
    ]
    for row in range(0, count, 2):
        facts[row]["half"] = facts[row]["shown"]
    return vectors_ND, facts, [f"{seed}-{row // 2}" for row in range(count)]


def test_probes_find_what_is_there_and_not_what_is_not() -> None:
    """A fact in the vector is held and decoded; one that is not there is decoded at the rate of guessing."""
    probes = fit_probes(*rows(400, 0))
    vectors_ND, facts, _ = rows(300, 1)
    checks = probes.check(vectors_ND, facts)
    assert np.mean([check["shown"].held for check in checks]) > 0.98
    assert np.mean([check["shown"].decoded for check in checks]) > 0.98
    # "yes" is true in seven of ten rows, so its probability is above one half whatever the vector holds.
    assert np.mean([check["hidden"].probability > 0.5 for check in checks]) > 0.6
    assert np.mean([check["hidden"].held for check in checks]) < 0.02
    right = np.mean([check["hidden"].decoded for check in checks])
    guessing = np.mean([check["hidden"].value == check["hidden"].majority for check in checks])
    assert right == pytest.approx(guessing, abs=0.08)


def test_only_true_facts_are_checked() -> None:
    """A slot without truth at a position has no check there."""
    checks = fit_probes(*rows(100, 0)).check(*rows(10, 1)[:2])
    assert [("half" in check) for check in checks] == [True, False] * 5


def test_probabilities_are_scikit_learns() -> None:
    """Coefficients copied out give the probabilities of the fitted model, for two classes and for three."""
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(60, 4))
    for classes in (2, 3):
        values = np.asarray([str(number) for number in generator.integers(0, classes, 60)])
        model = LogisticRegression().fit(inputs, values)
        from nlakit.claims.probes import _to_probe

        probe = _to_probe("slot", Counter(values.tolist()), model)
        assert probe.frequency_C.tolist() == pytest.approx([float(np.mean(values == c)) for c in probe.classes])
        np.testing.assert_allclose(model.predict_proba(inputs), probe.probabilities(inputs), atol=1e-9)


def test_a_value_never_seen_in_training_is_not_held() -> None:
    """A probe cannot vouch for a value it does not know."""
    vectors_ND, facts, documents = rows(200, 0)
    probes = fit_probes(vectors_ND, facts, documents)
    check = probes.check(vectors_ND[:1], [{"shown": "maybe"}])[0]["shown"]
    assert (check.probability, check.held) == (0.0, False)


def test_a_best_guess_is_not_yet_held() -> None:
    """Held means more than half the way from a value's frequency to certainty; the most probable of many may have less."""
    best = FactCheck("place", "park", 0.4, "park", "mill", 0.1)
    assert (best.decoded, best.held) == (True, False)
    assert FactCheck("place", "park", 0.56, "park", "mill", 0.1).held
    assert not FactCheck("place", "park", 0.74, "park", "park", 0.5).held
    assert FactCheck("place", "park", 0.76, "park", "park", 0.5).held


def test_what_stands_in_a_vector_is_listed_and_guesses_are_not() -> None:
    """Values beyond the bound are returned; a frequent value of a slot that the vector does not hold is none."""
    probes = fit_probes(*rows(400, 0))
    vectors_ND, facts, _ = rows(50, 1)
    found = probes.values(vectors_ND, 0.5)
    assert np.mean([values.get("shown") == true["shown"] for values, true in zip(found, facts, strict=True)]) > 0.9
    assert not any("hidden" in values for values in found)


def test_a_rare_slot_gets_no_probe() -> None:
    """With too few rows nothing is fitted, and the fact counts as not held."""
    vectors_ND, facts, documents = rows(100, 0)
    for row in range(MIN_ROWS - 1):
        facts[row]["rare"] = "x" if row % 2 else "y"
    check = fit_probes(vectors_ND, facts, documents).check(vectors_ND[:1], facts[:1])[0]["rare"]
    assert (check.held, check.predicted, check.majority) == (False, None, None)


def test_a_slot_with_one_value_is_always_right() -> None:
    """Where the training knows a single value the probe says it, without a fit."""
    vectors_ND, facts, documents = rows(60, 0)
    facts = [{**row, "world": "round"} for row in facts]
    check = fit_probes(vectors_ND, facts, documents).check(vectors_ND[:1], facts[:1])[0]["world"]
    assert (check.probability, check.predicted) == (1.0, "round")


def test_missing_scikit_learn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the message has the pip command."""
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nlakit\[eval\]'"):
        fit_probes(*rows(40, 0))


def test_arguments_of_different_length_are_refused() -> None:
    """Vectors and facts that do not belong together are not silently cut."""
    vectors_ND, facts, documents = rows(40, 0)
    with pytest.raises(InputError, match="40 vectors, 39 sets of facts and 40 document ids"):
        fit_probes(vectors_ND, facts[:-1], documents)


def test_absence_is_a_value_for_slots_that_are_seen_often_enough() -> None:
    """A row without a value gets the one that says so; a slot with too few values to learn from is not spoken of at all."""
    facts = [{"mood": "sad", "rare": "x"}, *[{"mood": "glad"}] * (MIN_ROWS - 1), {}]
    assert with_absence(facts) == [{"mood": "sad"}, *[{"mood": "glad"}] * (MIN_ROWS - 1), {"mood": NOT_THERE}]
