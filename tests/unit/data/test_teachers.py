from __future__ import annotations

import pytest

from nlakit.config import AnnotateConfig, fingerprint
from nlakit.data.teachers import Context, Teacher, load_teacher
from nlakit.errors import ConfigError, NotFoundError
from nlakit.explanations import Explanation, Outcome


def context(text: str, token: str = "") -> Context:
    return Context(row_id=0, document_id="d", position=3, token=token or text[-3:], text=text)


def test_extractive_quotes_the_text() -> None:
    """The last words, the first words that are not among them, and the final token are quoted."""
    teacher = load_teacher(AnnotateConfig(teacher="extractive", options={"words": 2}))

    assert isinstance(teacher, Teacher)
    assert [
        Explanation('The text ends with "d e". It begins with "a b". The final token is "e".'),
        Explanation('The text ends with "x y". The final token is "y".'),
        Explanation("", Outcome.EMPTY),
    ] == teacher.explain([context("a b c d e", " e"), context("x y", " y"), context(" \n")])


def test_the_first_words_may_be_left_out() -> None:
    """``first_words`` says how many are quoted, and 0 none; left at the number of words it is the teacher that it was."""
    none, one = (AnnotateConfig(teacher="extractive", options={"words": 2, "first_words": n}) for n in (0, 1))
    same, plain = ({"words": 2, "first_words": 2}, {"words": 2})

    assert (
        'The text ends with "d e". The final token is "e".'
        == load_teacher(none).explain([context("a b c d e", " e")])[0].text
    )
    assert 'It begins with "a".' in load_teacher(one).explain([context("a b c d e", " e")])[0].text
    teachers = [load_teacher(AnnotateConfig(teacher="extractive", options=options)) for options in (same, plain)]
    assert teachers[0].fingerprint() == teachers[1].fingerprint() != load_teacher(none).fingerprint()
    assert fingerprint({"teacher": "extractive", "words": 2}) == teachers[1].fingerprint()


def test_fingerprint_follows_the_options() -> None:
    """Another length of quotation is another teacher."""
    one, two, same = (load_teacher(AnnotateConfig(teacher="extractive", options={"words": n})) for n in (3, 4, 3))

    assert one.fingerprint() == same.fingerprint()
    assert one.fingerprint() != two.fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"word": 3}, r"annotate\.options\.word.*Did you mean 'words'"),
        ({"words": "many"}, r"annotate\.options\.words is 'many'"),
        ({"words": True}, r"annotate\.options\.words is True"),
        ({"words": 0}, r"annotate\.options\.words is 0"),
        ({"first_words": -1}, r"annotate\.options\.first_words is -1"),
    ],
)
def test_options_are_checked(options: dict[str, str | int], message: str) -> None:
    """An option that does not exist or has a wrong value is named."""
    with pytest.raises(ConfigError, match=message):
        load_teacher(AnnotateConfig(teacher="extractive", options=options))


def test_unknown_teacher() -> None:
    """A misspelt teacher is answered with the nearest one."""
    with pytest.raises(NotFoundError, match="Did you mean 'extractive'"):
        load_teacher(AnnotateConfig(teacher="extractiv"))


def test_a_plugin_that_is_no_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that returns something else is refused before it is used."""
    monkeypatch.setattr("nlakit.plugins.load", lambda group, name: lambda config: object())

    with pytest.raises(ConfigError, match="returned object, which lacks"):
        load_teacher(AnnotateConfig(teacher="mine"))
