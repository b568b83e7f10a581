"""Checks of the injection: the norm that a vector is set to, the norm that arrives, and whether the model uses it.

Axes: B rows of a batch, D width of a vector.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cosine_similarity

from nlakit.card import REPLACE
from nlakit.doctor.findings import Result, held, not_applicable, passed
from nlakit.doctor.subject import Subject, present
from nlakit.doctor.writing_checks import STEPS
from nlakit.models.inject import tolerance
from nlakit.models.sampler import sample


def scale_sets_the_norm(subject: Subject) -> Result:
    """Inject vectors of different norms, and measure what is written: the declared norm, in the vector's direction."""
    arrival, model = subject.arrival, present(subject.verbalizer).model
    given, written = arrival.raw_2D.norm(dim=-1).tolist(), arrival.written_2D.norm(dim=-1).tolist()
    worst = max(abs(norm - arrival.norm) for norm in written) / arrival.norm
    cosine = float(cosine_similarity(arrival.raw_2D, arrival.written_2D.to(arrival.raw_2D.device)).min())
    return held(
        worst < tolerance(model) and cosine > 1 - tolerance(model),
        f"vectors of norms {given[0]:.3g} and {given[1]:.3g} are injected with norms {written[0]:.4g} and {written[1]:.4g} "
        f"where {arrival.norm:.4g} is declared, at a cosine of {cosine:.4f} to themselves",
    )


def vectors_arrive_as_written(subject: Subject) -> Result:
    """Compare the norms at the place of injection and where the first block reads."""
    verbalizer, arrival = present(subject.verbalizer), subject.arrival
    if verbalizer.injection_kind != REPLACE:
        return not_applicable(f"the vector is added at {verbalizer.injection_kind}, behind the embedding")
    written_2, arrived_2 = arrival.written_2D.norm(dim=-1), arrival.arrived_2D.norm(dim=-1)
    ratio = float((arrived_2 / written_2.to(arrived_2.device)).mean())
    root = arrival.raw_2D.shape[-1] ** 0.5
    hint = f" (the square root of the width is {root:.4g})" if abs(ratio / root - 1) < 0.1 else ""
    return held(
        abs(ratio - 1) < tolerance(verbalizer.model),
        f"the first block reads {ratio:.4g} times the norm that was injected{hint}",
    )


def vectors_are_used(subject: Subject) -> Result:
    """Inject while scoring, with gradients and without, and while sampling; see that it happens and changes the logits."""
    verbalizer, arrival = present(subject.verbalizer), subject.arrival
    vectors_ND = subject.rows.vectors_ND[:2]
    with torch.enable_grad():
        verbalizer.log_probs(vectors_ND, [[verbalizer.end_id]] * len(vectors_ND))
    sample(verbalizer, vectors_ND, max_new_tokens=STEPS)
    change = float((arrival.logits_2V[0] - arrival.logits_2V[1]).abs().max())
    if not arrival.used:
        return held(False, "changing the vector changes no logit, or makes logits that are not finite")
    return passed(
        f"the vector is written where the model reads, in scoring, training and sampling; another one moves a logit by {change:.3g}"
    )
