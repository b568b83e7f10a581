"""Checks of the parts themselves: whether they open, belong together, and are as they were written."""

from __future__ import annotations

from nlakit.doctor.findings import Result, failure, passed
from nlakit.doctor.subject import Subject, present


def everything_opens(subject: Subject) -> Result:
    """Say what did not open, and why."""
    shut = [f"the {part} does not open: {reason}" for part, reason in subject.closed.items()]
    named = ("target", "card", "verbalizer", "reconstructor", "run", "store")
    parts = ["model" if part == "target" else part for part in named if subject.has(part)]
    return failure("; ".join(shut)) if shut else passed(f"{', '.join(parts)} open")


def parts_belong_together(subject: Subject) -> Result:
    """Hold fingerprints and widths of the parts against the card."""
    pair = present(subject.pair)
    pair.verify_parts()
    if subject.store is not None and subject.store.width != pair.card.target.d_model:
        return failure(
            f"the store holds vectors of width {subject.store.width}, and the pair reads {pair.card.target.d_model}"
        )
    return passed("fingerprints and widths are those on the card")


def store_is_as_written(subject: Subject) -> Result:
    """Hash every file of the store."""
    store = present(subject.store)
    store.require_sound()
    return passed(f"all {len(store.manifest.shards)} shards of the store are as they were written")
