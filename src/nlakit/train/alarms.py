"""Alarms: what people who ran this training met too late, said in words as soon as the metrics show it.

Each rule looks at the history of metrics (the dictionaries of ``metrics.jsonl``, oldest first) and returns a message, or None
while all is well. The rules are pure functions of the history, so a resumed run raises the alarms that the unbroken run raised.

To add one: write a function ``(history, limits) -> str | None``, add it to :data:`RULES` under a short name, plant the failure
in a history in the tests, and see that the healthy history stays silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Limits:
    """Thresholds of the rules; all our choice, set so that the shipped recipe's healthy run is silent."""

    window: int = 5
    """Steps averaged before a rule compares; one odd batch raises nothing."""
    contrast_nats: float = 0.02
    """Least gain in cross-entropy, nats per token, of the true vector over another row's."""
    contrast_fve: float = 0.05
    """Least gain in FVE of the true vector over another row's and over no vector."""
    entropy_share: float = 0.25
    """Entropy may not fall below this share of its start."""
    kl_per_token: float = 1.0
    """Divergence from the warm start, nats per token, above which the text is another language."""
    length_share: float = 0.95
    """Mean length above this share of the cap means that the cap sets the length."""
    cap_rate: float = 0.2
    """Share of outputs cut off at the cap."""
    parse_share: float = 0.8
    """Share of usable outputs may not fall below this share of its start."""
    distinct_share: float = 0.5
    """Share of distinct texts may not fall below this share of its start."""
    fve_drop: float = 0.05
    """Validation FVE may not fall this far below its best."""
    rollout_gap: float = 0.05
    """Largest difference, nats, between the log-probability of a token when sampled and when trained on."""


@dataclass(frozen=True)
class Alarm:
    """One rule that a history trips."""

    name: str
    """The rule's short name."""
    step: int
    """Step whose metrics completed the evidence."""
    message: str
    """What was seen, against what, and what to do."""


def _series(history: Sequence[Record], key: str) -> list[float]:
    return [float(record[key]) for record in history if record.get(key) is not None]


def _start_and_now(history: Sequence[Record], key: str, window: int) -> tuple[float, float] | None:
    """Return the means of the first and of the last ``window`` values, or None while they would overlap."""
    values = _series(history, key)
    if len(values) < 2 * window:
        return None
    return fmean(values[:window]), fmean(values[-window:])


def vector_ignored(history: Sequence[Record], limits: Limits) -> str | None:
    """The words fit another row's vector, or no vector, as well as their own: the verbalizer does not read its input."""
    shown = []
    for control, name in (("shuffled", "another row's vector"), ("zero", "no vector")):
        own = _series(history, "own_cross_entropy_true")[-1:]
        other = _series(history, f"own_cross_entropy_{control}")[-1:]
        if own and other and other[0] - own[0] < limits.contrast_nats:
            shown.append(f"cross-entropy {own[0]:.3f} with the true vector, {other[0]:.3f} with {name}")
        fves, controls = _series(history, "fve_validation")[-1:], _series(history, f"fve_{control}")[-1:]
        if fves and controls and fves[0] - controls[0] < limits.contrast_fve:
            shown.append(f"FVE {fves[0]:.3f} with the true vector, {controls[0]:.3f} with {name}")
    if not shown:
        return None
    return (
        f"the verbalizer hardly uses the vector: {'; '.join(shown)}. Train the warm start longer, try another "
        'warm_start.injection_scale or, for a small model, warm_start.optimizer "muon"; if it came later, lower the learning rate'
    )


def entropy_collapsed(history: Sequence[Record], limits: Limits) -> str | None:
    """The verbalizer hardly varies its words any more, so a group has nothing to compare."""
    found = _start_and_now(history, "entropy", limits.window)
    if found is None or found[1] >= limits.entropy_share * found[0]:
        return None
    return (
        f"entropy fell from {found[0]:.2f} to {found[1]:.2f} nats per token: samples of one vector are nearly equal and give "
        "no gradient. Raise train.kl_coefficient or lower train.verbalizer_learning_rate"
    )


def length_at_cap(history: Sequence[Record], limits: Limits) -> str | None:
    """Explanations grow until they are cut off."""
    recent = history[-limits.window :]
    lengths, caps, rates = _series(recent, "length"), _series(recent, "max_new_tokens"), _series(recent, "cap_rate")
    if len(lengths) < limits.window or len(caps) < limits.window or len(rates) < limits.window:
        return None
    if fmean(lengths) <= limits.length_share * caps[-1] and fmean(rates) <= limits.cap_rate:
        return None
    return (
        f"explanations are {fmean(lengths):.0f} tokens long on average and {100 * fmean(rates):.0f} % are cut off at "
        f"{caps[-1]:.0f}. Raise train.length_penalty, or train.max_new_tokens if the teacher's texts are that long"
    )


