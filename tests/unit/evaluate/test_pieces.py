"""Texts cut for colouring."""

from __future__ import annotations

from nlakit.evaluate.evaluation import ShownClaim, ShownDocument, ShownReading
from nlakit.evaluate.pieces import LONGEST_PIECE, DocumentPiece, ExplanationPiece, cut_document, cut_explanation
from nlakit.truth import Verdict


def document(text: str, *tokens: str) -> ShownDocument:
    return ShownDocument(document_id="d", text=text, readings=tuple(reading(text, token) for token in tokens))


def reading(text: str, token: str) -> ShownReading:
    start = text.index(token)
    return ShownReading(
        position=0,
        token=token,
        start=start,
        end=start + len(token),
        norm=1.0,
        explanation="x",
        outcome="ok",
        error=0.1,
        explained=0.9,
        claims=None,
    )


def claim(start: int, end: int, verdict: Verdict) -> ShownClaim:
    return ShownClaim(start=start, end=end, slot="s", value="v", verdict=verdict, truth=None, held=None)


def test_tokens_are_marked_and_what_follows_is_told_apart() -> None:
    """Marks are numbered, leave white space outside, and the rest was not read."""
    assert cut_document(document("The cat sat down.", " cat", " down")) == [
        DocumentPiece("The "),
        DocumentPiece("cat", number=1),
        DocumentPiece(" sat "),
        DocumentPiece("down", number=2),
        DocumentPiece(".", after=True),
    ]


def test_no_character_is_lost() -> None:
    """The pieces of a short document are the document, a token of white space included."""
    shown = document("One\n\ntwo three", "\n\n", " three")
    assert "".join(piece.text for piece in cut_document(shown)) == shown.text


def test_long_stretches_lose_their_middle() -> None:
    """A long document is shown around its marks."""
    text = "a " * 2000 + "cat " + "b " * 2000 + "dog " + "c " * 2000
    pieces = cut_document(document(text, "cat", "dog"))
    assert [piece.number for piece in pieces] == [None, 1, None, 2, None]
    assert all(len(piece.text) < LONGEST_PIECE + 10 for piece in pieces)
    assert pieces[0].text.startswith("[…]")
    assert "[…]" in pieces[2].text
    assert pieces[4].text.endswith("[…]")


def test_claims_are_coloured_and_the_worst_wins() -> None:
    """Words that make two claims take the worse verdict; the pieces are the explanation."""
    text = "a red cat sat"
    pieces = cut_explanation(text, [claim(2, 9, Verdict.TRUE), claim(6, 9, Verdict.UNRELATED)])
    assert pieces == [
        ExplanationPiece("a "),
        ExplanationPiece("red ", "true"),
        ExplanationPiece("cat", "unrelated"),
        ExplanationPiece(" sat"),
    ]


def test_an_explanation_without_claims_is_one_piece() -> None:
    """Nothing is coloured where nothing was judged, and an empty text has no piece."""
    assert cut_explanation("quiet", []) == [ExplanationPiece("quiet")]
    assert cut_explanation("", []) == []
