"""Support: how far to believe a claim, in [0, 1], from signals that need no truth.

A logistic regression over the signals, fitted where the truth is known. Applying it takes no more than its numbers. Those of the
pair that ships lie beside this file; ``nlakit calibrate`` writes those of another pair into its card. On a target whose truth
nobody knows they come from another model: take them for a ranking (docs/reading.md).

There is one for each kind of claim. The words of a whole statement are one wording of many, so that they are improbable where they
are true, and what a frame takes for a value has not always one; so what a probability says hangs on how the claim was found.

Axes: C claims, S signals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from nlakit.calibration import Calibration
from nlakit.claims.anytext import STATEMENT, FrameReader
from nlakit.claims.exchange import ClaimReader
from nlakit.claims.signals import SIGNALS, Signals
from nlakit.errors import InputError, missing_extra
from nlakit.models.pair import Pair
from nlakit.truth import Claim

FILE = "calibration.json"
KNOWN, FRAMES, STATEMENTS = "known", "frames", "statements"
KINDS = (KNOWN, FRAMES, STATEMENTS)
"""Claims read by a plugin that knows the language; by frames, or as a name, number or quotation, in any text; whole statements."""
TAUGHT, UNTAUGHT = "taught", "untaught"
"""Keys of the two calibrations of each kind in the file."""
PENALTY = 1.0
"""Inverse strength of the L2 penalty; there are thousands of claims for a handful of weights."""

FloatArray = npt.NDArray[np.float64]


def kind_of(reader: ClaimReader, claim: Claim) -> str:
    """Return of which kind a claim is, by who read it."""
    if not isinstance(reader, FrameReader):
        return KNOWN
    return STATEMENTS if claim.slot == STATEMENT else FRAMES


def support_of(pair: Pair, kind: str = KNOWN) -> Calibration:
    """Return how the support of a pair's claims follows from their signals: as its card says, else as was fitted on Terrarium.

    A card says it of claims that a plugin reads, which alone can be held against the truth. What it says of a signal that the pair
    no longer has, since the weights from before reinforcement learning were not published with it, is worth nothing.
    """
    own, taught = pair.card.support, pair.taught is not None
    if own is not None and kind == KNOWN and (taught or "taught" not in own.signals):
        return own
    return shipped(kind, taught=taught)


@cache
def shipped(kind: str = KNOWN, *, taught: bool) -> Calibration:
    """Return a calibration that comes with the package: for pairs that keep the verbalizer that was taught, or for others."""
    text = (resources.files("nlakit.claims") / FILE).read_text(encoding="utf-8")
    return Calibration.model_validate(json.loads(text)[kind][TAUGHT if taught else UNTAUGHT])


def fit(
    signals_C: Sequence[Signals],
    true_C: Sequence[bool],
    names: Iterable[str] = SIGNALS,
    fitted_on: dict[str, Any] | None = None,
) -> Calibration:
    """Fit a calibration on claims whose truth is known.

    Raises :class:`~nlakit.errors.InputError` where all claims are true or none is, and
    :class:`~nlakit.errors.MissingExtraError` without scikit-learn.
    """
    names = tuple(names)
    if len(set(true_C)) < 2:
        raise InputError(
            f"{len(true_C)} claims, of which {sum(true_C)} are true: support is fitted where some are and some are not."
        )
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise missing_extra("scikit-learn", "eval", "fitting a support score") from error
    values_CS = as_array(signals_C, names)
    # Masked and not nan, since the mean of a signal that is missing everywhere would warn.
    known_CS = np.ma.masked_invalid(values_CS)
    centre_S, scale_S = known_CS.mean(axis=0).filled(0.0), known_CS.std(axis=0).filled(0.0) + 1e-6
    standard_CS = ((known_CS - centre_S) / scale_S).filled(0.0)
    model = LogisticRegression(C=PENALTY, max_iter=1000).fit(standard_CS, np.asarray(true_C, dtype=int))
    return Calibration(
        signals=names,
        centre=tuple(map(float, centre_S)),
        scale=tuple(map(float, scale_S)),
        weights=tuple(map(float, model.coef_[0])),
        intercept=float(model.intercept_[0]),
        fitted_on=fitted_on or {},
    )


def as_array(signals_C: Sequence[Signals], names: Sequence[str]) -> FloatArray:
    """Return the signals (C, S), nan where one is missing."""
    rows = [[found.get(name) for name in names] for found in signals_C]
    return np.asarray([[math.nan if value is None else value for value in row] for row in rows], dtype=np.float64)


def write(fitted: Mapping[str, Mapping[str, Calibration]]) -> str:
    """Return the text of the file, of calibrations by kind and by whether the pair keeps the verbalizer that was taught."""
    found = {kind: {key: one.model_dump(mode="json") for key, one in both.items()} for kind, both in fitted.items()}
    return json.dumps(found, indent=2) + "\n"
