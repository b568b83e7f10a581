"""Terrarium's corpus: documents by number, each with its truth at every character.

Document `terrarium-17` is the same for everybody: it depends on (corpus seed, 17) alone. A chat document is what its
messages say; its truth is asked for by the offset into the contents joined as `Document.text` joins them.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from nlakit.config import CorpusConfig, derive_seed, fingerprint
from nlakit.data.corpus import MESSAGE_SEPARATOR, Document, Message, check_options
from nlakit.errors import ConfigError, NotFoundError, nearest
from nlakit.terrarium.families import FAMILIES
from nlakit.terrarium.stories import LESSONS
from nlakit.terrarium.writer import Event, Piece, Writer
from nlakit.train.vocabulary import STOP
from nlakit.truth import Truth

WORLD_VERSION = 4
"""Raised whenever any document, or its truth, changes: stores and pairs made before then no longer match."""

_WORD = re.compile(r"<\|\w+\|>|\w+|[^\w ]")


@dataclass(frozen=True)
class WorldDocument:
    """One document with its books. Offsets count characters of `text`, which holds the chat markers and the end."""

    id: str
    family: str
    text: str
    pieces: tuple[Piece, ...]
    events: tuple[Event, ...]
    turns: tuple[tuple[str, int, int], ...]

    @cached_property
    def _starts(self) -> list[int]:
        return [piece.start for piece in self.pieces]

    @property
    def surprisal(self) -> float:
        """-log p(document) under the world, or under its family when it was asked for, in nats: what a perfect model loses."""
        return sum(piece.surprisal for piece in self.pieces)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The chat messages; empty for plain text."""
        return tuple(Message(role, self.text[start:end]) for role, start, end in self.turns)

    def truth(self, offset: int) -> Truth:
        """What holds after `text[:offset]`, as `nlakit.truth` lays it out."""
        facts: dict[str, str] = {}
        planned: dict[str, str] = {}
        for event in self.events:
            if event.offset > offset:
                break
            target = planned if event.planned else facts
            if event.value is None:
                target.pop(event.slot, None)
            else:
                target[event.slot] = event.value
        return {"facts": facts, "planned": planned, **self._ends(offset)}

    def _ends(self, offset: int) -> dict[str, object]:
        last = _WORD.findall(self.text[max(0, offset - 40) : offset])
        following: dict[str, str | None] = {"kind": "end", "text": None}
        entropy = 0.0
        if offset < len(self.text):
            piece = self.pieces[bisect_right(self._starts, offset) - 1]
            fresh = piece.start == offset
            entropy = piece.entropy if fresh else 0.0
            settled = not (fresh and piece.entropy > 0)
            word = _WORD.search(self.text, offset)
            known = settled or not piece.open_kind
            following = {"kind": piece.kind if known else None, "text": word.group() if settled and word else None}
        return {"last": last[-1] if last else "", "next": following, "entropy": entropy}

    def document(self) -> Document:
        """The same as the data stages know documents: text or messages, and the truth behind an offset."""
        if not self.turns:
            return Document(self.id, self.text.removesuffix(STOP), truth_at=self.truth)
        starts, at = [], 0
        for _, start, end in self.turns:
            starts.append(at)
            at += end - start + len(MESSAGE_SEPARATOR)

        def truth_at(offset: int) -> Truth:
            turn = bisect_right(starts, offset) - 1
            return self.truth(self.turns[turn][1] + offset - starts[turn])

        return Document.chat(self.id, self.messages, truth_at)


def write_document(seed: int, number: int, family: str | None = None) -> WorldDocument:
    """Writes document `number` of the world with this `seed`, of one `family`, of any, or one of the `LESSONS`."""
    rng = random.Random(derive_seed(seed, "terrarium", WORLD_VERSION, number, family))
    writer = Writer(rng)
    name = family or writer.choose(list(FAMILIES), [share for _, share in FAMILIES.values()])
    program = LESSONS[name] if name in LESSONS else FAMILIES[name][0]
    program(writer)
    writer.finish()
    label = f"terrarium-{number}" if family is None else f"terrarium-{family}-{number}"
    return WorldDocument(label, name, writer.text, tuple(writer.pieces), tuple(writer.events), tuple(writer.turns))


class TerrariumCorpus:
    """The world as a corpus. `corpus.options.family` keeps to one family."""

    name = "terrarium"
    exchangeable = True
    """Documents are independent draws, so any of them stand for all: evaluation need not read the whole corpus."""

    def __init__(self, config: CorpusConfig) -> None:
        check_options("corpus.options", config.options, {"family"})
        family = config.options.get("family")
        if family is not None and family not in FAMILIES:
            raise ConfigError(
                f"corpus.options.family is {family!r}; it must be one of {', '.join(FAMILIES)}.{nearest(str(family), FAMILIES)}"
            )
        self._seed, self._count = config.seed, config.documents
        self._family = None if family is None else str(family)

    def fingerprint(self) -> str:
        """Depends on the version of the world and on the settings."""
        return fingerprint("terrarium", WORLD_VERSION, self._seed, self._count, self._family)

    def __iter__(self) -> Iterator[Document]:
        """Yields the documents in the order of their numbers."""
        return (self._write(number).document() for number in range(self._count))

    def document(self, document_id: str) -> Document:
        """Returns one document; `NotFoundError` for an id that this world does not have."""
        number = document_id.rpartition("-")[2]
        if number.isdigit() and int(number) < self._count and self._write(int(number)).id == document_id:
            return self._write(int(number)).document()
        raise NotFoundError(f"Terrarium with {self._count} documents has none with the id {document_id!r}.")

    def _write(self, number: int) -> WorldDocument:
        return write_document(self._seed, number, self._family)
