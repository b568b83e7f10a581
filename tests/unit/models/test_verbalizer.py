"""The verbalizer: its prompt, its completions and their log-probabilities."""

from __future__ import annotations

import pytest
import torch

from nlakit.errors import CardError, InputError, ModelError
from nlakit.explanations import Explanation, Outcome
from nlakit.models.verbalizer import Verbalizer
from nlakit.testing import FAMILIES, tiny_pair, tiny_prompts, tiny_target

TEXTS = ("The cat sat.", "A box by the door, and a key.", "rain")


def make(family="llama", **options):
    return tiny_pair(tiny_target(family=family, **options)).verbalizer


def vectors(n, seed=0):
    return torch.randn((n, 32), generator=torch.Generator().manual_seed(seed))


def plain_log_probs(verbalizer, vector, ids):
    """The same number by the book: one row, the whole prompt, all logits."""
    tokens = torch.tensor([[*verbalizer.prompt_ids, *ids]])
    with verbalizer.injection(vector[None], None):
        logits = verbalizer.model(input_ids=tokens).logits[0]
    first = len(verbalizer.prompt_ids) - 1
    return logits[first:-1].log_softmax(-1)[range(len(ids)), ids]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_log_probs_equal_the_plain_computation(family):
    """Shared prefix, padding and picked logits give what one full forward pass for each row gives."""
    verbalizer = make(family)
    ids = [verbalizer.encode_explanation(text) for text in TEXTS]

    logp, mask = verbalizer.log_probs(vectors(3), ids)

    assert [len(row) for row in ids] == mask.sum(1).tolist()
    assert 0 == float(logp[~mask].abs().sum())
    for row in range(3):
        torch.testing.assert_close(
            plain_log_probs(verbalizer, vectors(3)[row], ids[row]), logp[row, mask[row]], atol=1e-5, rtol=1e-5
        )


def test_log_probs_have_the_gradient_of_the_plain_computation():
    """Gradients through the shared prefix equal those of full forward passes, for every weight."""
    shared, plain = make(), make()
    ids = [shared.encode_explanation(text) for text in TEXTS]

    shared.log_probs(vectors(3), ids)[0].sum().backward()
    torch.stack([plain_log_probs(plain, vectors(3)[i], ids[i]).sum() for i in range(3)]).sum().backward()

    for (name, left), right in zip(shared.model.named_parameters(), plain.model.parameters(), strict=True):
        assert float(right.grad.abs().sum()) > 0, name
        torch.testing.assert_close(right.grad, left.grad, atol=1e-4, rtol=1e-3, msg=name)


@torch.no_grad()
def test_logits_are_computed_at_completion_tokens_only():
    """The output layer sees one state for each real completion token, and one for the prefix."""
    verbalizer = make()
    seen = []
    verbalizer.model.get_output_embeddings().register_forward_hook(
        lambda _m, inputs, _o: seen.append(inputs[0].shape[:-1].numel())
    )
    ids = [verbalizer.encode_explanation(text) for text in TEXTS]

    verbalizer.log_probs(vectors(3), ids)

    assert [1, sum(map(len, ids))] == seen


