"""What ships in the package works: the target, the pair, and the measures that a user's first command prints."""

from __future__ import annotations

import json

import pytest

from nlakit import Pair
from nlakit.card import Card, Measure
from nlakit.cli import main
from nlakit.models.target import Target
from nlakit.terrarium import BEHAVIOUR_FILE, pair_folder, target_folder
from nlakit.terrarium.behaviour import measure_behaviour
from nlakit.terrarium.families import FAMILIES

PROMISED = {
    "fve",
    "fve_greedy",
    "fve_warm_start",
    "fve_gain",
    "fve_teacher_text",
    "fve_shuffled",
    "fve_zero_vector",
    "fve_empty_text",
    "parse_rate",
    "claims_true",
    "claims_true_theme",
    "claims_true_entity",
    "claims_true_detail",
    "claims_per_explanation",
    "claims_held",
    "facts_mentioned",
}
TEXT = "One morning, Mia put the key in the box. Tom felt sad. Mia went to the park. Where was the key?"


def test_target_and_pair_fit_into_the_package() -> None:
    """Together they take at most 25 MB."""
    files = [file for folder in (target_folder(), pair_folder()) for file in folder.rglob("*") if file.is_file()]

    assert sum(file.stat().st_size for file in files) <= 25e6


def test_the_default_pair_reads() -> None:
    """Without naming a pair, each token of a text gets an explanation with a score."""
    readings = Pair.from_pretrained().read(TEXT, positions=[10, 11, 12], temperature=0)

    assert [reading.token for reading in readings] == [" box", ".", " Tom"]
    assert all(reading.explanations[0].outcome == "ok" for reading in readings)


def test_the_target_knows_its_world() -> None:
    """Its loss is near the world's entropy, and it does what every family asks of it."""
    target = Target.load("terrarium")
    measures = measure_behaviour(target.model, target.tokenizer, documents=20)

    assert 1.0 <= measures["loss_over_entropy"].value < 1.15
    assert min(measures[f"{family}_documents"].value for family in FAMILIES) >= 0.9


def shipped_figures() -> tuple[dict[str, Measure], dict[str, Measure]]:
    """What was measured of the shipped target and of the shipped pair."""
    text = (target_folder() / BEHAVIOUR_FILE).read_text(encoding="utf-8")
    behaviour = {name: Measure.model_validate(measure) for name, measure in json.loads(text).items()}
    return behaviour, Card.load(pair_folder()).results


def test_the_figures_of_the_target_are_good_enough() -> None:
    """Loss within 15 % of the world's entropy, and in each family nine documents of ten with every answer right."""
    behaviour, _ = shipped_figures()

    assert behaviour["loss_over_entropy"].value < 1.15
    assert min(behaviour[f"{family}_documents"].low for family in FAMILIES) >= 0.9


def test_the_figures_of_the_pair_are_good_enough() -> None:
    """Reconstruction that reinforcement learning raised, controls that fail, and a verbalizer that uses its vector."""
    _, results = shipped_figures()

    assert results["fve"].value >= 0.85
    assert results["fve"].low > results["fve_warm_start"].high
    assert results["fve_shuffled"].value <= 0
    assert results["cross_entropy_true"].high < results["cross_entropy_shuffled"].low


@pytest.mark.slow
def test_evaluate_prints_what_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    """`nlakit evaluate --json` prints every promised measure; the vector matters and the controls stay low."""
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "terrarium", "--rows", "100", "--seed", "1", "--json"])
    found = json.loads(capsys.readouterr().out)

    assert stop.value.code in (0, None)
    assert found.keys() >= PROMISED
    assert all(found[name].keys() == {"value", "low", "high", "n", "split"} for name in PROMISED)
    assert found["fve"]["split"] == "heldout"
    assert found["fve"]["value"] > 0.3 > 0 >= found["fve_shuffled"]["value"]
    gain = found["fve"]["value"] - found["fve_warm_start"]["value"]
    assert found["fve_gain"]["value"] == pytest.approx(gain, abs=1e-5)
    assert found["cross_entropy_true"]["high"] < found["cross_entropy_shuffled"]["low"]
