"""The documents that the report shows: their text, where they were read, what was said, and whether it is so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from nlakit.data.tokens import tokenise
from nlakit.evaluate.claims import JudgedClaim
from nlakit.evaluate.evaluation import ShownClaim, ShownDocument, ShownReading
from nlakit.evaluate.rows import Rows
from nlakit.explanations import Explanation
from nlakit.models.target import Target

DOCUMENTS = 6
READINGS = 3
"""At most so many readings of one document."""


def shown_documents(
    target: Target,
    rows: Rows,
    max_tokens: int,
    explanations: Sequence[Explanation],
    errors_N: Tensor,
    variance: float,
    judged: Sequence[JudgedClaim] | None,
) -> tuple[ShownDocument, ...]:
    """Return the first few documents with their readings; they come in an order drawn at random, so these are no choice.

    ``judged`` is None when the corpus does not know its truth.
    """
    claims_of: dict[int, list[JudgedClaim]] = {}
    for item in judged or ():
        claims_of.setdefault(item.row, []).append(item)
    rows_of: dict[str, list[int]] = {}
    for row, owner in enumerate(rows.document_ids):
        rows_of.setdefault(owner, []).append(row)
    chosen = rows.documents[:DOCUMENTS]
    columns = {name: rows.column(name) for name in ("position", "token", "norm")}
    shown = []
    for document, tokens in zip(chosen, tokenise(target, chosen, max_tokens), strict=True):
        readings = []
        for row in spread(rows_of[document.id], READINGS):
            position = columns["position"][row]
            start, end = tokens.offsets[position]
            explanation = explanations[row]
            claims = None if judged is None else shown_claims(claims_of.get(row, ()))
            readings.append(
                ShownReading(
                    position=position,
                    token=columns["token"][row],
                    start=start,
                    end=end,
                    norm=columns["norm"][row],
                    explanation=explanation.text if explanation.ok else "",
                    outcome=explanation.outcome.value,
                    error=float(errors_N[row]),
                    explained=1 - float(errors_N[row]) / variance,
                    claims=claims,
                )
            )
        shown.append(ShownDocument(document_id=document.id, text=tokens.text, readings=tuple(readings)))
    return tuple(shown)


def spread(rows: Sequence[int], count: int) -> list[int]:
    """Return at most ``count`` of the rows, evenly spread and with the last one among them."""
    if len(rows) <= count:
        return list(rows)
    return [rows[((place + 1) * len(rows)) // count - 1] for place in range(count)]


def shown_claims(judged: Sequence[JudgedClaim]) -> tuple[ShownClaim, ...]:
    """Return the claims of one explanation as the report shows them, in the order of the text."""
    return tuple(
        ShownClaim(
            start=item.claim.start,
            end=item.claim.end,
            slot=item.claim.slot,
            value=item.claim.value,
            verdict=item.verdict,
            truth=None if item.fact is None else item.fact.value,
            held=item.held,
        )
        for item in judged
    )


def outcome_counts(outcomes: Sequence[str]) -> Mapping[str, int]:
    """Count outputs by how they ended, the usable ones first."""
    return {name: outcomes.count(name) for name in sorted(set(outcomes), key=lambda name: (name != "ok", name))}
