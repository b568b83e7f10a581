"""The search for tokens that make explanations lie, on a tiny target."""

from __future__ import annotations

import random

import pytest
import torch

from nlakit.claims.likelihood import span_log_probs
from nlakit.evaluate import attack
from nlakit.evaluate.attack import Attacker
from nlakit.evaluate.definitions.robustness import Budget
from nlakit.evaluate.measures import definition_of
from nlakit.models.decoder import window
from nlakit.models.sites import Site, decoder_inputs
from nlakit.testing import tiny_pair, tiny_target

IDS = [105, 106, 107, 108, 109, 110]
TEXT, SPANS = "The cat sat.", [(4, 7)]


def attacker(**budget: float) -> Attacker:
    pair = tiny_pair(tiny_target())
    assert pair.target is not None
    return Attacker(pair.target, Site("resid", 1), pair.verbalizer, Budget(**budget))


def test_an_attack_is_what_it_says() -> None:
    """Vector and divergence are those of the target on prefix and document, computed here again."""
    found = attacker(tokens=2, candidates=4, most_kl=50.0)
    made = found.attack(IDS, found.clean(IDS), TEXT, SPANS, random.Random(0))
    tokens_1T = torch.tensor([[*made.prefix, *IDS]])
    assert len(made.prefix) == 2
    assert torch.allclose(made.vector_D, found.site.read(found.target, tokens_1T)[0, -1].float(), atol=1e-5)
    with torch.no_grad():
        model = found.target.model
        after_V, clean_V = (
            model(**decoder_inputs(ids, None, found.target.takes_positions)).logits[0, -1].log_softmax(-1)
            for ids in (tokens_1T, torch.tensor([IDS]))
        )
    assert made.kl == pytest.approx(float((clean_V.exp() * (clean_V - after_V)).sum()), abs=1e-5)
    assert made.met == (made.kl <= 50.0 and int(after_V.argmax()) == int(clean_V.argmax()))


def test_the_search_does_not_end_worse_than_it_began() -> None:
    """Among prefixes that leave behaviour alone the one found is at least as bad for the claims as the one drawn first."""
    found = attacker(tokens=2, candidates=8, most_kl=50.0)
    for seed in range(4):
        first = found.random_prefix(IDS, found.clean(IDS), random.Random(seed))
        last = found.attack(IDS, found.clean(IDS), TEXT, SPANS, random.Random(seed))
        assert last.met or not first.met
        if first.met:
            before, after = (
                sum(span_log_probs(found.verbalizer, made.vector_D[None], [TEXT], [SPANS])[0]) for made in (first, last)
            )
            assert after <= before + 1e-5


def test_special_tokens_are_not_put_in_front() -> None:
    """A control token would not be a text that somebody writes."""
    found = attacker()
    assert not set(found.vocabulary()) & set(found.target.tokenizer.all_special_ids)


def test_an_attack_takes_what_its_budget_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that went through the target's own forward, and through the verbalizer, are as many as the budget says."""
    found = attacker(tokens=2, candidates=4)
    run: list[int] = []
    found.target.model.register_forward_pre_hook(
        lambda _module, _inputs, named: run.append(len(named["input_ids"])), with_kwargs=True
    )
    scored: list[int] = []
    score = attack.span_log_probs
    monkeypatch.setattr(attack, "span_log_probs", lambda *given: scored.append(len(given[1])) or score(*given))
    found.attack(IDS, found.clean(IDS), TEXT, SPANS, random.Random(0))
    assert sum(run) == found.passes.target == found.budget.target_passes == 10
    assert sum(scored) == found.passes.verbalizer == found.budget.verbalizer_passes == 9


def test_the_definitions_state_the_standing_budget() -> None:
    """Four tokens of sixteen candidates: 66 passes of the target and 65 of the verbalizer a row."""
    assert "66 forward passes of the target and 65 of the verbalizer a row" in definition_of("attack_met").cost


def test_tokens_stand_behind_what_every_text_begins_with() -> None:
    """Nobody who writes a text can put anything before the special token that opens it."""
    found = attacker(tokens=2, candidates=4, most_kl=50.0)
    ids = [int(found.target.tokenizer.all_special_ids[0]), *IDS]
    made = found.random_prefix(ids, found.clean(ids), random.Random(0))
    tokens_1T = torch.tensor([[ids[0], *made.prefix, *IDS]])
    assert torch.allclose(made.vector_D, found.site.read(found.target, tokens_1T)[0, -1].float(), atol=1e-5)


def test_a_document_that_fills_the_window_cannot_be_attacked() -> None:
    """There is no room for the tokens, and the target would refuse it."""
    found = attacker(tokens=2)
    room = window(found.target.model)
    assert found.has_room([5] * (room - 2))
    assert not found.has_room([5] * (room - 1))
