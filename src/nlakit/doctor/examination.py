"""The examination: every check that applies, each with its finding, whatever the others find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from nlakit.config import AUTO
from nlakit.doctor.findings import Check, Finding, Look, Result, failure, finding, not_applicable
from nlakit.doctor.opening import open_subject
from nlakit.doctor.subject import Subject
from nlakit.doctor.table import CHECKS
from nlakit.errors import NlakitError
from nlakit.models.loading import quiet_transformers
from nlakit.models.pair import Pair
from nlakit.models.target import Target
from nlakit.plugins import DEFAULT_PAIR
from nlakit.progress import Progress

NEEDED = {
    "target": "a model",
    "card": "a pair's card",
    "prompting": "a tokenizer for the prompts",
    "verbalizer": "a verbalizer",
    "reconstructor": "a reconstructor",
    "pair": "a pair",
    "reader": "a pair with its model",
    "trained": "a trained pair",
    "folder": "a pair on the disk",
    "store": "a store",
    "run": "a run",
    "history": "a run with reinforcement learning",
    "evaluation": "a run that was evaluated",
}
"""What a look may need, in words."""


def examine(
    what: str | Path | Target | Pair = DEFAULT_PAIR, *, device: str = AUTO, progress: Progress | None = None
) -> list[Finding]:
    """Examine a pair, a model, a run or a store, by name, folder, or as it is in memory; findings by their numbers.

    A bare model is examined as a pair of it would begin. Where a check cannot be done because of what another one found,
    or there is nothing for it to look at, its finding says so. Raises ``NotFoundError`` for a name that is not installed and
    ``InputError`` for a folder that is none of these; whatever else is broken is a finding.
    """
    return diagnose(open_subject(what, device), progress)


def diagnose(subject: Subject, progress: Progress | None = None) -> list[Finding]:
    """Do every check on what is open; see :func:`examine`."""
    findings: dict[str, Finding] = {}
    spoiled: dict[str, str] = {}  # check -> the failed check that it, or one that it comes after, could not be done for
    running = (progress or Progress(silent=True)).task("doctor", total=len(CHECKS))
    with quiet_transformers(), _evaluating(subject), running as task:
        for check in in_order(CHECKS):
            cause = next((spoiled[name] for name in check.after if name in spoiled), None)
            found = _skipped(check, cause) if cause is not None else finding(check, _results(check, subject))
            if cause is not None or found.status == "failure":
                spoiled[check.name] = cause or check.name
            findings[check.name] = found
            task.advance(text=check.title)
    return sorted(findings.values(), key=lambda found: found.number)


@contextmanager
def _evaluating(subject: Subject) -> Iterator[None]:
    """Switch dropout off for the length of the block: two passes must be alike."""
    modules: list[nn.Module] = [part.model for part in (subject.target, subject.verbalizer) if part is not None]
    modules += [] if subject.reconstructor is None else [subject.reconstructor]
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)


def in_order(checks: Sequence[Check]) -> list[Check]:
    """Sort checks so that each comes after those that it names."""
    known = {check.name: check for check in checks}
    ordered: dict[str, Check] = {}

    def place(check: Check) -> None:
        for name in check.after:
            if name not in ordered:
                place(known[name])
        ordered[check.name] = check

    for check in checks:
        place(check)
    return list(ordered.values())


def _skipped(check: Check, cause: str) -> Finding:
    return finding(check, [not_applicable(f"not looked at, because of what the check {cause!r} found")])


def _results(check: Check, subject: Subject) -> list[Result]:
    """Do the looks of a check; those that have nothing to look at give nothing, or together one result that says so."""
    results = [result for look in check.looks if (result := _look(look, subject)) is not None]
    if results:
        return results
    return [not_applicable(f"needs {_needs(check.looks, subject.closed)}")]


def _look(look: Look, subject: Subject) -> Result | None:
    """Do one look; what nlakit has against it is a failure, and any other exception is a bug that comes through."""
    try:
        return look.at(subject) if all(subject.has(part) for part in look.needs) else None
    except NlakitError as error:
        return failure(str(error))


def _needs(looks: Sequence[Look], closed: Mapping[str, str]) -> str:
    """Say what would have to be there."""
    ways = dict.fromkeys(" and ".join(NEEDED[part] for part in look.needs) for look in looks)
    return " or ".join(ways) + (f", and {', '.join(closed)} did not open" if closed else "")


def counted(findings: Sequence[Finding]) -> dict[str, int]:
    """Count findings by their status, the worst first."""
    return {
        status: sum(found.status == status for found in findings)
        for status in ("failure", "warning", "pass", "not applicable")
    }
