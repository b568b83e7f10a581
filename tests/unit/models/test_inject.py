"""Injection: the right row, the right norm, and a refusal of everything else."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from transformers import GPT2Config

from nlakit.errors import CardError, InputError, InternalError
from nlakit.models.decoder import block_output, find_parts
from nlakit.models.inject import find_marker, inject, scaled, self_check
from nlakit.prompts import Marker
from nlakit.testing import FAMILIES, tiny_model

MARKER = Marker(id=5, left_id=30, right_id=40)
PROMPT = [20, 21, 30, 5, 40, 22]
TOKENS = torch.tensor([PROMPT, PROMPT])
VECTORS = torch.tensor([[3.0] + [0.0] * 31, [0.0, -0.1] + [0.0] * 30])


def embedded(model, tokens, vectors=VECTORS, scale=7.0, position=3):
    """What the model's embedding gives inside an injection."""
    with inject(model, vectors, MARKER, scale, position):
        return model.get_input_embeddings()(tokens)


@pytest.mark.parametrize("position", [3, None])
def test_the_scale_sets_the_norm(position):
    """Vectors of norm 3 and 0.1 arrive with norm 7 each, in their own direction; all other rows are untouched."""
    model = tiny_model()
    plain = model.get_input_embeddings()(TOKENS)

    rows = embedded(model, TOKENS, position=position)

    torch.testing.assert_close(torch.tensor([7.0] + [0.0] * 31), rows[0, 3])
    torch.testing.assert_close(torch.tensor([0.0, -7.0] + [0.0] * 30), rows[1, 3])
    others = [0, 1, 2, 4, 5]
    assert torch.equal(plain[:, others], rows[:, others])


def test_the_weights_are_not_written_to():
    """The embedding table and what other hooks saw are as before, and the hook is gone after the block."""
    model = tiny_model()
    before = model.get_input_embeddings().weight.clone()
    seen = []
    observer = model.get_input_embeddings().register_forward_hook(lambda _m, _i, out: seen.append(out))

    embedded(model, TOKENS)

    observer.remove()
    assert torch.equal(before[TOKENS], seen[0])
    assert torch.equal(before, model.get_input_embeddings().weight)
    assert not model.get_input_embeddings()._forward_hooks


def test_zeros_stay_zero():
    """The control without a vector is a row of zeros, not a row of NaN or of random direction."""
    assert torch.equal(torch.zeros(1, 4), scaled(torch.zeros(1, 4), 5.0))
    assert torch.equal(torch.zeros(32), embedded(tiny_model(), TOKENS, VECTORS * torch.tensor([[0.0], [1.0]]))[0, 3])


@pytest.mark.parametrize(
    ("prompt", "position"),
    [
        ([20, 21, 31, 5, 40, 22], 3),  # wrong left neighbour
        ([20, 21, 30, 5, 41, 22], 3),  # wrong right neighbour
        ([20, 30, 5, 40, 21, 22], 3),  # elsewhere
        ([20, 21, 31, 5, 40, 22], None),
        ([20, 21, 30, 5, 41, 22], None),
        ([20, 30, 5, 5, 40, 22], None),  # twice
        ([20, 5, 21, 30, 5, 40], None),  # a stray one before
        ([30, 5, 40, 30, 5, 40], None),  # twice, each as declared
        ([5, 40, 21, 23, 24, 22], None),  # no left neighbour
        ([20, 21, 23, 24, 30, 5], None),  # no right neighbour
        ([20, 21, 22, 23, 24, 25], 3),  # none
    ],
)
def test_a_marker_that_is_not_as_declared_is_refused(prompt, position):
    """Wrong place, wrong neighbour, twice or missing in one row: the row is named and nothing is injected."""
    tokens = torch.tensor([PROMPT, prompt])

    with pytest.raises(InternalError, match="row 1 does not hold the marker 5"):
        embedded(tiny_model(), tokens, position=position)


def test_sampled_text_may_repeat_the_marker():
    """With a known position later markers are ordinary tokens, also as the only token of a decoding step."""
    model = tiny_model()
    tokens = torch.tensor([[*PROMPT, 30, 5, 40], [*PROMPT, 5, 5, 5]])
    plain = model.get_input_embeddings()(tokens)

    with inject(model, VECTORS, MARKER, 7.0, 3) as record:
        rows = model.get_input_embeddings()(tokens)
        step = model.get_input_embeddings()(torch.tensor([[5], [5]]))

    assert torch.equal(plain[:, 4:], rows[:, 4:])
    assert torch.equal(model.get_input_embeddings().weight[5].expand(2, 1, -1), step)
    assert 1 == record.applied


def test_decoding_steps_are_left_alone():
    """A forward pass without any marker, or too short to hold one, returns None to the hook."""
    assert find_marker(torch.tensor([[5]]), MARKER, None) is None
    assert find_marker(torch.tensor([[20, 21, 22, 23]]), MARKER, None) is None
    assert find_marker(torch.tensor([[30, 5]]), MARKER, 1) is None
    assert [1, 2] == find_marker(torch.tensor([[30, 5, 40, 9], [9, 30, 5, 40]]), MARKER, None).tolist()


