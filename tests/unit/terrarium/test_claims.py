"""Teacher and claims: what is said about the truth and how it is judged."""

from __future__ import annotations

import pytest

from nlakit.config import AnnotateConfig
from nlakit.data.teachers import Context
from nlakit.errors import ConfigError, InputError
from nlakit.terrarium import make_teacher, truth_reader
from nlakit.terrarium.claims import KINDS, SLOTS
from nlakit.terrarium.families import FAMILIES
from nlakit.terrarium.world import write_document
from nlakit.truth import TruthReader, Verdict

TRUTH = {
    "facts": {"genre": "story", "who": "Mia", "container": "box"},
    "planned": {"answer": "box"},
    "last": "the",
    "next": {"kind": "answer", "text": "box"},
    "entropy": 0.0,
}


def contexts(family: str) -> list[Context]:
    found = []
    for number in range(15):
        document = write_document(0, number, family)
        for piece in document.pieces[1:-1]:
            truth = document.truth(piece.end)
            found.append(Context(len(found), document.id, piece.end, "", document.text[: piece.end], truth))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_claim_of_the_teacher_is_true(family: str) -> None:
    """The reader finds at least two claims in each explanation of the teacher, and all of them are true."""
    teacher, reader = make_teacher(AnnotateConfig()), truth_reader()
    for context, explanation in zip(contexts(family), teacher.explain(contexts(family)), strict=True):
        claims = reader.claims(explanation.text)
        assert context.truth is not None
        false = [claim for claim in claims if reader.judge(claim, context.truth) is not Verdict.TRUE]

        assert len(claims) >= 2
        assert not false, explanation.text


def test_a_teacher_told_to_lie_lies() -> None:
    """With false_share = 1 no claim about a slot with other values is true."""
    teacher = make_teacher(AnnotateConfig(options={"false_share": 1.0}))
    reader = truth_reader()
    for context, explanation in zip(contexts("story"), teacher.explain(contexts("story")), strict=True):
        assert context.truth is not None
        for claim in reader.claims(explanation.text):
            if SLOTS[claim.slot].values:
                assert reader.judge(claim, context.truth) is not Verdict.TRUE


def test_an_explanation_does_not_depend_on_its_batch() -> None:
    """Rows explained alone read as rows explained together."""
    teacher = make_teacher(AnnotateConfig())
    rows = contexts("letter")[:8]

    assert [teacher.explain([row])[0] for row in rows] == teacher.explain(rows)


def test_the_teacher_refuses_rows_without_truth() -> None:
    """A row from a corpus that does not know its truth is an error that names another teacher as the way out."""
    with pytest.raises(InputError, match=r"annotate\.teacher"):
        make_teacher(AnnotateConfig()).explain([Context(3, "d", 1, "", "text", None)])


@pytest.mark.parametrize("options", [{"facts": -1}, {"false_share": 2.0}, {"facts": "many"}, {"fact": 1}])
def test_the_teacher_refuses_options_it_cannot_take(options: dict[str, str | int | float | bool]) -> None:
    """A negative, too large, misspelt or mistyped option is an error."""
    with pytest.raises(ConfigError):
        make_teacher(AnnotateConfig(options=options))


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Kept in the box.", Verdict.TRUE),
        ("kept in the BOX", Verdict.TRUE),
        ("Kept in the jar.", Verdict.RELATED),
        ("Kept in the violin.", Verdict.RELATED),
        ("Suffers from box.", Verdict.RELATED),
        ("Suffers from fever.", Verdict.UNRELATED),
        ("About Mia.", Verdict.TRUE),
        ("Next word box.", Verdict.TRUE),
        ("Next a mood.", Verdict.UNRELATED),
    ],
)
def test_judging_by_hand(text: str, verdict: Verdict) -> None:
    """One claim each, judged as a person would: true, false about something that is there, false about nothing there."""
    reader = truth_reader()
    (claim,) = reader.claims(text)

    assert reader.judge(claim, TRUTH) is verdict


def test_claims_are_typed_and_counted_once() -> None:
    """Slots, values and levels come out in order; a claim that is said twice counts once."""
    claims = truth_reader().claims(
        "This is a story. About Mia, kept in the box, hidden in the box. Last word comma, then a name."
    )

    assert [(c.slot, c.value, c.level) for c in claims] == [
        ("genre", "story", "theme"),
        ("who", "Mia", "entity"),
        ("container", "box", "entity"),
        ("last word", "comma", "detail"),
        ("next kind", "a name", "detail"),
    ]


def test_text_without_claims_has_none() -> None:
    """Words that claim nothing give no claims."""
    assert truth_reader().claims("") == []
    assert truth_reader().claims("perhaps, perhaps not") == []


def test_the_reader_is_a_truth_reader() -> None:
    """The plugin keeps the protocol, and every slot has a level."""
    reader = truth_reader()

    assert isinstance(reader, TruthReader)
    assert {reader.level(slot) for slot in SLOTS} == {"theme", "entity", "detail"}


def test_every_kind_of_piece_has_a_name() -> None:
    """Whatever may come next can be said."""
    kinds = {piece.kind for family in FAMILIES for n in range(60) for piece in write_document(0, n, family).pieces}

    assert kinds <= KINDS.keys()
