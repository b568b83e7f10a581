"""Two ways to one text: the sampler against transformers' ``generate``, and its log-probabilities against training's."""

from __future__ import annotations

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, MistralConfig, MistralForCausalLM

from nlakit.models.sampler import sample
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.testing import FAMILIES, tiny_model, tiny_prompts, tiny_tokenizer

LIMIT = 16


def odd_model(family):
    """Models with what the tiny families lack: a sliding window, scaled embeddings, capped logits."""
    shape = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
        "sliding_window": 6,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if family == "mistral":
            return MistralForCausalLM(MistralConfig(**shape)).eval()
        return Gemma2ForCausalLM(Gemma2Config(**shape, final_logit_softcapping=5.0, attn_implementation="eager")).eval()


def make(family, bos=False, chat=True):
    tokenizer = tiny_tokenizer(bos=bos, chat=chat)
    model = tiny_model(family=family) if family in FAMILIES else odd_model(family)
    target = Target(model, tokenizer, family)
    return Verbalizer.from_target(target, tiny_prompts(target), injection_scale=4.0, max_new_tokens=LIMIT)


def vectors(n):
    return torch.randn((n, 32), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def generated(verbalizer, vectors_ND):
    """Greedy tokens of transformers' own generation, with the vector injected by position-free search."""
    tokens = torch.tensor([verbalizer.prompt_ids] * len(vectors_ND))
    with verbalizer.injection(vectors_ND, None):
        out = verbalizer.model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=LIMIT,
            eos_token_id=[*verbalizer.stop_ids, *verbalizer.close_ids],
            pad_token_id=0,
        )
    rows = []
    for row in out[:, tokens.shape[1] :].tolist():
        ends = [i for i, token in enumerate(row) if token in (*verbalizer.stop_ids, *verbalizer.close_ids)]
        rows.append(row[: ends[0] + 1] if ends else row)
    return rows


@pytest.mark.parametrize("family", [*FAMILIES, "mistral", "gemma2"])
def test_greedy_samples_equal_generate(family):
    """Token for token, in every family: shared prefix, roomy cache and dropped rows change nothing."""
    verbalizer = make(family)
    verbalizer.self_check()

    found = [item.ids for item in sample(verbalizer, vectors(12), temperature=0)]

    assert generated(verbalizer, vectors(12)) == found


@pytest.mark.parametrize("family", [*FAMILIES, "mistral", "gemma2"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@torch.no_grad()
def test_sampled_log_probs_equal_teacher_forced_ones(family, temperature):
    """What the sampler saw and what training computes are the same numbers, to 1e-5 in float32."""
    verbalizer = make(family)

    found = sample(verbalizer, vectors(6), samples=3, temperature=temperature, keep_log_probs=True)

    logp, mask = verbalizer.log_probs(vectors(6).repeat_interleave(3, 0), [item.ids for item in found])
    # Linear attention sums in another order where it decodes token by token.
    near = 2e-4 if family == "qwen3_next" else 1e-5
    for row, item in enumerate(found):
        torch.testing.assert_close(item.log_probs, logp[row, mask[row]], atol=near, rtol=near)


@pytest.mark.parametrize(("bos", "chat"), [(True, True), (True, False), (False, False)])
def test_parity_holds_with_bos_and_without_chat(bos, chat):
    """Prompts that begin with BOS, and raw prompts, go the same two ways."""
    verbalizer = make("llama", bos, chat)

    assert generated(verbalizer, vectors(4)) == [item.ids for item in sample(verbalizer, vectors(4), temperature=0)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_dropping_ended_rows_changes_nothing(monkeypatch, temperature):
    """Rows that leave early, or never leave, give the same samples and log-probabilities, greedy or drawn."""
    verbalizer = make("llama")
    verbalizer.stop_ids = [1, *range(20, 90)]  # rows end at many different steps

    found = {}
    for steps in (0, 3, 10**9):
        monkeypatch.setattr("nlakit.models.sampler.COMPACTION_STEPS", steps)
        found[steps] = sample(verbalizer, vectors(24), temperature=temperature, keep_log_probs=True)

    assert len({len(item.ids) for item in found[0]}) > 3
    for other in (3, 10**9):
        assert [item.ids for item in found[0]] == [item.ids for item in found[other]]
        for left, right in zip(found[0], found[other], strict=True):
            torch.testing.assert_close(left.log_probs, right.log_probs, atol=1e-5, rtol=1e-5)
