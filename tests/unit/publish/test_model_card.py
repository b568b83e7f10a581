"""The model card: it says what the pair's own card says, and where that says nothing, that nothing is known."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from tests.unit.evaluate.fabricated import measures

from nlakit.card import Card, Measure
from nlakit.models.pair import load_card
from nlakit.publish.base import Base
from nlakit.publish.model_card import model_card
from nlakit.testing import tiny_pair

BASE = Base(True, None, {"license": "apache-2.0"}, "the model card of some/model")
DATA = {
    "corpus": {"name": "jsonl", "path": "notes.jsonl", "documents": 1234, "seed": 0, "options": {}},
    "corpus_fingerprint": "c0ffee",
    "extract": {
        "rows_per_document": 5,
        "min_position": 8,
        "split": {"av": 0.25, "ar": 0.25, "rl": 0.4, "heldout": 0.1},
    },
    "annotate": {"teacher": "anthropic", "options": {"model": "m-1", "temperature": 1.0}},
    "teacher": {"model": "m-1", "endpoint": "https://api.example.com", "instruction": "Say it."},
    "seed": 3,
}
MEASURED = {"rows": 1000, "documents": 214, "seed": 7, "max_new_tokens": 48, "left_out": {}, "nlakit": "0.1.0"}


def card(**changes: Any) -> Card:
    """A tiny pair's card as if it had been trained and measured; ``changes`` replace fields."""
    known = tiny_pair().card
    target = known.target.model_copy(update={"model": "some/model", "revision": "abc"})
    training = {
        "warm_start": {
            "settings": {
                "verbalizer_epochs": 2.0,
                "reconstructor_epochs": 1.0,
                "batch_size": 64,
                "optimizer": "muon",
            },
            "figures": {"rows_av": 11_111, "rows_ar": 22_222},
        },
        "train": {
            "settings": {"steps": 400, "prompts_per_step": 32, "group_size": 8},
            "figures": {"best_step": 325},
        },
    }
    full = {"target": target, "data": DATA, "training": training, "results": measures(), "measured": MEASURED}
    return known.model_copy(update=full | changes)


