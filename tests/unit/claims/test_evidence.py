"""String evidence: whether the words of a claim stand in the text."""

from __future__ import annotations

import pytest
from tests.unit.claims.making import claim_in

from nlakit.claims.anytext import FrameReader
from nlakit.claims.evidence import Evidence, stem, verdict
from nlakit.truth import Verdict

TEXT = "Anna's 3 brothers stopped at the old mill. They sold 1,200 stories there, for 2.50 each."


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Anna", Verdict.TRUE),
        ("the brother of Anna", Verdict.TRUE),
        ("stopping at mills", Verdict.TRUE),
        ("a story", Verdict.TRUE),
        ("1200", Verdict.TRUE),
        ("2.50", Verdict.TRUE),
        ("20", Verdict.UNRELATED),
        ("the old harbour", Verdict.RELATED),
        ("Ann", Verdict.UNRELATED),
        ("harbour", Verdict.UNRELATED),
        ("they", Verdict.TRUE),
        ("we", Verdict.UNRELATED),
        ("…", Verdict.UNRELATED),
    ],
)
def test_content_words_decide(value: str, expected: Verdict) -> None:
    """All content words and numbers make a value true, some related, none unrelated; endings and stop words do not count."""
    assert verdict(value, TEXT) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("at the OLD mill", Verdict.TRUE),
        ("old mill. They", Verdict.TRUE),
        ("the mill at old", Verdict.RELATED),
        ("old mil", Verdict.RELATED),
        ("a red boat", Verdict.UNRELATED),
    ],
)
def test_a_quotation_is_true_as_a_whole(value: str, expected: Verdict) -> None:
    """The words of a quotation have to stand together, in their order."""
    assert verdict(value, TEXT, quoted=True) is expected


def test_claims_are_held_against_the_part_they_speak_of() -> None:
    """What comes next is looked for behind the position, an end on both sides, and all else before it."""
    evidence = Evidence(before="Anna went to the", after=" mill and sang")
    claims = {
        "set at the mill": Verdict.UNRELATED,
        "next word mill": Verdict.TRUE,
        "followed by Anna": Verdict.UNRELATED,
        "ends on mill": Verdict.TRUE,
        "about Anna": Verdict.TRUE,
    }
    for text, expected in claims.items():
        claim = claim_in(text, "slot", text.rsplit(maxsplit=1)[1], words=text)
        assert evidence.verdict(claim) is expected


@pytest.mark.parametrize(
    ("words", "value", "expected"),
    [
        ("followed by a comma", "a comma", Verdict.TRUE),
        ("next word comma", "comma", Verdict.TRUE),
        ("followed by a period", "a period", Verdict.UNRELATED),
        ("last word period", "period", Verdict.TRUE),
        ("ends with a full stop", "a full stop", Verdict.TRUE),
        ("ends on questionmark", "questionmark", Verdict.UNRELATED),
        ("about a star", "a star", Verdict.TRUE),
    ],
)
def test_marks_are_found_by_their_names_where_the_position_is(words: str, value: str, expected: Verdict) -> None:
    """A mark counts as the last thing read, or as the first that follows; one further off is none, and a word stays a word."""
    evidence = Evidence(before="Is a star far? It is. ", after=" , so they say.")
    assert evidence.verdict(claim_in(words, "slot", value, words=words)) is expected


def test_quotation_marks_before_a_value_make_it_a_quotation() -> None:
    """The same words without marks need not stand together."""
    evidence = Evidence("the mill is old")
    assert (
        evidence.verdict(claim_in('it says "old mill"', "slot", "old mill", words='says "old mill"')) is Verdict.RELATED
    )
    assert evidence.verdict(claim_in("it says old mill", "slot", "old mill", words="says old mill")) is Verdict.TRUE


@pytest.mark.parametrize(
    "words", [("stop", "stops", "stopped", "stopping"), ("story", "stories"), ("house", "houses"), ("class", "classes")]
)
def test_stems_unite_the_forms_of_a_word(words: tuple[str, ...]) -> None:
    """Forms of one word have one stem."""
    assert len({stem(word) for word in words}) == 1


def test_a_man_named_will_is_not_the_future() -> None:
    """What speaks of what comes next is held against it; a name is not such a word."""
    reader = FrameReader({"about _": "entity"})
    named, ahead = reader.claims("About Will Smith.")[0], reader.claims("Somebody will smoke.")[0]
    evidence = Evidence("Will Smith used to smoke.", " He sat down.")
    assert evidence.verdict(named) is Verdict.TRUE
    assert evidence.verdict(ahead) is not Verdict.TRUE
