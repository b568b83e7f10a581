"""Shared sessions: kept within bounds, and what of them can be shown."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from nlakit.errors import InputError, NotFoundError
from nlakit.explanations import Outcome
from nlakit.models.readings import Reading, ScoredExplanation, SupportedClaim
from nlakit.serve.v1 import sessions
from nlakit.serve.v1.sessions import Session, SessionStore, as_page
from nlakit.serve.wire import Input


def session(title: str, claims: list[SupportedClaim] | None = None) -> Session:
    reading = Reading(0, 7, " box", 1.0, [ScoredExplanation("Kept in the box.", Outcome.OK, None, claims)])
    return Session(pair="p", title=title, input=Input(text="box"), tokens=[], readings=[reading])


def claim(start: int, end: int, support: float) -> SupportedClaim:
    return SupportedClaim("container", "box", start, end, support, {})


def test_the_oldest_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as may be are kept, the newest."""
    monkeypatch.setattr(sessions, "MOST_SHARES", 2)
    with SessionStore(None) as store:
        names = [store.put(session(str(number))) for number in range(4)]
        assert [store.get(name)["title"] for name in names[2:]] == ["2", "3"]
        for name in names[:2]:
            with pytest.raises(NotFoundError):
                store.get(name)


def test_large_ones_push_out_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """All together stay within their length, and the newest is kept however long it is."""
    monkeypatch.setattr(sessions, "MOST_CHARACTERS", 2 * len(session("a").model_dump_json()) + 10)
    with SessionStore(None) as store:
        names = [store.put(session(title)) for title in ("a", "b", "c")]
        assert store.get(names[1])["title"] == "b"
        with pytest.raises(NotFoundError):
            store.get(names[0])
        long = store.put(session("x" * 200))
        assert store.get(long)["title"] == "x" * 200
        with pytest.raises(NotFoundError):
            store.get(names[2])


def test_claims_are_coloured_in_place_with_their_number() -> None:
    """Words of a claim stand in its band with its support behind, and all other words stay."""
    page = as_page(session("t", [claim(0, 15, 0.95)]))
    assert '<span class="green">Kept in the box<sub> 0.95</sub></span>.' in page


def test_nothing_with_a_flag_is_to_be_believed() -> None:
    """A claim of high support is no more than a lead where support was never measured."""
    found = session("t", [claim(0, 15, 0.95)])
    found.readings[0].flags.append("early token")
    assert '<span class="yellow">Kept in the box<sub> 0.95</sub></span>.' in as_page(found)


@pytest.mark.parametrize(
    "claims", [[claim(-3, 99, -7.0)], [claim(5, 2, 2.0)], [claim(0, 15, 0.1), claim(3, 8, 0.9)], [claim(900, 901, 0.5)]]
)
def test_claims_from_anywhere_break_nothing(claims: list[SupportedClaim]) -> None:
    """A session comes from whoever sends it: what cannot be placed is left out, and the text stays whole."""
    page = as_page(session("t", claims))
    assert "Kept in the box." in re.sub(r"<sub>.*?</sub>|<[^>]+>", "", page)


def test_masked_words_lose_their_colours_and_short_fields_stay_short() -> None:
    """Claims point at places that have moved; a title of nothing but addresses is no longer than it was."""
    found = session("1.1.1.1 " * 32, [claim(0, 15, 0.9)])
    item = found.readings[0].explanations[0]
    found.readings[0].explanations[0] = replace(item, text="Write to a@b.example now.")
    masked = found.redacted()
    assert masked.readings[0].explanations[0].text == "Write to [e-mail] now."
    assert masked.readings[0].explanations[0].claims is None
    assert len(masked.title) <= 256
    assert "1.1.1.1" not in masked.title


def test_numbers_that_json_cannot_hold_are_refused() -> None:
    """What could not be read back is not kept."""
    found = session("t")
    found.readings[0] = replace(found.readings[0], norm=math.nan)
    with SessionStore(None) as store, pytest.raises(InputError, match="finite"):
        store.put(found)
