"""Leverage: how much a claim does for the reconstruction of the vector.

*Swap leverage* is the mean rise of the error 2(1 - cos) when the claim's value is exchanged for another value of the same slot;
*drop leverage* the rise when its words are left out, which also feels the change of form. A claim that the
vector does not bear out has a swap leverage of about 0. Neither needs a truth.

Axes: N explanations, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nlakit.claims.exchange import Pool, exchanged, without
from nlakit.models.reconstructor import Reconstructor
from nlakit.truth import Claim
from nlakit.vectors import FAILED_ERROR, direction_error

SWAPS = 4
"""Other values that are tried for each claim."""


@dataclass(frozen=True, slots=True)
class Leverage:
    """What one claim does for the reconstruction, in units of the error 2(1 - cos)."""

    swap: float | None
    """Mean rise of the error with another value; None where its slot has no other value that fits the window."""
    drop: float | None
    """Rise of the error without the claim; None where the window does not hold the text, of which nothing is known then."""


def text_errors(reconstructor: Reconstructor, texts: Sequence[str], vectors_ND: Tensor) -> Tensor:
    """Return the error of each text's reconstruction against its vector (N,); equal texts are rebuilt once.

    A text that the reconstructor's window does not hold counts as a failed one does.
    """
    return _errors(reconstructor, texts, vectors_ND)[0]


def _errors(reconstructor: Reconstructor, texts: Sequence[str], vectors_ND: Tensor) -> tuple[Tensor, list[bool]]:
    """Return the errors (N,), and for each text whether the window holds it."""
    different = sorted(set(texts))
    rebuilt_MD, fits = reconstructor.reconstruct_fitting(different)
    place = {text: row for row, text in enumerate(different)}
    held = [row for row, text in enumerate(texts) if fits[place[text]]]
    errors_N = torch.full((len(texts),), FAILED_ERROR)
    # A text that does not fit has no vector, and so no direction to be compared.
    rebuilt_ND = rebuilt_MD.cpu()[[place[texts[row]] for row in held]]
    errors_N[held] = direction_error(rebuilt_ND, vectors_ND[held]).float()
    return errors_N, [fits[place[text]] for text in texts]


def leverages(
    reconstructor: Reconstructor,
    vectors_ND: Tensor,
    texts: Sequence[str],
    claims_N: Sequence[Sequence[Claim]],
    pool: Pool,
    *,
    swaps: int = SWAPS,
    drops: bool = True,
    seed: int = 0,
) -> list[list[Leverage]]:
    """Return the leverage of each claim of each explanation; without ``drops`` that part is 0 and costs nothing.

    One reconstruction an explanation, and ``swaps`` more (one more with ``drops``) a claim.
    """
    edits: list[tuple[int, str]] = [(row, text) for row, text in enumerate(texts)]
    plan: list[list[tuple[list[int], int | None]]] = []
    for row, (text, claims) in enumerate(zip(texts, claims_N, strict=True)):
        plan.append([])
        for claim in claims:
            swapped = [exchanged(text, claim, value) for value in pool.others(claim, swaps, seed)]
            places = list(range(len(edits), len(edits) + len(swapped)))
            edits += [(row, edited) for edited in swapped]
            dropped = len(edits) if drops else None
            if drops:
                edits.append((row, without(text, [claim])))
            plan[-1].append((places, dropped))
    rows = [row for row, _ in edits]
    found_M, fits = _errors(reconstructor, [text for _, text in edits], vectors_ND[rows])
    errors_M = found_M.tolist()

    def leverage(row: int, places: Sequence[int], dropped: int | None) -> Leverage:
        if not fits[row]:
            return Leverage(None, None)
        swapped = [errors_M[place] for place in places if fits[place]]
        return Leverage(
            sum(swapped) / len(swapped) - errors_M[row] if swapped else None,
            0.0 if dropped is None else errors_M[dropped] - errors_M[row],
        )

    return [[leverage(row, *of_claim) for of_claim in found] for row, found in enumerate(plan)]
