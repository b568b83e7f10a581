"""A toy world with known truth, as a package would plug one in: corpus, teacher and truth reader."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nlakit import plugins
from nlakit.config import AnnotateConfig, CorpusConfig, Recipe, derive_seed, fingerprint
from nlakit.data.corpus import Document, find_document
from nlakit.data.teachers import Context
from nlakit.explanations import Explanation
from nlakit.testing import tiny_recipe
from nlakit.truth import Claim, Level, Truth, Verdict

ANIMALS = ("cat", "dog", "tree")
COLOURS = ("red", "old", "cold")
LEVELS: dict[str, Level] = {"topic": "theme", "animal": "entity", "colour": "detail"}
_CLAIM = re.compile(r"\b(topic|animal|colour) (\w+)")


def write_document(number: int) -> Document:
    """Document ``number``: a tag, an animal, its colour, and the animal again."""
    draw = random.Random(derive_seed(0, "toy", number))
    animal, colour = draw.choice(ANIMALS), draw.choice(COLOURS)
    head = f"Text {number}. The {animal}"
    text = f"{head} sat near the {colour} door. Anna put the {animal} in the {colour} box by the window."

    def truth_at(offset: int) -> Truth:
        facts = {"topic": "animals"}
        if offset >= len(head):
            facts["animal"] = animal
        if offset >= text.index(colour) + len(colour):
            facts["colour"] = colour
        return {"facts": facts, "planned": {}, "last": "", "next": {"kind": "word", "text": None}, "entropy": None}

    return Document(f"toy-{number}", text, truth_at=truth_at)


class ToyCorpus:
    name = "toy"

    def __init__(self, config: CorpusConfig) -> None:
        self.config = config
        self.read = 0

    def fingerprint(self) -> str:
        return fingerprint(self.config)

    def __iter__(self) -> Iterator[Document]:
        for number in range(self.config.documents):
            self.read += 1
            yield write_document(number)

    def document(self, document_id: str) -> Document:
        return find_document(self, document_id)


class ToyTeacher:
    name = "toy"

    def fingerprint(self) -> str:
        return "toy"

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        return [Explanation(explain(context.truth)) for context in contexts]


class ToyTruth:
    def claims(self, text: str) -> list[Claim]:
        return [Claim(m[1], m[2], LEVELS[m[1]], m[0], m.start(), *m.span(2)) for m in _CLAIM.finditer(text)]

    def judge(self, claim: Claim, truth: Truth) -> Verdict:
        facts = self.facts(truth)
        if facts.get(claim.slot) == claim.value:
            return Verdict.TRUE
        return Verdict.RELATED if claim.slot in facts else Verdict.UNRELATED

    def facts(self, truth: Truth) -> dict[str, str]:
        return {**truth["facts"], **truth["planned"]}

    def level(self, slot: str) -> Level:
        return LEVELS[slot]


def explain(truth: Truth | None) -> str:
    facts = {} if truth is None else truth["facts"]
    return "About " + ", ".join(f"{slot} {value}" for slot, value in facts.items()) + "."


def make_corpus(config: CorpusConfig) -> ToyCorpus:
    return ToyCorpus(config)


def make_teacher(config: AnnotateConfig) -> ToyTeacher:
    return ToyTeacher()


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the toy findable by name, as its entry points would."""
    here = "tests.unit.evaluate.toy"
    values = {plugins.CORPORA: "make_corpus", plugins.TEACHERS: "make_teacher", plugins.TRUTH: "ToyTruth"}
    real = plugins._entries

    def entries(group: str) -> dict[str, EntryPoint]:
        own = {"toy": EntryPoint("toy", f"{here}:{values[group]}", group)} if group in values else {}
        return real(group) | own

    monkeypatch.setattr(plugins, "_entries", entries)


def toy_recipe(folder: Path, *, documents: int = 80, **changes: object) -> Recipe:
    """A recipe of seconds on the toy world."""
    corpus = {"name": "toy", "path": None, "documents": documents}
    return tiny_recipe(folder, corpus=corpus, annotate={"teacher": "toy", "options": {}}, **changes)
