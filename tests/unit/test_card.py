"""The card: written, read and verified against what is live."""

from __future__ import annotations

import re

import pytest
import torch
import yaml
from safetensors.torch import save_file

from nlakit.card import CARD_FILE, STATS_FILE, Card, Measure, TargetRecord
from nlakit.errors import CardError
from nlakit.runs import versions
from nlakit.testing import tiny_pair, tiny_target, tiny_tokenizer


@pytest.fixture(scope="module")
def card():
    return tiny_pair().card


def edited(folder, **changes):
    """Change fields of a saved card; ``None`` removes one."""
    path = folder / CARD_FILE
    content = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))


def test_a_card_reads_as_it_was_written(card, tmp_path):
    """Every field comes back, the mean direction bit for bit."""
    result = Measure(value=0.61, low=0.58, high=0.64, n=100, split="heldout")
    full = card.model_copy(update={"results": {"fve": result}, "training": {"steps": 3}, "data": {"seed": 1}})

    full.save(tmp_path)
    read = Card.load(tmp_path)

    assert full.model_dump() == read.model_dump()
    assert torch.equal(full.stats.mean_D, read.stats.mean_D)
    assert full.stats.variance == read.stats.variance
    assert result == read.results["fve"]


def test_the_mean_is_not_in_the_yaml(card, tmp_path):
    """The card stays readable: vectors are in the tensor file, the variance in the text."""
    content = yaml.safe_load(card.save(tmp_path).read_text())

    assert "stats" not in content
    assert card.stats.variance == content["variance"]
    assert {CARD_FILE, STATS_FILE} == {file.name for file in tmp_path.iterdir()}


def test_versions_and_time_are_recorded(card):
    """A card says which library versions made it and when."""
    assert {"python", "nlakit", "torch", "transformers"} <= set(card.versions)
    assert versions() == card.versions
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", card.created_at)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "schema_version 2, and this nlakit reads 1"),
        ({"schema_version": None}, "schema_version None"),
        ({"injection_scale": -1.0}, "injection_scale: Input should be greater than 0"),
        ({"injection_scale": float("nan")}, "injection_scale"),
        ({"site": None}, "site: Field required"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"variance": None}, "variance None"),
        ({"variance": 0.0}, "variance 0.0"),
        ({"variance": 7.0}, "variance 7.0"),
        ({"prompts": {}}, "prompts.verbalizer: Field required"),
    ],
)
def test_a_damaged_card_is_refused(card, tmp_path, changes, message):
    """Each wrong field is named with what is wrong about it."""
    card.save(tmp_path)
    edited(tmp_path, **changes)

    with pytest.raises(CardError, match=re.escape(message)):
        Card.load(tmp_path)


def test_all_wrong_fields_are_named_together(card, tmp_path):
    """One message lists every problem."""
    card.save(tmp_path)
    edited(tmp_path, site=None, max_new_tokens=0)

    with pytest.raises(CardError, match="(?s)site.*max_new_tokens|max_new_tokens.*site"):
        Card.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not valid YAML"), ("- a\n", "holds list"), ("", "holds NoneType")]
)
def test_a_file_that_is_no_card_is_refused(card, tmp_path, text, message):
    """Broken YAML and other documents give one sentence."""
    card.save(tmp_path)
    (tmp_path / CARD_FILE).write_text(text)

    with pytest.raises(CardError, match=message):
        Card.load(tmp_path)


def test_yaml_cannot_run_code(card, tmp_path):
    """A card with a Python tag is refused, not executed."""
    card.save(tmp_path)
    (tmp_path / CARD_FILE).write_text("!!python/object/apply:os.getcwd []")

    with pytest.raises(CardError, match="not valid YAML"):
        Card.load(tmp_path)


def test_missing_and_damaged_statistics_are_refused(card, tmp_path):
    """No card, no tensor file, a cut-off one, NaN, and a mean of another width: each is a CardError."""
    with pytest.raises(CardError, match="no card.yaml"):
        Card.load(tmp_path)
    card.save(tmp_path)
    stats = tmp_path / STATS_FILE
    for tensors in ({"mean": torch.full((32,), float("nan"))}, {"other": torch.ones(32)}, {"mean": torch.ones(16)}):
        save_file(tensors, stats)
        with pytest.raises(CardError, match=STATS_FILE):
            Card.load(tmp_path)
    stats.write_bytes(stats.read_bytes()[:20])
    with pytest.raises(CardError, match="cannot be read"):
        Card.load(tmp_path)
    stats.unlink()
    with pytest.raises(CardError, match="cannot be read"):
        Card.load(tmp_path)


def test_the_right_tokenizer_is_accepted(card):
    """Verification returns the marker's position in the prompt."""
    tokenizer = tiny_tokenizer()

    position = card.verify_tokenizer(tokenizer)

    ids = tokenizer(card.prompts.verbalizer_text(tokenizer))["input_ids"]
    assert card.prompts.marker_id == ids[position]


@pytest.mark.parametrize("field", ["marker_id", "left_id", "right_id"])
def test_a_marker_or_neighbour_that_differs_is_refused(card, field):
    """Each of the three ids is compared with the live one."""
    prompts = card.prompts.model_copy(update={field: 77})

    with pytest.raises(CardError, match="77"):
        card.model_copy(update={"prompts": prompts}).verify_tokenizer(tiny_tokenizer())


def test_another_tokenizer_is_refused(card):
    """Same marker, other vocabulary or template: the fingerprint tells, unless exactness is not asked for."""
    changed = tiny_tokenizer()
    changed.chat_template = changed.chat_template.replace("<|end|>", "<|end|>\n")

    with pytest.raises(CardError, match="made with tokenizer"):
        card.verify_tokenizer(changed)
    assert card.verify_tokenizer(changed, exact=False) > 0


def test_two_bos_tokens_are_refused(card):
    """A chat template that repeats the beginning-of-sequence token is refused, whatever the fingerprint says."""
    target = tiny_target(bos=True)
    target.tokenizer.chat_template = "{{ bos_token }}" + target.tokenizer.chat_template

    with pytest.raises(CardError, match="verbalizer prompt has 2 beginning-of-sequence tokens"):
        tiny_pair(target).card.verify_tokenizer(target.tokenizer)
    assert card.verify_tokenizer(tiny_tokenizer()) > 0


def test_another_target_is_refused(card):
    """Width, depth and weights are compared, and all differences named."""
    card.verify_target(tiny_target())

    with pytest.raises(CardError, match="fingerprint"):
        card.verify_target(tiny_target(seed=1))
    with pytest.raises(
        CardError, match=r"d_model 32 on the card, 48 live; n_layers 3 on the card, 2 live; fingerprint"
    ):
        card.verify_target(tiny_target(n_layers=2, d=48))


def test_the_target_record_is_of_the_live_target(card):
    """What is recorded is what verification compares."""
    assert card.target == TargetRecord.of(tiny_target())