def test_an_injection_that_never_happens_is_an_error():
    """Leaving the block without one injected forward pass is refused; an error inside it comes through unchanged."""
    model = tiny_model()

    with pytest.raises(InternalError, match="nothing was injected"), inject(model, VECTORS, MARKER, 7.0):
        model(torch.tensor([[20, 21, 22, 23]]))
    with pytest.raises(KeyError), inject(model, VECTORS, MARKER, 7.0):
        raise KeyError
    assert not model.get_input_embeddings()._forward_hooks


def test_vectors_must_fit_the_rows_and_the_model():
    """Wrong width, NaN, and another number of rows than vectors are refused."""
    model = tiny_model()

    with pytest.raises(InputError, match=r"shape \(2, 16\)"):
        embedded(model, TOKENS, torch.ones(2, 16))
    with pytest.raises(InputError, match="NaN"):
        embedded(model, TOKENS, VECTORS * float("nan"))
    with pytest.raises(InternalError, match="2 vectors for a forward pass of 3 rows"):
        embedded(model, torch.tensor([PROMPT] * 3))


def test_gradients_reach_the_weights_but_not_the_marker_row():
    """Injection works under autograd: the overwritten row of the embedding gets no gradient, its neighbours do."""
    model = tiny_model()

    embedded(model, TOKENS).square().sum().backward()

    grad = model.get_input_embeddings().weight.grad
    assert 0 == float(grad[5].abs().sum())
    assert float(grad[30].abs().sum()) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_self_check_passes_in_every_family(family):
    """The vector arrives at block 0, also where position embeddings are added first, and the check leaves no hook behind."""
    model = tiny_model(family=family)
    tokens_1T = torch.tensor([PROMPT])
    before = model(tokens_1T).logits
    self_check(model, PROMPT, MARKER, 5.0, 3)

    assert torch.equal(before, model(tokens_1T).logits)


def test_the_self_check_sees_a_scaled_embedding():
    """A model that multiplies embeddings on the way to block 0 is refused, with the norms that arrived."""
    model = tiny_model()
    model.model.layers[0].register_forward_pre_hook(lambda _m, args: (args[0] * 4, *args[1:]), prepend=True)

    with pytest.raises(CardError, match=r"norms \[20\.0, 20\.0\]"):
        self_check(model, PROMPT, MARKER, 5.0, 3)


def test_the_self_check_sees_a_vector_that_is_not_used():
    """A model whose logits ignore the injected row is refused."""
    model = tiny_model(family="gpt2")
    for block in model.transformer.h:
        torch.nn.init.zeros_(block.attn.c_proj.weight)  # nothing moves between positions any more

    with pytest.raises(CardError, match="does not change the logits"):
        self_check(model, PROMPT, MARKER, 5.0, 3)
    assert isinstance(model.config, GPT2Config)


def test_the_self_check_turns_a_wrong_prompt_into_a_card_error():
    """Prompt ids without the declared marker are the card's fault."""
    with pytest.raises(CardError, match="injection does not work"):
        self_check(tiny_model(), [20, 21, 22, 23, 24, 25], MARKER, 5.0, 3)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_the_size_of_a_vector_does_not_matter(size):
    """Vectors whose squares leave float32 are injected with the norm and direction of any other."""
    vectors = torch.randn((3, 32), generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(scaled(vectors * size, 4.0), scaled(vectors, 4.0))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_vector_can_be_added_at_a_block(family):
    """At the marker the block's output moves by the vector at twice the state's norm; nothing before or beside it moves."""
    model = tiny_model(family=family)
    blocks = find_parts(model).blocks
    states = {"plain": [], "moved": []}
    for run in states.values():
        with inject(model, VECTORS, MARKER, 2.0, 3, block=1) if run is states["moved"] else nullcontext():
            watch = [
                b.register_forward_hook(lambda _m, _i, out, r=run: r.append(block_output(out))) for b in blocks[:2]
            ]
            with torch.no_grad():
                model(input_ids=TOKENS)
        for hook in watch:
            hook.remove()

    (before, plain), (same, moved) = states["plain"], states["moved"]

    assert torch.equal(before, same)
    expected = plain.clone()
    expected[:, 3] += 2 * plain[:, 3].norm(dim=-1, keepdim=True) * VECTORS / VECTORS.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(expected, moved)
    self_check(model, PROMPT, MARKER, 2.0, 3, block=1)
    assert not any(block._forward_hooks for block in blocks)


def test_a_block_that_is_not_there_is_refused():
    """The message counts the model's blocks."""
    with (
        pytest.raises(CardError, match="at block 3, and .* has 3 blocks"),
        inject(tiny_model(), VECTORS, MARKER, 1.0, block=3),
    ):
        pass
