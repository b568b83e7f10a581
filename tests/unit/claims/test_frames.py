"""Frames: what clauses have in common."""

from __future__ import annotations

import itertools

import pytest

from nlakit.claims.frames import MAX_WORDS, choose_frames, parsed, spans, written

COLOURS = ("red", "blue", "green", "grey", "black")
WAYS = ("coloured", "answer", "next word", "last word", "ends on", "followed by")


def frames_of(texts: list[str], names: frozenset[str] = frozenset(), **least: int) -> list[str]:
    """The frames of clauses, as they are written, each clause seen once."""
    counts = {tuple(text.split()): 1 for text in texts}
    return [written(frame) for frame in choose_frames(counts, names, **{"min_values": 3, "min_count": 3, **least})]


def test_the_frame_of_most_clauses_is_taken_first() -> None:
    """A value that many ways of saying share does not become a frame, though it has more fillers than one of them."""
    texts = [f"{way} {colour}" for way, colour in itertools.product(WAYS, COLOURS)]
    texts += [f"answer {word}" for word in ("cat", "dog", "sun")] + ["next word sea", "last word sea"]
    assert set(frames_of(texts)) == {f"{way} _" for way in WAYS}


def test_a_frame_gives_way_to_a_longer_one_that_explains_nearly_as_much() -> None:
    """Words that all fillers share belong to the frame; words that only some of them share do not."""
    assert frames_of([f"kept in the {word}" for word in COLOURS]) == ["kept in the _"]
    assert frames_of([f"kept in the {word}" for word in COLOURS] + ["kept in bed", "kept in hand"]) == ["kept in _"]


def test_of_frames_that_explain_as_much_the_longer_is_taken() -> None:
    """A fact of two values that is said in two ways has its ways as frames, not its values."""
    texts = [f"{way} {value}" for way, value in itertools.product(("the tool is", "tool result"), ("right", "wrong"))]
    assert frames_of(texts, min_values=2, min_count=2) == ["the tool is _", "tool result _"]


def test_frames_need_fillers_and_sightings() -> None:
    """A frame with too few different fillers, or seen too seldom, is none."""
    texts = [f"coloured {word}" for word in COLOURS]
    assert frames_of(texts[:3]) == ["coloured _"]
    assert frames_of(texts[:2]) == []
    assert frames_of(texts, min_count=6) == []


def test_numbers_and_names_alone_make_no_frame() -> None:
    """Frames are made of the words around a number or a name, however many words go with it."""
    assert frames_of([f"{way} 7" for way in WAYS]) == []
    assert frames_of([f"{way} anna" for way in WAYS], frozenset({"anna"})) == []
    numbered = [f"{way} {number}" for way, number in itertools.product(WAYS, range(3))]
    assert set(frames_of(numbered)) == {f"{way} _" for way in WAYS}


@pytest.mark.parametrize(
    ("text", "fillers"),
    [
        ("a b c", ["a", "a b", "b", "b c", "c"]),
        ("sums to 12", ["12"]),
        ('"x" alone', ['"x"']),
        ("3 or 4", []),
        ("alone", []),
        (" ".join(["long"] * (MAX_WORDS + 1)), []),
    ],
)
def test_fillers_are_short_and_leave_a_word(text: str, fillers: list[str]) -> None:
    """A filler has one to four words and is not the whole clause; a number or a quotation is one alone."""
    words = tuple(text.split())
    assert [" ".join(words[first:last]) for first, last in spans(words)] == fillers


def test_frames_are_written_and_read() -> None:
    """What is written is read back, wherever the blank stands."""
    for frame in ((("kept", "in"), ()), ((), ("also", "there")), (("a",), ("by", "trade"))):
        assert parsed(written(frame)) == frame
