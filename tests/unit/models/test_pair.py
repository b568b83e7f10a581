"""The pair: verified on load, read, described, scored, saved."""

from __future__ import annotations

import re
import shutil

import pytest
import torch
import yaml

from nlakit.card import CARD_FILE, Card
from nlakit.errors import CardError, InputError, ModelError, NotFoundError, PairError
from nlakit.explanations import Explanation, Outcome
from nlakit.models import pair as pair_module
from nlakit.models.pair import Pair, pair_folder
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.testing import (
    tiny_model,
    tiny_pair,
    tiny_pair_folder,
    tiny_target,
    tiny_target_folder,
    tiny_tokenizer,
)

TEXT = "The cat sat on the mat near the red door. Rain fell on the roof."


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tiny_pair_folder(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def pair(saved):
    return Pair.from_pretrained(saved)


@pytest.fixture
def copied(saved, tmp_path):
    """A copy of the saved pair that a test may damage."""
    return shutil.copytree(saved, tmp_path / "pair")


def vectors(n):
    return torch.randn((n, 32), generator=torch.Generator().manual_seed(0))


def edit_card(folder, **changes):
    content = yaml.safe_load((folder / CARD_FILE).read_text())
    for key, value in changes.items():
        table, _, field = key.rpartition("__")
        (content[table] if table else content)[field] = value
    (folder / CARD_FILE).write_text(yaml.safe_dump(content))


def test_a_saved_pair_loads_and_does_the_same(pair, saved, tmp_path):
    """Descriptions and reconstructions of a pair saved again are bit for bit the same."""
    again = Pair.from_pretrained(pair.save(tmp_path / "again"))

    assert pair.describe(vectors(3), seed=4) == again.describe(vectors(3), seed=4)
    assert torch.equal(pair.reconstruct(["a cat"]), again.reconstruct(["a cat"]))
    assert Card.load(saved).model_dump() == again.card.model_dump()


def test_bfloat16_storage_halves_the_weights_and_loads_as_float32(pair, saved, tmp_path):
    """The folder is smaller, and the loaded pair computes in float32."""
    folder = pair.save(tmp_path / "small", dtype="bfloat16")

    small = Pair.from_pretrained(folder)

    file = "verbalizer/model.safetensors"
    assert (folder / file).stat().st_size < 0.6 * (saved / file).stat().st_size
    assert torch.float32 == next(small.verbalizer.model.parameters()).dtype
    assert torch.float32 == next(pair.verbalizer.model.parameters()).dtype
    with pytest.raises(InputError, match="'float16'"):
        pair.save(tmp_path / "smaller", dtype="float16")
    assert not (tmp_path / "smaller").exists()


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_the_warm_start_is_kept_beside_the_final_weights(pair, saved, tmp_path, dtype):
    """part="warm-start" loads the earlier weights under the final card."""
    later = tiny_pair(pair.target)
    with torch.no_grad():
        later.verbalizer.model.model.layers[0].mlp.up_proj.weight.add_(1.0)
    folder = later.save(tmp_path / "final", warm_start=saved, dtype=dtype)

    final = Pair.from_pretrained(folder, load_target=False)
    warm = Pair.from_pretrained(folder, load_target=False, part="warm-start")

    first = [p.verbalizer.model.model.layers[0].mlp.up_proj.weight[0, 0].item() for p in (pair, warm, final)]
    assert first[0] == pytest.approx(first[1], rel=0.01)
    assert first[0] + 1 == pytest.approx(first[2], rel=0.01)


def test_the_verbalizer_that_was_taught_is_there_when_it_is_asked_for(pair, saved, tmp_path):
    """It writes as the warm start does; a pair without one has none, and before reinforcement learning it is the pair's own."""
    later = Pair.from_pretrained(saved)
    with torch.no_grad():
        for weight in later.verbalizer.model.parameters():
            weight.mul_(1.2)
    folder = later.save(tmp_path / "final", warm_start=saved)
    final = Pair.from_pretrained(folder, load_target=False)
    ids = [final.verbalizer.encode_explanation("a cat")]

    def log_probs(verbalizer):
        return verbalizer.log_probs(vectors(1), ids)[0].detach()

    torch.testing.assert_close(log_probs(final.taught), log_probs(pair.verbalizer))
    assert not torch.allclose(log_probs(final.verbalizer), log_probs(pair.verbalizer))
    assert Pair.from_pretrained(saved, load_target=False).taught is None
    part = Pair.from_pretrained(folder, load_target=False, part="warm-start")
    assert part.taught is part.verbalizer
    card = pair.card.model_copy(update={"training": {"warm_start": {}}})
    assert Pair(None, pair.verbalizer, pair.reconstructor, card).taught is pair.verbalizer


def test_a_warm_start_that_is_no_pair_is_refused(pair, tmp_path):
    """Nothing is written when the folder of the warm start is wrong."""
    with pytest.raises(PairError, match="no warm start"):
        pair.save(tmp_path / "final", warm_start=tmp_path)
    assert not (tmp_path / "final").exists()


def test_reading_a_text(pair):
    """Every token gets a reading with its norm, its samples and flags; scores are those of score()."""
    readings = pair.read(TEXT, samples=2)

    encoded = pair.target.encode(TEXT)
    raw = Site("resid", 1).read(pair.target, torch.tensor([encoded.ids]))[0]
    assert encoded.tokens == [reading.token for reading in readings]
    assert [2] * len(encoded) == [len(reading.explanations) for reading in readings]
    assert readings[7].norm == pytest.approx(float(raw[7].norm()))
    assert ["early token"] * 10 == [reading.flags[0] for reading in readings[:10]]
    assert "early token" not in readings[10].flags


def test_a_reading_is_of_the_vector_at_its_position(pair, monkeypatch):
    """The vectors that are described are the raw outputs of block K at the chosen positions, in their order."""
    described = []
    original = pair_module.sample
    monkeypatch.setattr(pair_module, "sample", lambda v, x, **kw: described.append(x) or original(v, x, **kw))

    readings = pair.read(TEXT, positions=[-1, 3])

    encoded = pair.target.encode(TEXT)
    states = pair.target.model(torch.tensor([encoded.ids]), output_hidden_states=True).hidden_states[2][0]
    torch.testing.assert_close(states[[-1, 3]], described[0])
    assert [len(encoded) - 1, 3] == [reading.position for reading in readings]


def test_a_failed_explanation_is_never_scored(pair, monkeypatch):
    """Only explanations with outcome ok have a score, and it is the one of their own vector."""
    made = [Explanation("a cat"), Explanation("a cat", Outcome.CUT_OFF), Explanation("a box")]
    monkeypatch.setattr(pair, "describe", lambda *_, **__: made)

    found = [reading.explanations[0] for reading in pair.read(TEXT, positions=[1, 2, 3])]

    tokens = torch.tensor([pair.target.encode(TEXT).ids])
    raw = Site("resid", 1).read(pair.target, tokens)[0]
    assert [True, False, True] == [item.score is not None for item in found]
    assert found[2].score.error == pytest.approx(pair.score(["a box"], raw[3:4])[0].error, rel=1e-4)


def test_reading_a_chat(pair):
    """Messages go through the chat template; its control tokens are flagged."""
    readings = pair.read([{"role": "user", "content": "hello"}])

    assert ("<|user|>", "<|end|>") == (readings[0].token, readings[-1].token)
    assert "special token" in readings[0].flags


def test_plain_text_cannot_spell_control_tokens(pair):
    """A text that spells a special token is read as text, as the rows of a corpus are."""
    assert not any("special token" in reading.flags for reading in pair.read("a<|end|>b", positions=[0, 1, 2, 3]))


def test_messages_cannot_spell_control_tokens(pair):
    """Only the chat template opens and ends a message, as in the rows of a corpus."""
    readings = pair.read([{"role": "user", "content": "a<|end|>b<|user|>"}])

    assert 2 == sum("special token" in reading.flags for reading in readings)


def test_an_unusual_norm_is_flagged(pair, monkeypatch):
    """A norm three times above the median of its text is an outlier."""
    original = Site.read

    def louder(self, target, tokens, mask=None):
        vectors_BTD = original(self, target, tokens, mask).clone()
        vectors_BTD[0, 12] *= 50
        return vectors_BTD

    monkeypatch.setattr(Site, "read", louder)

    assert ["outlier norm"] == pair.read(TEXT, positions=[12])[0].flags


def test_the_seed_decides_a_reading(pair):
    """The same seed gives the same words."""
    assert pair.read(TEXT, positions=[5], seed=1) == pair.read(TEXT, positions=[5], seed=1)
    assert pair.read(TEXT, positions=[5], seed=1) != pair.read(TEXT, positions=[5], seed=2)


@pytest.mark.parametrize("positions", [[100], [-100, 3], [0, 99]])
def test_positions_outside_the_text_are_refused(pair, positions):
    """The offending positions and the length are in the message."""
    with pytest.raises(InputError, match=r"outside the text, which has \d+ tokens"):
        pair.read(TEXT, positions=positions)


def test_texts_that_cannot_be_read_are_refused(pair):
    """Empty text, no messages, and a pair without its target."""
    with pytest.raises(InputError):
        pair.read("")
    with pytest.raises(InputError):
        pair.read([])
    with pytest.raises(PairError, match="load_target=True"):
        Pair(None, pair.verbalizer, pair.reconstructor, pair.card).read(TEXT)


def test_scores_follow_their_definitions(pair):
    """Error = 2(1 - cos), explained = 1 - error / variance; a text scored against its own reconstruction is perfect."""
    own = pair.reconstruct(["a cat", "a box"])

    perfect = pair.score(["a cat", "a box"], own * torch.tensor([[3.0], [0.1]]))
    opposite = pair.score(["a cat"], -own[:1])[0]

    assert [(0.0, 1.0, 1.0)] * 2 == [(round(s.error, 5), round(s.cosine, 5), round(s.explained, 5)) for s in perfect]
    assert 4.0 == pytest.approx(opposite.error)
    assert -1.0 == pytest.approx(opposite.cosine)
    assert 1 - 4 / pair.card.stats.variance == pytest.approx(opposite.explained)
    assert [] == pair.score([], torch.zeros(0, 32))


def test_scores_need_a_text_for_each_vector(pair):
    """Other numbers, another width and a vector without direction are refused."""
    with pytest.raises(InputError, match="2 texts and 1 vectors"):
        pair.score(["a", "b"], vectors(1))
    with pytest.raises(InputError, match="32"):
        pair.score(["a"], torch.ones(1, 16))
    with pytest.raises(InputError):
        pair.score(["a"], torch.zeros(1, 32))


def test_names_and_folders_that_are_no_pair(tmp_path):
    """An unknown name, a missing folder and a folder without a card are told apart."""
    with pytest.raises(NotFoundError, match="'terarium'.*Did you mean 'terrarium'"):
        pair_folder("terarium")
    with pytest.raises(PairError, match="there is no folder"):
        pair_folder(tmp_path / "absent")
    with pytest.raises(PairError, match="is no pair: it has no card.yaml"):
        Pair.from_pretrained(tmp_path)
    (tmp_path / "pair").mkdir()
    (tmp_path / "pair" / "card.yaml").touch()
    with pytest.raises(PairError, match=r"Did you mean '.*/pair'\?"):
        pair_folder(tmp_path)


def test_a_folder_without_one_half_is_no_pair(copied):
    """The missing folder is named, also for the warm start."""
    with pytest.raises(PairError, match="no folder verbalizer and no folder reconstructor"):
        Pair.from_pretrained(copied, part="warm-start")
    shutil.rmtree(copied / "reconstructor")
    with pytest.raises(PairError, match="no folder reconstructor"):
        Pair.from_pretrained(copied)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target__fingerprint": "0" * 16}, "is not the one the pair"),
        ({"target__n_layers": 4}, "n_layers 4 on the card, 3 live"),
        ({"target__tokenizer_fingerprint": "0" * 16}, "made with tokenizer"),
        ({"prompts__marker_id": 77}, "77"),
        ({"prompts__left_id": 77}, "77"),
        ({"prompts__marker": "<|pad|>"}, "id=0"),
    ],
)
def test_a_card_that_disagrees_with_the_models_is_refused(copied, changes, message):
    """Each promise of the card is compared with what is live."""
    edit_card(copied, **changes)

    with pytest.raises(CardError, match=re.escape(message)):
        Pair.from_pretrained(copied)


