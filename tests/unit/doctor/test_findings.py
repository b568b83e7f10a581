"""One finding of many results: the worst counts, and its words and cures are said once."""

from __future__ import annotations

from nlakit.doctor.findings import Check, Result, failure, finding, held, not_applicable, passed, warning

CHECK = Check(3, "example", "It holds", "Mend it.", ())


def found(*results: Result) -> tuple[str, str, str]:
    one = finding(CHECK, results)
    assert (one.number, one.check, one.title) == (3, "example", "It holds")
    return one.status, one.found, one.cure


def test_all_well_says_every_number_and_no_cure() -> None:
    """What was measured is said for every look that had something to look at."""
    assert found(passed("1 of 1"), not_applicable("nothing"), passed("2 of 2")) == ("pass", "1 of 1; 2 of 2", "")


def test_the_worst_counts() -> None:
    """A failure hides warnings and passes, and its own cure goes before that of the check."""
    results = (passed("well"), warning("hm", "Look."), failure("broken", "Replace it."), failure("also broken"))

    assert found(*results) == ("failure", "broken; also broken", "Replace it. Mend it.")
    assert found(*results[:2]) == ("warning", "hm", "Look.")


def test_equal_words_are_said_once() -> None:
    """Two looks that find the same thing say it once."""
    assert found(failure("broken"), failure("broken")) == ("failure", "broken", "Mend it.")


def test_nothing_to_look_at_is_no_pass() -> None:
    """A check without anything to look at neither passes nor fails, and needs no cure."""
    assert found(not_applicable("there is no store")) == ("not applicable", "there is no store", "")


def test_what_must_hold_gives_the_same_words_either_way() -> None:
    """The numbers are told whether they are good or bad."""
    assert held(True, "3 of 3") == passed("3 of 3")
    assert held(False, "2 of 3", "Add one.") == failure("2 of 3", "Add one.")
