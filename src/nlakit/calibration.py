"""The numbers that turn the signals of a claim into its support; a pair's card may carry its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Calibration(BaseModel):
    """The numbers that turn signals into support."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    signals: tuple[str, ...]
    """Names, in the order of the numbers below."""
    centre: tuple[float, ...]
    """Mean of each signal, which also stands in where one is missing."""
    scale: tuple[float, ...]
    """Standard deviation of each signal."""
    weights: tuple[float, ...]
    """Of the standardised signals."""
    intercept: float
    fitted_on: dict[str, Any] = {}
    """Pair, split, claims and share of them that are true."""

    @model_validator(mode="after")
    def _fits(self) -> Calibration:
        lengths = {len(self.signals), len(self.centre), len(self.scale), len(self.weights)}
        if len(lengths) > 1 or min(self.scale, default=1.0) <= 0:
            raise ValueError("a centre, a scale above 0 and a weight are needed for each signal")
        return self

    def apply(self, signals: Mapping[str, float | None]) -> float:
        """Return the support of a claim with these signals."""
        logit = self.intercept
        for name, centre, scale, weight in zip(self.signals, self.centre, self.scale, self.weights, strict=True):
            value = signals.get(name)
            logit += 0.0 if value is None else weight * (value - centre) / scale
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))