def test_a_site_that_the_target_lacks_is_refused(copied):
    """The card's site must exist."""
    edit_card(copied, site="resid.9")

    with pytest.raises(ModelError, match="blocks 0 to 2"):
        Pair.from_pretrained(copied)


def test_a_verbalizer_of_another_width_is_refused(copied):
    """Vectors of the target must fit both halves."""
    tiny_model(d=48).save_pretrained(copied / "verbalizer")

    with pytest.raises(CardError, match="verbalizer works with vectors of width 48"):
        Pair.from_pretrained(copied)


def test_another_tokenizer_in_one_half_is_refused(copied):
    """Verbalizer and reconstructor must have the tokenizer of the card."""
    tiny_tokenizer(380).save_pretrained(copied / "reconstructor")
    with pytest.raises(CardError, match="reconstructor's tokenizer"):
        Pair.from_pretrained(copied)


def test_weights_that_ignore_the_vector_are_refused(copied):
    """The injection self-check runs on load."""
    model = tiny_model()
    for block in model.model.layers:
        torch.nn.init.zeros_(block.self_attn.o_proj.weight)
    model.save_pretrained(copied / "verbalizer")

    with pytest.raises(CardError, match="does not change the logits"):
        Pair.from_pretrained(copied)


@pytest.mark.parametrize("part", ["verbalizer", "reconstructor"])
def test_damaged_weights_are_refused(copied, part):
    """A cut-off file is a typed error, with and without the target."""
    file = copied / part / "model.safetensors"
    file.write_bytes(file.read_bytes()[:4000])

    with pytest.raises(ModelError, match="cannot load a model"):
        Pair.from_pretrained(copied, load_target=False)