def parts(text: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the metadata and the sections by their headings."""
    _, head, body = text.split("---\n", 2)
    pieces = re.split(r"^##? (.*)\n", body, flags=re.MULTILINE)
    return yaml.safe_load(head), dict(zip(pieces[1::2], pieces[2::2], strict=True))


def test_the_metadata_is_what_the_hub_reads() -> None:
    """Licence, base model, library, tags, and results with their intervals."""
    head, _ = parts(model_card(card(), BASE, repository="me/my-pair"))

    assert ("apache-2.0", "some/model", "finetune") == (
        head["license"],
        head["base_model"],
        head["base_model_relation"],
    )
    assert ("nlakit", "text-generation") == (head["library_name"], head["pipeline_tag"])
    assert "natural-language-autoencoder" in head["tags"]
    index = head["model-index"][0]
    found = {metric["type"]: metric for metric in index["results"][0]["metrics"]}
    assert ("my-pair", "heldout") == (index["name"], index["results"][0]["dataset"]["split"])
    assert {"fve", "fve_greedy", "claims_true"} == set(found)
    fve = measures()["fve"]
    assert (fve.value, {"low": fve.low, "high": fve.high, "n": fve.n}) == (found["fve"]["value"], found["fve"]["args"])


def test_adapters_and_datasets_of_the_hub_are_named_as_such() -> None:
    """A pair of adapters declares itself one and needs the extra; a dataset of the Hub is linked."""
    corpus = {**DATA["corpus"], "name": "datasets", "path": None, "options": {"name": "someone/texts"}}
    text = model_card(card(data={**DATA, "corpus": corpus}), BASE, repository="me/my-pair", adapters=True)
    head, sections = parts(text)

    assert ("adapter", ["someone/texts"]) == (head["base_model_relation"], head["datasets"])
    assert "pip install 'nlakit[lora]'" in sections["How to use it"]
    assert "adapters on the weights" in sections["Licence"]


def test_every_measure_stands_there_with_its_interval_and_where_it_comes_from() -> None:
    """Split, rows, documents, seed and version stand above a table of all measures."""
    _, sections = parts(model_card(card(), BASE))
    section = sections["What was measured"]

    assert "On 1,000 rows of 214 documents of the split `heldout`" in section
    assert "seed 7, by nlakit 0.1.0" in section
    for name in measures():
        assert f"(`{name}`) |" in section
    assert "| round trip (`fve`) | 0.873 | 0.861 to 0.884 | 1,000 | heldout |" in section
    assert "nats a token (`cross_entropy_true`)" in section
    assert "* Not measured: `fve_gain` (no reason was recorded)." in section


def test_how_far_to_trust_it_follows_from_the_numbers() -> None:
    """Each kind of claim is graded as the report grades it; other numbers give other words."""
    _, sections = parts(model_card(card(), BASE))
    claims, trust = sections["Whether the claims are true"], sections["How far to trust it"]

    assert (
        "| themes | 86\u00a0% (83\u00a0% to 89\u00a0%) | 92\u00a0% (90\u00a0% to 94\u00a0%) | 1,010 | believe |"
        in claims
    )
    assert "* Themes: believe." in trust
    assert "* Entities: a guess." in trust
    assert "A control fails" not in trust

    worse = measures()
    worse["claims_true_theme"] = Measure(value=0.3, low=0.2, high=0.4, n=10, split="heldout")
    worse["fve_shuffled"] = Measure(value=0.87, low=0.86, high=0.88, n=1000, split="heldout")
    text = model_card(card(results=worse), BASE)
    assert "* Themes: a guess." in text
    assert "**A control fails:** FVE 0.87 from another document's explanation" in text
    assert "this pair is broken" in text.split("## What it reads")[0]


def test_what_was_not_measured_is_said_to_be_so() -> None:
    """Without truth, the reason stands there; without any measure, nothing else is claimed."""
    known = {name: measure for name, measure in measures().items() if not name.startswith(("claims", "facts"))}
    reason = "the corpus 'jsonl' does not know what is true"
    measured = {**MEASURED, "left_out": dict.fromkeys(("claims_true", "claims_held"), reason)}
    _, sections = parts(model_card(card(results=known, measured=measured), BASE))
    assert f"This was **not measured**, because {reason}." in sections["Whether the claims are true"]
    assert f"`claims_true`, `claims_held` ({reason})" in sections["What was measured"]
    assert "Whether its claims are true" in sections["What is not known"]

    text = model_card(card(results={}, measured={}), BASE)
    head, sections = parts(text)
    assert "model-index" not in head
    assert sections["What was measured"].strip().startswith("Nothing.")
    assert "**Nothing was measured: take every explanation as a guess.**" in text
    assert "FVE 0" not in text


def test_a_measure_without_a_value_is_no_number() -> None:
    """A share of nothing, as when no claim was made, is listed as not measured."""
    found = {**measures(), "claims_true": Measure(value=None, n=0, split="heldout")}
    head, sections = parts(model_card(card(results=found), BASE))

    assert "claims_true" not in str(head)
    assert "**not measured**" in sections["Whether the claims are true"]
    assert "None" not in sections["What was measured"]


def test_how_it_was_made_is_read_from_the_card() -> None:
    """Corpus, rows, teacher, both trainings and seed; what is not recorded is said to be so."""
    _, sections = parts(model_card(card(), BASE))
    section = sections["How it was made"]
    for words in (
        "`jsonl`, `notes.jsonl`, at most 1,234 documents; fingerprint `c0ffee`",
        "5 a document, from token 8 on; documents are split av 25 %",
        "`anthropic` (model m-1, endpoint https://api.example.com, temperature 1.0)",
        "verbalizer: 11,111 rows, 2 passes; reconstructor: 22,222 rows, 1 passes",
        "400 steps of 32 vectors with 8 explanations each; the weights of step 325 are kept",
        "| seed | 3 |",
    ):
        assert words in section
    assert "`notes.jsonl` is a file of whoever trained it" in sections["What is not known"]

    only_warm = {"warm_start": card().training["warm_start"]}
    assert "none: these are the weights of the warm start" in model_card(card(training=only_warm), BASE)
    _, bare = parts(model_card(card(training={}, data={}), BASE))
    assert 6 == bare["How it was made"].count("not recorded")
    assert "How it was trained." in bare["What is not known"]


def test_an_unknown_licence_is_a_warning_and_a_known_one_has_its_source() -> None:
    """Nobody reads a licence into a pair whose base has none that is known."""
    head, sections = parts(model_card(card(), Base(True)))
    assert "unknown" == head["license"]
    assert "**Which licence that is, is unknown here**: look it up" in sections["Licence"]
    assert "The licence of the target." in sections["What is not known"]

    named = {"license": "other", "license_name": "qwen", "license_link": "https://example.com/l"}
    head, sections = parts(model_card(card(), Base(True, None, named, "the model card of some/model")))
    assert named.items() <= head.items()
    assert "It is `qwen` ([text](https://example.com/l)), as the model card of some/model says." in sections["Licence"]


def test_a_target_that_a_package_installs_is_no_base_model_of_the_hub() -> None:
    """The metadata names no base model that the Hub could not find."""
    target = card().target.model_copy(update={"model": "terrarium", "revision": None})
    text = model_card(card(target=target), Base(False, "nlakit", {"license": "apache-2.0"}, "the package nlakit"))
    head, sections = parts(text)

    assert "base_model" not in head
    assert "comes with the package `nlakit`" in sections["What it reads"]
    assert "as the package nlakit says" in sections["Licence"]


def test_what_is_missing_on_a_card_is_listed() -> None:
    """A target without commit or fingerprint, statistics that are not there, an evaluation without its seed."""
    known = card()
    target = known.target.model_copy(update={"revision": None})
    listed = model_card(card(target=target, measured={}), BASE).split("## What is not known")[1]
    assert "Which commit of the target" in listed
    assert "The seed and the documents of the evaluation" in listed

    unfingered = known.target.model_copy(update={"fingerprint": None, "n_layers": None})
    text = model_card(card(target=unfingered, stats=None, results={}), BASE)
    assert "no fingerprint was recorded" in text
    assert "`Pair.with_statistics`" in text
    assert "is refused when it is loaded" not in text


def test_a_conversion_names_where_it_comes_from() -> None:
    """A released pair that was saved in our layout tells of its repositories."""
    half = {"name": "kitft/x-av", "commit": "abc123", "side_file": {}}
    text = model_card(card(source={"format": "nla_meta", "verbalizer": half, "reconstructor": half}), BASE)

    assert "a conversion of `kitft/x-av` (abc123)" in text


def test_text_from_a_card_does_not_break_the_tables() -> None:
    """Bars and line ends in options stay inside their cell."""
    data = {**DATA, "annotate": {"teacher": "mine", "options": {"a": "x|y\nz"}}, "teacher": {}}

    assert "`mine` (a x\\|y z) |" in model_card(card(data=data), BASE)


@pytest.mark.parametrize("word", ["None", "nan", "{", "not recorded"])
def test_the_shipped_pair_has_a_page_without_gaps(word: str) -> None:
    """Nothing of the shipped pair is left to chance, except the seed of an evaluation from before that was kept."""
    shipped = load_card("terrarium")
    text = model_card(shipped, Base(False, "nlakit", {"license": "apache-2.0"}, "the package nlakit"))
    found = text.split("---\n", 2)[2].replace("seed not recorded", "")

    assert word not in found
