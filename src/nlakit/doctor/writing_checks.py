"""Checks of what the verbalizer writes: sampled tokens, their log-probabilities, the KL term, and what a logit costs.

Each compares what is used with the plain way: the whole prompt in one pass, without any cache, for one vector.

Axes: N vectors, T tokens, V vocabulary, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nlakit.config import derive_seed
from nlakit.doctor.findings import Result, failure, held, not_applicable, passed
from nlakit.doctor.subject import Subject, present
from nlakit.models.decoder import find_parts
from nlakit.models.inject import tolerance
from nlakit.models.sampler import Sample, sample
from nlakit.models.verbalizer import Verbalizer
from nlakit.train.alarms import Limits, vector_ignored
from nlakit.train.learner import rollout_gap
from nlakit.train.policy import policy_loss
from nlakit.train.rollout import Rollout
from nlakit.train.validation import cross_entropies

STEPS = 4
"""Tokens that are sampled where a few will do."""
OWN_TOKENS = 24
"""Tokens that are sampled where the words are scored."""


@torch.no_grad()
def plain_log_probs(verbalizer: Verbalizer, vector_D: Tensor) -> Tensor:
    """Return the log-probabilities (V,) of the token after the prompt: one row, the whole prompt, no cache."""
    tokens_1T = torch.tensor([verbalizer.prompt_ids], device=verbalizer.device)
    with verbalizer.injection(vector_D[None].to(verbalizer.device), verbalizer.marker_position):
        out = verbalizer.model(input_ids=tokens_1T, logits_to_keep=1, use_cache=False)
    log_probs_V: Tensor = out.logits[0, -1].float().log_softmax(dim=-1)
    return log_probs_V


def samples_begin_behind_the_prompt(subject: Subject) -> Result:
    """Sample the likeliest tokens, and see that the first one is the likeliest after the prompt and none is missing."""
    verbalizer = present(subject.verbalizer)
    vector_D = subject.rows.vectors_ND[0]
    found = sample(verbalizer, vector_D[None], temperature=0, max_new_tokens=STEPS)[0]
    ended = bool(found.ids) and _ended(verbalizer, found.ids)
    if len(found.ids) != STEPS and not ended:
        return failure(f"{len(found.ids)} tokens came back of {STEPS} that were sampled")
    log_probs_V = plain_log_probs(verbalizer, vector_D)
    behind = float(log_probs_V.max() - log_probs_V[found.ids[0]])
    return held(
        behind <= 10 * tolerance(verbalizer.model),
        f"{len(found.ids)} of {STEPS} sampled tokens come back, the first {behind:.3g} nats behind the likeliest after the prompt",
    )


def _ended(verbalizer: Verbalizer, ids: list[int]) -> bool:
    close = verbalizer.close_ids
    return ids[-1] in verbalizer.stop_ids or ids[-len(close) :] == close


def caches_are_of_one_vector(subject: Subject) -> Result:
    """Sample with two vectors, one after the other and together, and see that neither gets what belongs to the other."""
    verbalizer = present(subject.verbalizer)
    pair_2D = subject.rows.vectors_ND[[0, int(subject.rows.other_N[0])]]
    plain = [plain_log_probs(verbalizer, vector_D) for vector_D in pair_2D]
    differ = float((plain[0] - plain[1]).abs().max())
    first, second = (_greedy(verbalizer, vector_D[None])[0] for vector_D in pair_2D)
    together = _greedy(verbalizer, pair_2D)
    if differ == 0 or not (first.ids and second.ids):
        return not_applicable("two vectors cannot be told apart by what comes back")
    if _same(first, second):
        return failure(
            f"after the same prompt a second vector got the first one's text and log-probabilities, though without a cache "
            f"they differ by {differ:.3g} nats"
        )
    gap = max(_first_gap(alone, row) for alone, row in zip((first, second), together, strict=True))
    return held(
        gap <= 10 * tolerance(verbalizer.model),
        f"two vectors after the same prompt differ by {differ:.3g} nats; sampled together and one by one they agree to {gap:.3g}",
    )


def _greedy(verbalizer: Verbalizer, vectors_ND: Tensor) -> list[Sample]:
    return sample(verbalizer, vectors_ND, temperature=0, max_new_tokens=STEPS, keep_log_probs=True)


def _same(one: Sample, other: Sample) -> bool:
    scores = (one.log_probs, other.log_probs)
    return one.ids == other.ids and None not in scores and torch.equal(*scores)  # type: ignore[arg-type]


def _first_gap(one: Sample, other: Sample) -> float:
    """Difference of the first tokens' log-probabilities; infinite where one is missing."""
    if one.log_probs is None or other.log_probs is None or not (one.ids and other.ids):
        return float("inf")
    return float((one.log_probs[0] - other.log_probs[0]).abs())