def test_a_trained_pair_must_have_a_trained_head(copied):
    """A head that is still the identity, under a card with a training record, was not saved."""
    edit_card(copied, training={"steps": 10})

    with pytest.raises(ModelError, match="identity it started from"):
        Pair.from_pretrained(copied, load_target=False)


def test_support_needs_a_variance_before_anything_is_sampled(pair, monkeypatch):
    """Leverage is measured in it; a released pair without statistics says so at once."""
    card = pair.card.model_copy(update={"stats": None})
    bare = Pair(pair.target, pair.verbalizer, pair.reconstructor, card)
    monkeypatch.setattr(bare, "describe", None)

    with pytest.raises(CardError, match="no mean and variance .* 'nlakit calibrate tiny --corpus FILE --out DIR'"):
        bare.read("The cat sat on the mat.", support=True)


def test_describe_gives_samples_of_a_vector_together(pair):
    """Two samples of three vectors are six explanations, vector by vector."""
    greedy = pair.describe(vectors(3), samples=2, temperature=0)

    assert 6 == len(greedy)
    assert greedy[0::2] == greedy[1::2]


def test_a_pair_reads_the_target_it_was_made_for(tmp_path):
    """In memory as well, verify() finds a target with other weights."""
    pair = tiny_pair()
    pair.verify()
    pair.target = tiny_target(seed=1)

    with pytest.raises(CardError, match="fingerprint"):
        pair.verify()


def test_a_pair_reads_its_target_as_it_was_trained_on_it(tmp_path):
    """A target that was read in bfloat16 is loaded in bfloat16, also from where it was moved to."""
    folder = tiny_target_folder(tmp_path / "target")
    pair = tiny_pair(Target.load(folder, dtype="bfloat16"))
    pair.save(tmp_path / "pair")
    folder.rename(tmp_path / "moved")

    loaded = Pair.from_pretrained(tmp_path / "pair", target=tmp_path / "moved")

    assert loaded.card.target.dtype == loaded.target.dtype == "bfloat16"
