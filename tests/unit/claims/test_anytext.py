"""Claims of any text."""

from __future__ import annotations

import itertools
import json
import random
import re

import pytest

from nlakit.claims.anytext import FrameReader
from nlakit.data.teachers import Context
from nlakit.errors import InputError
from nlakit.terrarium import sample_documents
from nlakit.terrarium.claims import TerrariumTruth
from nlakit.terrarium.teacher import TerrariumTeacher

PEOPLE = ("Anna", "Tom", "Zoe", "Max")
BOXES = ("tin box", "basket", "old red bag", "drawer")


def learnt() -> FrameReader:
    """A reader of explanations with people, boxes and quoted endings."""
    pairs = itertools.product(PEOPLE, BOXES)
    return FrameReader.fit(
        [f'Kept in the {box}, about {person}. The text ends with "{person} {box}".' for person, box in pairs]
    )


def test_a_clause_is_read_by_its_frame() -> None:
    """The frame is the slot and its filler the value, with the places of both; the case of a frame does not count."""
    text = 'A short note. Kept in the green jar, about Ida. The text ends with "so it, goes".'
    claims = learnt().claims(text)[1:]
    assert [(claim.slot, claim.value, claim.level) for claim in claims] == [
        ("kept in the _", "green jar", "detail"),
        ("about _", "Ida", "entity"),
        ("the text ends with _", "so it, goes", "detail"),
    ]
    assert [claim.text_span for claim in claims] == [
        "Kept in the green jar",
        "about Ida",
        'The text ends with "so it, goes"',
    ]
    for claim in claims:
        assert text[claim.start : claim.end] == claim.text_span
        assert text[claim.value_start : claim.value_end] == claim.value


def test_a_clause_without_a_frame_says_what_stands_out_in_it() -> None:
    """Quotations, numbers and names are claims of their own; a clause that has none is one statement."""
    text = 'Someone told Anna Berg of 1,200 sheep and a "very big" dog. Nothing else is said.'
    claims = FrameReader({}).claims(text)
    assert [(claim.slot, claim.value, claim.level, claim.text_span) for claim in claims] == [
        ("name", "Anna Berg", "detail", "Anna Berg"),
        ("number", "1,200", "detail", "1,200"),
        ("quotation", "very big", "detail", '"very big"'),
        ("statement", "Nothing else is said", "theme", "Nothing else is said"),
    ]
    assert all(text[claim.value_start : claim.value_end] == claim.value for claim in claims)


def test_claims_come_once_and_none_from_nothing() -> None:
    """A claim that is made twice counts once, in the place where it first stands."""
    claims = learnt().claims("About Tom. Kept in the drawer, about Tom.")
    assert [(claim.slot, claim.start) for claim in claims] == [("about _", 0), ("kept in the _", 11)]
    assert FrameReader.fit([]).claims("") == []


def test_the_capital_of_a_sentence_is_not_part_of_a_value() -> None:
    """A value that opens a sentence is the same as within one, unless the frame is of names."""
    texts = [
        f"So {word} matters, well {name} is there. "
        for word, name in itertools.product(("hope", "luck", "time"), PEOPLE)
    ]
    reader = FrameReader({"_ matters": "detail", "_ is there": "entity"})
    assert [claim.value for claim in reader.claims("Hope matters. Anna is there.")] == ["hope", "Anna"]
    assert FrameReader.fit(texts).frames["well _ is there"] == "entity"


def test_frames_survive_json() -> None:
    """A reader written as JSON reads the same claims, in the same order of frames; other data is refused."""
    reader = learnt()
    again = FrameReader.from_json(json.loads(json.dumps(reader.to_json())))
    assert list(again.frames.items()) == list(reader.frames.items())
    for data in (None, {}, {"frames": ["a _"]}, {"frames": {"a b": "detail"}}, {"frames": {"a _": "fine"}}):
        with pytest.raises(InputError, match="fit a new reader"):
            FrameReader.from_json(data)


def test_frames_find_the_claims_of_terrarium() -> None:
    """Learnt from 3,000 of its explanations, frames give at least 98 of 100 claims the value that its own reader gives."""
    texts, truth = terrarium_texts(3000), TerrariumTruth()
    reader = FrameReader.fit(texts)
    same = 0
    for text in texts[:600]:
        found = {(claim.value_start, claim.value_end) for claim in reader.claims(text)}
        same += sum((claim.value_start, claim.value_end) in found for claim in truth.claims(text))
    assert same >= 0.98 * sum(len(truth.claims(text)) for text in texts[:600])


def terrarium_texts(count: int) -> list[str]:
    """What Terrarium's teacher says at four places of each document."""
    teacher, rng = TerrariumTeacher(), random.Random(0)
    contexts = []
    for document in sample_documents(count // 4):
        ends = [match.end() for match in re.finditer(r"\w+", document.text)]
        contexts += [
            Context(0, document.id, end, "", document.text[:end], document.truth(end)) for end in rng.sample(ends, 4)
        ]
    return [explanation.text for explanation in teacher.explain(contexts)]


def test_silence_claims_nothing() -> None:
    """What grounding puts in place of an empty explanation is no statement, and stays none after the way through JSON."""
    reader = FrameReader({}, silence="Unclear.")
    assert reader.claims(" Unclear. ") == []
    assert FrameReader({}).claims("Unclear.") != []
    assert [claim.value for claim in reader.claims("Unclear. About dogs.")] == ["Unclear", "About dogs"]
    assert FrameReader.from_json(reader.to_json(), "Unclear.").claims("Unclear.") == []
