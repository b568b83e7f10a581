"""Texts cut into the pieces that the page of readings colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nlakit.evaluate.evaluation import ShownClaim, ShownDocument
from nlakit.truth import Verdict

LONGEST_PIECE = 900
"""Characters of a document between two marked tokens before its middle is left out."""

_WORST_FIRST = (Verdict.UNRELATED, Verdict.RELATED, Verdict.TRUE)


@dataclass(frozen=True, slots=True)
class DocumentPiece:
    """A stretch of a document: plain, a marked token with its number, or what comes after the last one."""

    text: str
    number: int | None = None
    after: bool = False


@dataclass(frozen=True, slots=True)
class ExplanationPiece:
    """A stretch of an explanation with the verdict on the claim that it makes, if it makes one."""

    text: str
    verdict: str | None = None


def cut_document(document: ShownDocument) -> list[DocumentPiece]:
    """Cut a document at the tokens that were read; the white space before a token stays outside its mark."""
    pieces: list[DocumentPiece] = []
    cursor = 0
    for index, reading in enumerate(document.readings, start=1):
        token = document.text[reading.start : reading.end]
        start = reading.start + (len(token) - len(token.lstrip()) if token.strip() else 0)
        if start > cursor:
            pieces.append(DocumentPiece(shorten(document.text[cursor:start], keep_start=bool(pieces))))
        pieces.append(DocumentPiece(document.text[start : reading.end], number=index))
        cursor = max(cursor, reading.end)
    if cursor < len(document.text):
        rest = document.text[cursor:]
        pieces.append(DocumentPiece(rest if len(rest) <= LONGEST_PIECE else f"{rest[:LONGEST_PIECE]} […]", after=True))
    return pieces


def shorten(text: str, *, keep_start: bool) -> str:
    """Leave out the middle of a long stretch, or its start when nothing was shown before it."""
    if len(text) <= LONGEST_PIECE:
        return text
    half = LONGEST_PIECE // 2
    return f"{text[:half]} […] {text[-half:]}" if keep_start else f"[…] {text[-LONGEST_PIECE:]}"


def cut_explanation(text: str, claims: Sequence[ShownClaim]) -> list[ExplanationPiece]:
    """Cut an explanation at the ends of its claims; words that make several claims take the worst verdict."""
    bounds = sorted({0, len(text), *(claim.start for claim in claims), *(claim.end for claim in claims)})
    pieces = []
    for start, end in pairwise(bounds):
        verdicts = {claim.verdict for claim in claims if claim.start <= start and end <= claim.end}
        worst = next((verdict.value for verdict in _WORST_FIRST if verdict in verdicts), None)
        pieces.append(ExplanationPiece(text[start:end], worst))
    return pieces
