"""Examples to begin with: held-out documents of a corpus that is generated and knows what is true at every token."""

from __future__ import annotations

from functools import cached_property
from itertools import islice
from typing import Any

from nlakit.card import Card
from nlakit.claims.readers import truth_reader
from nlakit.data.corpus import Corpus, Document, load_corpus, unique
from nlakit.data.sampling import split_of
from nlakit.data.tokens import tokenise
from nlakit.errors import NotFoundError, UnavailableError
from nlakit.evaluate.estimates import HELDOUT
from nlakit.evaluate.rows import DataSettings
from nlakit.models.target import Target
from nlakit.truth import TruthReader

MOST = 64
"""Examples that can be asked for; the truth is told of these alone."""


class Examples:
    """The first held-out documents of a pair's corpus; none where the corpus does not know its truth.

    A corpus without a truth is somebody's data, and is not shown to whoever may ask the server.
    """

    def __init__(self, card: Card) -> None:
        """Nothing is loaded before somebody asks."""
        self._card = card

    @cached_property
    def _reader(self) -> TruthReader | None:
        return truth_reader(self._card.data.get("corpus", {}).get("name", ""))

    @cached_property
    def _documents(self) -> dict[str, Document]:
        if self._reader is None:
            return {}
        settings = DataSettings.of(self._card)
        corpus: Corpus = load_corpus(settings.corpus)
        held_out = (
            document
            for document in unique(corpus)
            if split_of(settings.seed, document.id, settings.extract.split) == HELDOUT
        )
        return {document.id: document for document in islice(held_out, MOST)}

    def listed(self, count: int) -> list[dict[str, Any]]:
        """Return the first examples, each with its id, a title and its text or messages."""
        return [_listed(document) for document in islice(self._documents.values(), count)]

    def truth(self, target: Target, name: str) -> list[dict[str, Any]]:
        """Return what is true at each token of an example, as the target reads it: ``{"position", "facts"}``.

        Raises ``UnavailableError`` where no truth is known, and ``NotFoundError`` for another document than the examples.
        """
        reader = self._reader
        if reader is None:
            raise UnavailableError(
                "the corpus of this pair does not know what is true, so there is nothing to show beside readings."
            )
        document = self._documents.get(name)
        if document is None:
            raise NotFoundError(f"{name!r:.100} is none of the examples; GET /v1/examples lists them.")
        (tokens,) = tokenise(target, [document], target.max_positions)
        truth_at = document.truth_at or (lambda _: None)
        found = []
        for position in range(len(tokens)):
            truth = truth_at(tokens.document_offset(tokens.offsets[position][1]))
            if truth is not None:
                found.append({"position": position, "facts": reader.facts(truth)})
        return found


def _listed(document: Document) -> dict[str, Any]:
    words = document.text.split()
    about: dict[str, Any] = {"id": document.id, "title": " ".join(words[:8]) + ("…" if len(words) > 8 else "")}
    if document.messages is None:
        return {**about, "text": document.text}
    return {**about, "messages": [{"role": said.role, "content": said.content} for said in document.messages]}
