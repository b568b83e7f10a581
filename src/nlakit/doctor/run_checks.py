"""Checks of what a run has on the disk: checkpoints, metrics, alarms and measures."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from nlakit.card import Measure
from nlakit.doctor.findings import Result, failure, held, not_applicable, passed, warning
from nlakit.doctor.subject import Subject, present
from nlakit.evaluate.verdict import summarise
from nlakit.train.alarms import RULES, Limits, check, vector_ignored
from nlakit.train.checkpoints import Checkpoints

KL_STEPS = 5
"""Logged steps after which the divergence must have moved (our choice)."""
PICKLES = (".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth")
"""Endings of files that can run code when they are loaded."""


def checkpoints_are_best_and_last(subject: Subject) -> Result:
    """List the checkpoints of each training loop: the newest, the best, and nothing of optimizers in an older one."""
    run = present(subject.run).path
    loops = sorted({path.parent.parent for path in run.rglob("step-*/state.json")})
    spare: list[str] = []
    kept = 0
    for loop in loops:
        newest = Checkpoints(loop, {}, {}).last()
        wanted = set() if newest is None else {newest.step, newest.best_step}
        for folder in sorted(loop.glob("step-*")):
            step, kept = int(folder.name.removeprefix("step-")), kept + 1
            old = newest is not None and step != newest.step
            if step not in wanted or (old and any(folder.glob("*.optimizer.safetensors"))):
                spare.append(str(folder.relative_to(run)))
    if not loops:
        return not_applicable("the run has no checkpoints at present")
    named = f"; too much: {', '.join(spare[:3])}" if spare else ""
    return held(not spare, f"{kept} checkpoints of {len(loops)} training loops are kept, best and last{named}")


def next_checkpoint_fits(subject: Subject) -> Result:
    """Compare the disk's free space with the largest checkpoint and the finished pair, which is written beside it."""
    run = present(subject.run).path
    sizes = [_size(folder) for folder in run.rglob("step-*") if folder.is_dir()]
    pairs = [_size(folder) for folder in (run / "warm-start" / "pair", run / "pair") if folder.is_dir()]
    needed, free = max(sizes, default=0) + 2 * max(pairs, default=0), shutil.disk_usage(run).free
    found = f"the next checkpoint and pair need about {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"
    return (
        passed(found) if free >= needed else warning(found, "Free space on the disk of the run folder before going on.")
    )


def pair_is_weights_alone(subject: Subject) -> Result:
    """Look through the pair's folder for states of optimizers, and for files that can run code."""
    folder = present(subject.folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    strange = sorted(
        path.relative_to(folder).as_posix() for path in files if "optimizer" in path.name or path.suffix in PICKLES
    )
    named = f"; not weights: {', '.join(strange[:3])}" if strange else ""
    return held(
        not strange,
        f"the pair takes {_size(folder) / 1e6:,.1f} MB in {len(files)} files{named}",
        "Delete them: a pair is its weights in safetensors, its tokenizers and its card.",
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def logged_kl_moves(subject: Subject) -> Result:
    """Look at the divergence in the metrics: zero in the first step, when nothing has changed, and not for ever."""
    values = [record["kl"] for record in present(subject.history) if record.get("kl") is not None]
    if len(values) < KL_STEPS:
        return not_applicable(f"fewer than {KL_STEPS} steps have logged a divergence")
    moving = any(value != values[0] for value in values[1:])
    return held(moving, f"the divergence in metrics.jsonl went from {values[0]:.2g} to {values[-1]:.2g} nats a token")


def controls_are_logged(subject: Subject) -> Result:
    """Look in the metrics for the contrasts with another row's vector and with none, and hold the last ones to the alarm."""
    history = present(subject.history)
    names = ("fve_shuffled", "fve_zero", "own_cross_entropy_shuffled", "own_cross_entropy_zero")
    missing = [name for name in names if not any(record.get(name) is not None for record in history)]
    if missing:
        return failure(
            f"metrics.jsonl has no {', '.join(missing)}",
            "Log both controls at every validation (nlakit.train.validation.round_trip): without them nothing shows that the "
            "vector is used.",
        )
    message = vector_ignored(history, Limits())
    if message is not None:
        return failure(message)
    last = {name: next(record[name] for record in reversed(history) if record.get(name) is not None) for name in names}
    return passed("at the last validation " + ", ".join(f"{name} was {value:.3f}" for name, value in last.items()))


def evaluated_controls_hold(subject: Subject) -> Result:
    """Take the evaluation's own verdict on its controls."""
    checks = summarise(present(subject.evaluation)).checks
    bad = [item.text for item in checks if not item.passed]
    return failure("; ".join(bad)) if bad else passed(f"all {len(checks)} controls of the evaluation hold")


def both_temperatures_are_reported(subject: Subject) -> Result:
    """Look for the FVE of sampled and of greedy explanations, side by side."""
    measures = _measures(subject)
    if "fve" not in measures:
        return not_applicable("no FVE was measured yet")
    values = [measures[name].value if name in measures else None for name in ("fve", "fve_greedy")]
    if None in values:
        return warning("the FVE of sampled explanations stands alone: fve_greedy was not measured")
    return passed(f"FVE is {values[0]:.3f} at temperature 1 and {values[1]:.3f} greedily")


def frozen_reconstructor_is_reported(subject: Subject) -> Result:
    """Hold the FVE that the warm start's reconstructor gets from the final words against that before reinforcement learning."""
    card, measures = present(subject.card), _measures(subject)
    if "train" not in card.training or "fve" not in measures:
        return not_applicable("nothing was measured after reinforcement learning yet")
    frozen, before = measures.get("fve_frozen_reconstructor"), measures.get("fve_warm_start")
    if frozen is None or before is None or frozen.value is None or before.value is None:
        return warning(
            f"FVE {_value(measures['fve'])} is by the reconstructor that was trained beside the verbalizer; that of the warm start "
            "was not asked (fve_frozen_reconstructor), so a drift into a private code would not show"
        )
    found = (
        f"the final words give FVE {_value(measures['fve'])} by their own reconstructor and {_value(frozen)} by that of the warm "
        f"start, which got {_value(before)} from the words before reinforcement learning"
    )
    if frozen.high is not None and before.low is not None and frozen.high < before.low:
        return warning(
            found,
            "The words have drifted towards a code of their own. Read samples.jsonl; raise train.kl_coefficient or lower "
            "train.verbalizer_learning_rate.",
        )
    return passed(found)


def _value(measure: Measure) -> str:
    return "-" if measure.value is None else f"{measure.value:.3f}"


def _measures(subject: Subject) -> Mapping[str, Measure]:
    """The newest measures: of the run's evaluation, else those on the card."""
    if subject.evaluation is not None:
        return subject.evaluation.measures
    return present(subject.card).results


def no_alarm_rings(subject: Subject) -> Result:
    """Run the rules that watch a training over its metrics."""
    found = [alarm for alarm in check(present(subject.history)) if alarm.name != "vector_ignored"]
    if found:
        return warning("; ".join(alarm.message for alarm in found), "Do what the alarm says, and train again.")
    return passed(f"none of the {len(RULES)} alarms rings at step {present(subject.history)[-1]['step']}")
