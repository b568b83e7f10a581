"""What one measure is: its name, its definition, what to hold it against and what it costs. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["fraction", "FVE", "tokens", "nats", "nats/token", "bits/byte", "claims", "AUROC"]
Need = Literal["warm start", "teacher", "truth", "grown target", "paraphraser", "judge"]


@dataclass(frozen=True, slots=True)
class MeasureDefinition:
    """What one measure is, how to read it and what it costs."""

    name: str
    title: str
    """A few words for a table or a chart."""
    definition: str
    """What is counted or averaged, over what."""
    baseline: str
    """What to hold the number against."""
    unit: Unit
    cost: str
    """What has to be computed for it, beyond the held-out vectors themselves."""
    group: str
    """The heading under which it is listed."""
    needs: tuple[Need, ...] = ()
    """Without these it is left out, with the reason in the report."""


SAMPLED = "one sampled explanation a row"
"""The cost of what every evaluation samples anyway, once."""
NONE = "none beyond the sampled explanations"