def log_probs_are_raw(subject: Subject) -> Result:
    """Sample at another temperature than 1, and compare the log-probabilities with those of a teacher-forced pass."""
    verbalizer = present(subject.verbalizer)
    vectors_ND = subject.rows.vectors_ND[:2]
    found = sample(verbalizer, vectors_ND, temperature=0.5, max_new_tokens=STEPS, keep_log_probs=True)
    if not all(item.ids for item in found):
        return not_applicable("no tokens came back")
    with torch.no_grad():
        log_probs_NT, _ = verbalizer.log_probs(vectors_ND, [item.ids for item in found])
    gap = rollout_gap(Rollout(vectors_ND, found, 1), list(range(len(found))), log_probs_NT)
    limit = Limits().rollout_gap
    return held(
        gap <= limit,
        f"log-probabilities of tokens sampled at temperature 0.5 are within {gap:.2g} nats of those at temperature 1 when scored "
        f"again (limit {limit:g})",
    )


def logits_only_where_needed(subject: Subject) -> Result:
    """Count the rows of logits: one for each token that is scored, one a vector and step while sampling, none while reading."""
    verbalizer = present(subject.verbalizer)
    vectors_ND = subject.rows.vectors_ND[:2]
    completions = [[verbalizer.end_id] * 2, [verbalizer.end_id] * 5]
    with _counted(verbalizer.model) as scored, torch.no_grad():
        verbalizer.log_probs(vectors_ND, completions)
    with _counted(verbalizer.model) as sampled:
        sample(verbalizer, vectors_ND, max_new_tokens=2)
    read: list[int] = []
    if subject.target is not None and subject.target.model.get_output_embeddings() is not None:
        with _counted(subject.target.model) as read:
            subject.site.read(subject.target, torch.tensor([[0, 1, 2]], device=subject.target.device))
    needed, prompt = sum(map(len, completions)), 1
    return held(
        sum(scored) <= needed + prompt and max(sampled) <= len(vectors_ND) and not read,
        f"scoring {needed} tokens computes {sum(scored)} rows of logits, sampling {max(sampled)} a step for "
        f"{len(vectors_ND)} vectors, reading the model {sum(read)}",
    )


@contextmanager
def _counted(model: Any) -> Iterator[list[int]]:
    """Record how many rows of logits each call of the output layer gives."""
    counts: list[int] = []
    hook = model.get_output_embeddings().register_forward_hook(
        lambda _module, _inputs, logits: counts.append(logits.shape[:-1].numel())
    )
    try:
        yield counts
    finally:
        hook.remove()


