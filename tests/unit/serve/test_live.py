"""Which tokens of an answer are read."""

from __future__ import annotations

import pytest

from nlakit.serve.v1.live import Rule
from nlakit.serve.v1.wire import ReadWhere

PIECES = ["I", " think", " the", " Tool", " lies", ".", " So", " the", " tools", "!", "\n", "tool", "?"]


def fired(**where: object) -> list[int]:
    rule, text, found = Rule(ReadWhere(**where)), "", []
    for index, piece in enumerate(PIECES):
        text += piece
        if rule.fires(index, text):
            found.append(index)
    return found


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, []),
        ({"every": 4}, [3, 7, 11]),
        ({"sentence_ends": True}, [5, 9, 12]),
        ({"watch": ["tool"]}, [3, 11]),
        ({"watch": [" tools "]}, [8]),
        ({"watch": ["think the", "("]}, [2]),
        ({"every": 4, "watch": ["tool"], "most": 2}, [3, 7]),
    ],
)
def test_rules_fire_where_they_say(where: dict, expected: list[int]) -> None:
    """Every n-th token, ends of sentences, words whatever their case and only as whole ones; never more than asked for."""
    assert fired(**where) == expected
