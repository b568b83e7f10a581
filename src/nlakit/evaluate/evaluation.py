"""What one evaluation found: measures, tables, examples, and what was left out and why.

This is the record that is written as ``evaluation.json`` and that the report is drawn from; drawing needs
neither the pair nor the corpus.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from nlakit.card import Measure
from nlakit.errors import RunError
from nlakit.storage import write_json
from nlakit.truth import Level, Verdict

FILE_NAME = "evaluation.json"


class Record(BaseModel):
    """Base of the records below: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Number(NamedTuple):
    """A measure that was taken: value, both ends of its interval, and n."""

    value: float
    low: float
    high: float
    n: int


def numbers_of(measures: Mapping[str, Measure]) -> dict[str, Number]:
    """Return the measures that have a value and an interval."""
    return {
        name: Number(measure.value, measure.low, measure.high, measure.n)
        for name, measure in measures.items()
        if measure.value is not None and measure.low is not None and measure.high is not None
    }


class SlotRow(Record):
    """One line of the table that holds claims against what the vectors hold."""

    slot: str
    level: Level
    claims: int
    """Claims made about the slot in the sampled explanations."""
    claims_true: float | None
    """Share of them that are true; none without claims."""
    claims_decodable: float | None
    """Share of the same claims that would be true if each gave the probe's best value (``claims_ceiling``)."""
    facts: int
    """Held-out positions at which the slot has a true value."""
    probe_accuracy: float | None
    """Share of them at which the probe's best value is the true one."""
    majority: float | None
    """Share of them at which the most frequent training value is the true one: guessing without the vector."""
    held: float | None
    """Share of them that the vector holds (:data:`nlakit.truth.HELD_ABOVE`)."""
    mentioned: float | None
    """Of those held, the share that the explanation states correctly."""


class LevelRow(Record):
    """How the claims of one level were judged."""

    level: Level
    claims: int
    true: float | None
    related: float | None
    unrelated: float | None


class DataTable(Record):
    """A table of the report that is no list of measures."""

    title: str
    about: str
    """What is shown, and how to read it, in a sentence or two."""
    heads: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]
    """Cells: texts, counts, and numbers that the report writes with ``decimals``."""
    decimals: int = 2


class ShownClaim(Record):
    """One claim in an explanation that the report shows."""

    start: int
    """Where its words begin in the explanation, in characters."""
    end: int
    slot: str
    value: str
    verdict: Verdict
    truth: str | None
    """The true value of the slot at this position, if there is one."""
    held: bool | None
    """Whether the vector holds that fact; none when no probe was fitted."""


class ShownReading(Record):
    """One sampled explanation with its scores."""

    position: int
    token: str
    start: int
    """Where the token begins in the document's text, in characters."""
    end: int
    norm: float
    explanation: str
    outcome: str
    error: float
    """2(1 - cos), or 2 for a failed output."""
    explained: float
    """1 - error / Var: this row's own share of FVE."""
    claims: tuple[ShownClaim, ...] | None
    """Claims found in it; none when the corpus does not know its truth."""


class ShownDocument(Record):
    """One held-out document with some of its readings."""

    document_id: str
    text: str
    readings: tuple[ShownReading, ...]


class Evaluation(Record):
    """Everything that one evaluation of a pair found."""

    pair: str
    """The card's name of the pair."""
    target: str
    site: str
    split: str
    corpus: dict[str, Any] = {}
    """What was measured on in place of the pair's own corpus, with its fingerprint; empty for its own."""
    rows: int
    documents: int
    rows_wanted: int
    """More than ``rows`` when the held-out split has no more."""
    seed: int
    parts: tuple[str, ...] = ()
    """Parts of the suite that were taken."""
    max_new_tokens: int
    variance: float
    """Var, the denominator of FVE, from the card."""
    statistics: str = ""
    """What FVE is measured against, in a sentence, for a pair that came without mean and variance; empty for any other."""
    measures: dict[str, Measure]
    errors: tuple[float, ...] = ()
    """Errors of the sampled explanations, from the least to the greatest in steps of equally many rows; failed ones left out."""
    outcomes: dict[str, int]
    """Sampled outputs by how they ended."""
    slots: tuple[SlotRow, ...]
    levels: tuple[LevelRow, ...]
    tables: dict[str, DataTable] = {}
    """Further tables by key; charts are drawn from some."""
    probe_rows: int
    """Training rows that the probes were fitted on; 0 without probes."""
    left_out: dict[str, str]
    """Measures that could not be taken, with the reason."""
    shown: tuple[ShownDocument, ...]
    """Documents for the page of readings, drawn by the seed and not chosen by anybody."""
    seconds: float
    versions: dict[str, str]
    created_at: str

    @property
    def numbers(self) -> dict[str, Number]:
        """The measures that have something behind them."""
        return numbers_of(self.measures)

    @property
    def unchecked(self) -> bool:
        """Whether no claim could be checked, so that the readings are left for people to judge."""
        return not self.slots

    def on_card(self) -> dict[str, object]:
        """Return what a card keeps of it, as changes to a :class:`~nlakit.card.Card`: the measures, and how they were taken."""
        kept = ("rows", "documents", "corpus", "seed", "max_new_tokens", "left_out", "created_at")
        measured = {name: getattr(self, name) for name in kept} | {"nlakit": self.versions.get("nlakit")}
        return {"results": self.measures, "errors": self.errors, "measured": measured}

    def save(self, folder: Path) -> Path:
        """Write ``evaluation.json`` atomically and return its path."""
        path = folder / FILE_NAME
        write_json(path, json.loads(self.model_dump_json()))
        return path

    @classmethod
    def load(cls, folder: Path) -> Evaluation:
        """Read ``evaluation.json``; RunError when it is missing or damaged."""
        path = folder / FILE_NAME
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"cannot read {path}: {error}. Run the evaluation first.") from error
        except ValidationError as error:
            raise RunError(f"{path} is damaged or from another version: {error}. Run the evaluation again.") from error


def by_reason(left_out: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Group what was left out by its reason, in order of appearance."""
    grouped: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        grouped.setdefault(reason, []).append(name)
    return list(grouped.items())