@torch.no_grad()
def test_log_probs_depend_on_the_vector_and_not_on_its_norm():
    """Another direction changes them; another norm of the same direction does not, because the scale sets it."""
    verbalizer = make()
    ids = [verbalizer.encode_explanation("The cat sat.")]

    base, _ = verbalizer.log_probs(vectors(1), ids)

    torch.testing.assert_close(base, verbalizer.log_probs(vectors(1) * 50, ids)[0], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(base, verbalizer.log_probs(vectors(1, seed=1), ids)[0], atol=1e-3)


@torch.no_grad()
def test_a_completion_may_hold_the_marker():
    """A sampled completion that repeats the marker token is scored like any other."""
    verbalizer = make()
    ids = [verbalizer.prompts.marker_id] * 3

    logp, _ = verbalizer.log_probs(vectors(1), [ids])

    assert torch.isfinite(logp).all()


def test_log_probs_need_one_completion_for_each_vector():
    """Other numbers and empty completions are refused."""
    verbalizer = make()

    with pytest.raises(InputError, match="2 vectors and 1 completions"):
        verbalizer.log_probs(vectors(2), [[1]])
    with pytest.raises(InputError, match="at least one token"):
        verbalizer.log_probs(vectors(2), [[1], []])


def test_a_completion_is_parsed_as_it_was_written():
    """encode_explanation and parse are inverse, and the completion ends with the end token."""
    verbalizer = make()

    for text in TEXTS:
        ids = verbalizer.encode_explanation(f"  {text}\n")
        assert verbalizer.tokenizer.eos_token_id == ids[-1]
        assert Explanation(text) == verbalizer.parse(ids)
        assert Explanation(text) == verbalizer.parse(verbalizer.tokenizer.decode(ids[:-1]))


@pytest.mark.parametrize("quoted", ["</explanation>", "<explanation>"])
def test_quoted_tags_do_not_end_an_explanation(quoted):
    """What stands behind a quoted tag is still part of the explanation."""
    verbalizer = make()

    read = verbalizer.parse(verbalizer.encode_explanation(f"The page begins {quoted} and goes on."))

    assert read.ok
    assert read.text.startswith("The page begins")
    assert read.text.endswith("and goes on.")


def test_special_tokens_in_an_explanation_are_text():
    """A quoted end token or marker cannot end or disturb the completion."""
    verbalizer = make()

    ids = verbalizer.encode_explanation("quotes <|end|> and <|vector|>")

    assert 1 == sum(token in verbalizer.tokenizer.all_special_ids for token in ids)
    assert verbalizer.parse(ids).ok


def test_an_empty_explanation_is_not_trained_on():
    """White space alone is refused."""
    with pytest.raises(InputError, match="empty"):
        make().encode_explanation(" \n")


def test_failures_keep_their_outcome():
    """Stopped without a closing tag, cut off, and empty are told apart."""
    verbalizer = make()
    ids = verbalizer.encode_explanation("The cat")
    close = ids.index(verbalizer.close_ids[0])
    end = verbalizer.end_id

    outcomes = [
        verbalizer.parse([*ids[:close], end]).outcome,
        verbalizer.parse(ids[:close]).outcome,
        verbalizer.parse([ids[0], *ids[close:]]).outcome,
        verbalizer.parse([*ids[: close + 1], *ids[1:close]]).outcome,
    ]

    assert [Outcome.NO_CLOSING_TAG, Outcome.CUT_OFF, Outcome.EMPTY, Outcome.OK] == outcomes


def test_the_prompt_is_cut_before_the_markers_left_neighbour():
    """Shared and own part join to the prompt, and the own part starts with the neighbour."""
    verbalizer = make()
    prompts = verbalizer.prompts

    assert verbalizer.prompt_ids == verbalizer.shared_ids + verbalizer.own_ids
    assert [prompts.left_id, prompts.marker_id, prompts.right_id] == verbalizer.own_ids[:3]
    assert prompts.marker_id == verbalizer.prompt_ids[verbalizer.marker_position]


def test_a_copy_of_the_target_is_trained_and_not_the_target():
    """Training the verbalizer, or a frozen copy of it, leaves the others alone."""
    target = tiny_target()
    verbalizer = tiny_pair(target).verbalizer
    frozen = verbalizer.frozen_copy()

    with torch.no_grad():
        next(verbalizer.model.parameters()).add_(1)

    assert all(weight.requires_grad for weight in verbalizer.model.parameters())
    assert not any(weight.requires_grad for weight in frozen.model.parameters())
    assert torch.equal(next(target.model.parameters()), next(frozen.model.parameters()))
    assert not torch.equal(next(target.model.parameters()), next(verbalizer.model.parameters()))


def test_other_marker_ids_than_the_tokenizers_are_refused():
    """Prompts made with another tokenizer do not become a verbalizer."""
    target = tiny_target()
    wrong = tiny_prompts(target).model_copy(update={"left_id": 77})

    with pytest.raises(CardError, match="left_id=77"):
        Verbalizer.from_target(target, wrong, injection_scale=1.0, max_new_tokens=4)


def test_the_closing_tag_is_taken_as_it_stands_behind_a_text():
    """One token where the vocabulary has it; else the pieces that end a completion."""
    assert [make().tokenizer.convert_tokens_to_ids("</explanation>")] == make().close_ids
    target = tiny_target()
    prompts = tiny_prompts(target).model_copy(update={"close_tag": "(end)"})

    verbalizer = Verbalizer.from_target(target, prompts, injection_scale=1.0, max_new_tokens=4)

    assert len(verbalizer.close_ids) > 1
    ids = verbalizer.encode_explanation("The cat")
    assert verbalizer.close_ids == ids[-1 - len(verbalizer.close_ids) : -1]


def test_a_tokenizer_without_end_token_is_refused():
    """An explanation could never end."""
    target = tiny_target()
    target.tokenizer.eos_token = None

    with pytest.raises(ModelError, match="no end-of-sequence token"):
        tiny_pair(target)


@pytest.mark.parametrize(("dtype", "tolerance"), [(None, 0.0), ("bfloat16", 0.02)])
def test_saved_weights_come_back(tmp_path, dtype, tolerance):
    """Weights come back bit for bit, or rounded when stored in bfloat16, and always as float32 on the CPU."""
    verbalizer = make()
    verbalizer.save(tmp_path, dtype)

    loaded = Verbalizer.load(tmp_path, verbalizer.prompts, injection_scale=4.0, max_new_tokens=12)

    for left, right in zip(verbalizer.model.parameters(), loaded.model.parameters(), strict=True):
        assert torch.float32 == right.dtype
        torch.testing.assert_close(left.detach(), right.detach(), atol=tolerance, rtol=tolerance)
    assert torch.float32 == next(verbalizer.model.parameters()).dtype


def test_damaged_values_are_refused(tmp_path):
    """Weights with NaN are not loaded; the first one is named."""
    verbalizer = make()
    with torch.no_grad():
        verbalizer.model.model.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    verbalizer.save(tmp_path)

    with pytest.raises(ModelError, match=r"layers\.1\.mlp\.up_proj\.weight holds NaN"):
        Verbalizer.load(tmp_path, verbalizer.prompts, injection_scale=4.0, max_new_tokens=12)


def test_an_explanation_that_cannot_fit_the_window_is_refused():
    """Prompt and explanation together must fit; the message says how much room there is."""
    target = tiny_target()
    prompts = tiny_prompts(target)

    with pytest.raises(InputError, match=r"has room for \d+ tokens"):
        Verbalizer.from_target(target, prompts, injection_scale=1.0, max_new_tokens=target.max_positions)