def kl_has_a_gradient(subject: Subject) -> Result:
    """Take the expected gradient of the KL term between what two vectors make likely, and compare with that of the divergence.

    Both are with respect to the logits: of a term f(log p(a)) the expectation over a ~ p of its gradient is p (g - p.g) with
    g_a = f'(log p(a)), and the gradient of KL(p || q) is p (log p - log q - KL). An estimator without a gradient, such as
    log p - log q, comes out as zero.
    """
    verbalizer = present(subject.verbalizer)
    log_p, log_q = (
        plain_log_probs(verbalizer, subject.rows.vectors_ND[row]) for row in (0, int(subject.rows.other_N[0]))
    )
    log_p, log_q = log_p.double(), log_q.double()
    p_V = log_p.exp()
    leaf_V1 = log_p[:, None].clone().requires_grad_(True)
    term = policy_loss(
        leaf_V1, torch.ones_like(leaf_V1), torch.zeros_like(log_p), log_q[:, None], kl_coefficient=1.0, total_tokens=1
    )
    slope = torch.autograd.grad(term.loss, leaf_V1, allow_unused=True)[0] if term.loss.requires_grad else None
    slope_V = torch.zeros_like(log_p) if slope is None else slope[:, 0]
    wanted_V = p_V * (log_p - log_q - (p_V * (log_p - log_q)).sum())
    given_V = p_V * (slope_V - (p_V * slope_V).sum())
    share = float((given_V * wanted_V).sum() / wanted_V.square().sum().clamp_min(1e-30))
    return held(
        0.5 < share < 2,
        f"in expectation the KL term's gradient is {share:.3f} times that of the divergence",
        "Use a penalty whose expected gradient is that of the divergence: k2 (nlakit.train.policy.kl_penalty).",
    )


def logged_kl_follows_the_weights(subject: Subject) -> Result:
    """Change a weight of the verbalizer, and see that the divergence which is logged is zero before and not after."""
    verbalizer = present(subject.verbalizer)
    vectors_ND = subject.rows.vectors_ND[:2]
    completions = [[verbalizer.end_id] * 3] * len(vectors_ND)
    with torch.no_grad():
        before_NT, mask_NT = verbalizer.log_probs(vectors_ND, completions)
        same_NT, _ = verbalizer.log_probs(vectors_ND, completions)
        with _nudged(verbalizer):
            after_NT, _ = verbalizer.log_probs(vectors_ND, completions)
    nothing_N = torch.zeros(len(vectors_ND), device=before_NT.device)
    still, moved = (
        policy_loss(now_NT, mask_NT, nothing_N, before_NT, kl_coefficient=1.0).kl_sum for now_NT in (same_NT, after_NT)
    )
    return held(
        moved > 10 * abs(still) + 1e-6,
        f"the logged divergence is {still:.2g} nats before a weight changes and {moved:.2g} after",
    )


@contextmanager
def _nudged(verbalizer: Verbalizer) -> Iterator[None]:
    """Scale the final norm's weight for the length of the block, which makes every distribution sharper."""
    weight = next(p for p in find_parts(verbalizer.model).final_norm.parameters() if p.ndim == 1)
    kept = weight.detach().clone()
    try:
        weight.data.mul_(1.05).add_(0.02)  # some norms count their weight from 0, others from 1
        yield
    finally:
        weight.data.copy_(kept)


def vector_tells_the_words(subject: Subject) -> Result:
    """Score the verbalizer's own words given their vector, another text's, and none: they must fit their own best."""
    pair, rows = present(subject.trained), subject.rows
    limit = min(OWN_TOKENS, pair.card.max_new_tokens)
    found = sample(pair.verbalizer, rows.vectors_ND, max_new_tokens=limit, seed=derive_seed(0, "doctor"))
    nats = cross_entropies(pair.verbalizer, rows, [item.ids for item in found])
    words = ", ".join(
        f"{nats[f'cross_entropy_{name}']:.3f} with {what}"
        for name, what in (("true", "its own vector"), ("shuffled", "another text's"), ("zero", "none"))
    )
    ignored = vector_ignored([{f"own_{name}": value for name, value in nats.items()}], Limits())
    found_text = f"what it writes costs the verbalizer, in nats a token on {len(rows)} vectors, {words}"
    return passed(found_text) if ignored is None else failure(found_text)
