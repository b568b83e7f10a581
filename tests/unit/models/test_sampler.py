"""The sampler: seeds, lengths, outcomes and the distribution it draws from."""

from __future__ import annotations

import pytest
import torch

from nlakit.errors import InputError, ModelError
from nlakit.explanations import Outcome
from nlakit.models.sampler import invert, sample
from nlakit.testing import tiny_pair, tiny_target


@pytest.fixture(scope="module")
def verbalizer():
    return tiny_pair().verbalizer


def vectors(n, seed=0):
    return torch.randn((n, 32), generator=torch.Generator().manual_seed(seed))


def biased(token_ids, **options):
    """A verbalizer that writes the given tokens over and over, each with the same chance."""
    verbalizer = tiny_pair(tiny_target(family="gpt_neox"), **options).verbalizer
    with torch.no_grad():
        verbalizer.model.gpt_neox.final_layer_norm.weight.zero_()
        verbalizer.model.gpt_neox.final_layer_norm.bias.fill_(1.0)
        verbalizer.model.get_output_embeddings().weight.fill_(-5.0)
        verbalizer.model.get_output_embeddings().weight[token_ids] = 5.0
    return verbalizer


def test_the_same_seed_gives_the_same_samples(verbalizer):
    """Seed and vectors decide; another seed gives others; the global generator is not touched."""
    before = torch.get_rng_state()
    first = sample(verbalizer, vectors(4), samples=2, seed=1)
    again = sample(verbalizer, vectors(4), samples=2, seed=1)
    other = sample(verbalizer, vectors(4), samples=2, seed=2)

    assert [item.ids for item in first] == [item.ids for item in again]
    assert [item.ids for item in first] != [item.ids for item in other]
    assert torch.equal(before, torch.get_rng_state())


def test_samples_of_a_vector_stand_together(verbalizer):
    """With greedy decoding the samples of one vector are equal, and in the order of the vectors."""
    single = sample(verbalizer, vectors(3), temperature=0)
    several = sample(verbalizer, vectors(3), samples=2, temperature=0)

    assert [item.ids for item in single for _ in range(2)] == [item.ids for item in several]


@pytest.mark.parametrize("batch_rows", [1, 2, 5, 100])
def test_the_batch_size_does_not_change_greedy_samples(verbalizer, batch_rows):
    """Batches of any size give the samples of one batch."""
    expected = [item.ids for item in sample(verbalizer, vectors(7), temperature=0)]

    assert expected == [item.ids for item in sample(verbalizer, vectors(7), temperature=0, batch_rows=batch_rows)]


def test_tokens_are_drawn_from_the_models_distribution(verbalizer):
    """Over 4,000 draws the share of each frequent first token is its probability."""
    n = 4000
    drawn = sample(verbalizer, vectors(1), samples=n, max_new_tokens=1, keep_log_probs=True)

    seen = {}
    for item in drawn:
        seen.setdefault(item.ids[0], []).append(float(item.log_probs[0]))
    common = {token: found for token, found in seen.items() if len(found) > 60}
    assert len(common) > 3
    for found in common.values():
        p = torch.tensor(found[0]).exp().item()
        assert abs(len(found) / n - p) < 4.5 * (p * (1 - p) / n) ** 0.5


def test_a_low_temperature_sharpens_and_keeps_raw_log_probs(verbalizer):
    """Near temperature 0 the samples are the greedy ones, and log-probabilities are still those at temperature 1."""
    greedy = sample(verbalizer, vectors(3), temperature=0, keep_log_probs=True)
    cold = sample(verbalizer, vectors(3), temperature=1e-4, keep_log_probs=True)

    assert [item.ids for item in greedy] == [item.ids for item in cold]
    for left, right in zip(greedy, cold, strict=True):
        torch.testing.assert_close(left.log_probs, right.log_probs, atol=1e-5, rtol=1e-5)
        assert float(left.log_probs.mean()) < -0.1


def test_tokens_without_weight_are_never_drawn():
    """A token of probability 0 at the end of the vocabulary is not drawn however many draws there are."""
    verbalizer = biased([50, 60], max_new_tokens=40)

    drawn = {token for item in sample(verbalizer, vectors(2), samples=64) for token in item.ids}

    assert {50, 60} == drawn


def test_the_ends_of_the_unit_interval_choose_tokens_with_weight():
    """Weights 0, 0, 1, 2, 0: the number 0 chooses the first token with weight, the largest number the last one."""
    cumulative = torch.tensor([[0.0, 0.0, 1.0, 3.0, 3.0]] * 4)
    uniform = torch.tensor([[0.0], [0.33], [0.34], [1 - 2**-24]])

    assert [2, 2, 3, 3] == invert(cumulative, uniform)[:, 0].tolist()