def kl_runs_away(history: Sequence[Record], limits: Limits) -> str | None:
    """The text leaves the warm start's language."""
    values = _series(history, "kl")
    if len(values) < limits.window or fmean(values[-limits.window :]) <= limits.kl_per_token:
        return None
    return (
        f"divergence from the warm start is {fmean(values[-limits.window :]):.2f} nats per token (limit "
        f"{limits.kl_per_token:g}): the words may be turning into a private code. Read samples.jsonl; raise "
        "train.kl_coefficient or lower train.verbalizer_learning_rate"
    )


def head_not_finite(history: Sequence[Record], limits: Limits) -> str | None:
    """The reconstructor's head holds NaN or infinity."""
    del limits
    values = _series(history, "head_finite")
    if not values or values[-1] == 1.0:
        return None
    return (
        "the reconstructor's value head holds numbers that are not finite; every score is worthless. Go back to the last "
        "checkpoint and lower train.reconstructor_learning_rate"
    )


def parse_rate_falls(history: Sequence[Record], limits: Limits) -> str | None:
    """Fewer and fewer outputs are explanations."""
    found = _start_and_now(history, "parse_rate", limits.window)
    if found is None or found[1] >= limits.parse_share * found[0]:
        return None
    return (
        f"usable outputs fell from {100 * found[0]:.0f} % to {100 * found[1]:.0f} %. Look at the outcomes in samples.jsonl; "
        "raise train.max_new_tokens if they are cut off, otherwise raise train.kl_coefficient"
    )


def texts_alike(history: Sequence[Record], limits: Limits) -> str | None:
    """Different vectors get the same text: collapse into a template, which FVE alone can hide."""
    found = _start_and_now(history, "distinct", limits.window)
    if found is None or found[1] >= limits.distinct_share * found[0]:
        return None
    return (
        f"distinct texts for different vectors fell from {100 * found[0]:.0f} % to {100 * found[1]:.0f} %: the verbalizer is "
        "falling into a template. Raise train.kl_coefficient or train.prompts_per_step"
    )


def fve_falls(history: Sequence[Record], limits: Limits) -> str | None:
    """Validation FVE is well below its best."""
    values = _series(history, "fve_validation")
    if not values or max(values) - values[-1] <= limits.fve_drop:
        return None
    return (
        f"validation FVE is {values[-1]:.3f}, its best was {max(values):.3f}. The best checkpoint is kept; if it keeps falling, "
        "stop and lower both learning rates of [train]"
    )


def rollout_differs(history: Sequence[Record], limits: Limits) -> str | None:
    """Sampling and training disagree about the same token: the gradient belongs to another policy."""
    values = _series(history, "rollout_gap")
    if not values or values[-1] <= limits.rollout_gap:
        return None
    return (
        f"a token's log-probability differs by {values[-1]:.3f} nats between sampling and training (limit "
        f"{limits.rollout_gap:g}). The two paths must agree: report this with the model's name; use float32 until then"
    )


RULES: dict[str, Callable[[Sequence[Record], Limits], str | None]] = {
    "vector_ignored": vector_ignored,
    "entropy_collapsed": entropy_collapsed,
    "length_at_cap": length_at_cap,
    "kl_runs_away": kl_runs_away,
    "head_not_finite": head_not_finite,
    "parse_rate_falls": parse_rate_falls,
    "texts_alike": texts_alike,
    "fve_falls": fve_falls,
    "rollout_differs": rollout_differs,
}
"""Every rule by its short name, in the order in which alarms are shown."""


def check(history: Sequence[Record], limits: Limits | None = None) -> list[Alarm]:
    """Return the alarms that the history trips at its last record; empty while all is well.

    Args:
        history: metrics of one stage, oldest first; a record lacks the keys that were not measured at its step.
        limits: thresholds.
    """
    if not history:
        return []
    limits = limits or Limits()
    step = int(history[-1].get("step", len(history)))
    found = ((name, rule(history, limits)) for name, rule in RULES.items())
    return [Alarm(name, step, message) for name, message in found if message is not None]


def new_alarms(history: Sequence[Record], active: set[str], limits: Limits | None = None) -> list[Alarm]:
    """Return the alarms that were not active before, and bring ``active`` up to date.

    An alarm is told once when it trips and again only after it was silent in between.
    """
    alarms = check(history, limits)
    fresh = [alarm for alarm in alarms if alarm.name not in active]
    active.clear()
    active.update(alarm.name for alarm in alarms)
    return fresh