def test_rows_end_at_a_stop_token_or_at_the_closing_tag():
    """The id that ends a row is its last; rows that never end have the full length and are cut off."""
    pair = tiny_pair()
    end, close = pair.verbalizer.end_id, pair.verbalizer.close_ids[0]
    verbalizer = biased([end, close, 50, 60, 61, 62, 63, 64], max_new_tokens=12)

    found = sample(verbalizer, vectors(16), samples=8)

    for item in found:
        assert not {end, close} & set(item.ids[:-1])
        last = item.ids[-1]
        expected = {end: {Outcome.NO_CLOSING_TAG}, close: {Outcome.OK, Outcome.EMPTY}}.get(last, {Outcome.CUT_OFF})
        assert item.outcome in expected
        assert 12 == len(item.ids) or last in (end, close)
    assert {Outcome.NO_CLOSING_TAG, Outcome.OK, Outcome.CUT_OFF, Outcome.EMPTY} == {item.outcome for item in found}


def test_a_closing_tag_of_several_tokens_ends_a_row():
    """Where the tokenizer has no token for the tag, its pieces in a row end the explanation."""
    verbalizer = biased([50])
    verbalizer.close_ids = [50, 50, 50]

    assert [[50, 50, 50]] == [item.ids for item in sample(verbalizer, vectors(1))]


def test_the_text_is_what_stands_between_the_tags():
    """A row's text equals what the parser reads out of its ids."""
    pair = tiny_pair()
    verbalizer = biased([pair.verbalizer.close_ids[0], *pair.verbalizer.encode_explanation("The cat")[:-2]])

    for item in sample(verbalizer, vectors(8), samples=4):
        parsed = verbalizer.parse(item.ids, stopped=item.outcome is not Outcome.CUT_OFF)
        assert parsed == item.explanation


def test_log_probs_are_kept_only_when_asked_for(verbalizer):
    """One value for every id, fit for use in a loss; None by default."""
    plain = sample(verbalizer, vectors(2), max_new_tokens=5)
    kept = sample(verbalizer, vectors(2), max_new_tokens=5, keep_log_probs=True)

    assert [None, None] == [item.log_probs for item in plain]
    assert [len(item.ids) for item in kept] == [len(item.log_probs) for item in kept]
    weight = torch.ones(1, requires_grad=True)
    (weight * kept[0].log_probs).sum().backward()
    assert [item.ids for item in plain] == [item.ids for item in kept]


def test_no_vectors_give_no_samples(verbalizer):
    """An empty batch is not an error."""
    assert [] == sample(verbalizer, torch.zeros(0, 32))


def test_a_vector_of_zeros_is_the_control_without_a_vector(verbalizer):
    """Zeros are sampled from like any vector."""
    assert 1 == len(sample(verbalizer, torch.zeros(1, 32)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples=0"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
        ({"max_new_tokens": 10_000}, r"max_new_tokens is 10000, and the window .* has room for"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"batch_rows": 0}, "batch_rows=0"),
    ],
)
def test_settings_out_of_range_are_refused(verbalizer, options, message):
    """The setting and its value are in the message."""
    with pytest.raises(InputError, match=message):
        sample(verbalizer, vectors(1), **options)


def test_vectors_that_do_not_fit_are_refused(verbalizer):
    """Wrong width and NaN are errors before anything runs."""
    with pytest.raises(InputError):
        sample(verbalizer, torch.ones(2, 16))
    with pytest.raises(InputError):
        sample(verbalizer, torch.full((1, 32), float("nan")))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_weights_that_overflow_are_named(temperature):
    """No token is drawn from logits that are not finite; the error says so."""
    broken = tiny_pair(tiny_target()).verbalizer
    with torch.no_grad():
        broken.model.get_output_embeddings().weight.fill_(float("nan"))

    with pytest.raises(ModelError, match="logits are not finite"):
        sample(broken, torch.ones(1, 32), temperature=temperature)


def test_sampling_leaves_the_training_mode_alone(verbalizer):
    """Sampling runs without dropout and puts the mode back."""
    verbalizer.model.train()
    sample(verbalizer, vectors(1), max_new_tokens=2)
    assert verbalizer.model.training
    verbalizer.model.eval()
    sample(verbalizer, vectors(1), max_new_tokens=2)
    assert not verbalizer.model.training
