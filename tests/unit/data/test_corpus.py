from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from nlakit.config import CorpusConfig, fingerprint
from nlakit.data.corpus import Corpus, Document, Message, load_corpus, unique
from nlakit.errors import ConfigError, InputError, NotFoundError


def jsonl(path: Path, *records: object) -> CorpusConfig:
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n", encoding="utf-8")
    return CorpusConfig(name="jsonl", path=str(path))


def text(path: Path, content: str, **options: str | int) -> CorpusConfig:
    path.write_text(content, encoding="utf-8")
    return CorpusConfig(name="text", path=str(path), options=options)


def test_text_blocks(tmp_path: Path) -> None:
    """A text file gives one document for each stretch between blank lines, however blank they look."""
    corpus = load_corpus(text(tmp_path / "a.txt", "\n\none\nmore\n\n\ntwo\n \t\nthree\n"))

    assert isinstance(corpus, Corpus)
    assert ["one\nmore", "two", "three"] == [document.text for document in corpus]


def test_text_block_ids_do_not_depend_on_place(tmp_path: Path) -> None:
    """A block keeps its id, and with it split and positions, when other blocks come before it."""
    before = {d.text: d.id for d in load_corpus(text(tmp_path / "a.txt", "one\n\ntwo"))}
    after = {d.text: d.id for d in load_corpus(text(tmp_path / "b.txt", "zero\n\ntwo\n\none"))}

    assert before == {key: after[key] for key in before}


def test_text_files_of_a_folder(tmp_path: Path) -> None:
    """A folder gives one document a file, in the order of names, with the path inside it as id."""
    (tmp_path / "b").mkdir()
    for name, content in (("b/2.txt", "two\n\nstill two"), ("a.txt", "one"), ("blank.txt", " \n"), ("c.md", "no")):
        (tmp_path / name).write_text(content, encoding="utf-8")
    corpus = load_corpus(CorpusConfig(name="text", path=str(tmp_path)))

    assert [("a.txt", "one"), ("b/2.txt", "two\n\nstill two")] == [(d.id, d.text) for d in corpus]
    assert "one" == corpus.document("a.txt").text


def test_text_unit_option(tmp_path: Path) -> None:
    """``unit`` makes one document of a whole file, and refuses other words."""
    whole = load_corpus(text(tmp_path / "a.txt", "one\n\ntwo", unit="file"))

    assert ["one\n\ntwo"] == [d.text for d in whole]
    with pytest.raises(ConfigError, match=r"corpus\.options\.unit is 'page'.*'block', 'passage' or 'file'"):
        load_corpus(text(tmp_path / "a.txt", "one", unit="page"))


def test_text_passages(tmp_path: Path) -> None:
    """``passage`` joins paragraphs up to a number of characters; that number is part of the fingerprint, and of no other unit's."""
    content = "one\n\ntwo\n\nthree"
    corpus = load_corpus(text(tmp_path / "a.txt", content, unit="passage", characters=10))
    default = load_corpus(text(tmp_path / "a.txt", content, unit="passage"))

    assert ["one\n\ntwo", "three"] == [d.text for d in corpus]
    assert [content] == [d.text for d in default]
    assert corpus.fingerprint() != default.fingerprint()
    for options, words in (
        ({"unit": "passage", "characters": 0}, "characters is 0; it must be a whole number above 0"),
        ({"unit": "block", "characters": 9}, "needs corpus.options.unit = 'passage'; it is 'block'"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_corpus(text(tmp_path / "a.txt", content, **options))


def test_text_blocks_have_the_fingerprint_that_they_had(tmp_path: Path) -> None:
    """A store that was made before there were passages is still that of its corpus."""
    config = text(tmp_path / "a.txt", "one\n\ntwo")
    digest = hashlib.sha256(b"one\n\ntwo").hexdigest()

    expected = fingerprint({"documents": config.documents, "unit": "block"}, [["a.txt", digest]])
    assert expected == load_corpus(config).fingerprint()


def test_jsonl_text_and_messages(tmp_path: Path) -> None:
    """Lines with text and with messages become documents; ids may be numbers; other keys are left alone."""
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    corpus = load_corpus(jsonl(tmp_path / "c.jsonl", {"id": 7, "text": "one", "x": 1}, {"messages": chat}))
    first, second = corpus

    assert Document("7", "one") == first
    assert (Message("user", "Hi"), Message("assistant", "Hello.")) == second.messages
    assert "Hi\n\nHello." == second.text
    assert second.content_hash == second.id


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "either 'text' or 'messages'"),
        ('{"id": "a"}', "either 'text' or 'messages'"),
        ('{"text": "a", "messages": []}', "either 'text' or 'messages'"),
        ('{"text": " "}', "'text' is ' '"),
        ('{"id": true, "text": "a"}', "'id' is True"),
        ('{"messages": []}', "'messages' is "),
        ('{"messages": [{"role": "user"}]}', "message 0 is"),
    ],
)
def test_jsonl_names_the_bad_line(tmp_path: Path, line: str, message: str) -> None:
    """A line that is no document is an error with file, line and what was expected."""
    path = tmp_path / "c.jsonl"
    path.write_text('{"text": "fine"}\n\n' + line + "\n", encoding="utf-8")

    with pytest.raises(InputError, match=r"c\.jsonl:3.*" + message):
        list(load_corpus(CorpusConfig(name="jsonl", path=str(path))))


def test_documents_limits_the_corpus(tmp_path: Path) -> None:
    """``corpus.documents`` takes the first ones only, and is part of the fingerprint."""
    config = jsonl(tmp_path / "c.jsonl", *({"text": f"t{i}"} for i in range(5)))
    two = config.model_copy(update={"documents": 2})

    assert ["t0", "t1"] == [d.text for d in load_corpus(two)]
    assert load_corpus(two).fingerprint() != load_corpus(config).fingerprint()


def test_fingerprint_follows_content_and_not_place(tmp_path: Path) -> None:
    """A moved corpus has the same fingerprint, a changed one has not."""
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.txt").write_text("changed" if folder == "c" else "same", encoding="utf-8")
    a, b, c = (load_corpus(CorpusConfig(name="text", path=str(tmp_path / f))).fingerprint() for f in "abc")

    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (CorpusConfig(name="text"), "needs corpus.path"),
        (CorpusConfig(name="jsonl", path="/nowhere/at/all"), "does not exist"),
        (
            CorpusConfig(name="text", path=".", options={"units": "file"}),
            r"corpus\.options\.units.*Did you mean 'unit'",
        ),
    ],
)
def test_settings_that_cannot_work(config: CorpusConfig, message: str) -> None:
    """A missing path and an unknown option are errors that name the setting."""
    with pytest.raises(ConfigError, match=message):
        load_corpus(config)


def test_folder_without_files(tmp_path: Path) -> None:
    """A folder that holds nothing of the kind is an error before anything is read."""
    with pytest.raises(ConfigError, match=r"holds no \*\.jsonl file"):
        load_corpus(CorpusConfig(name="jsonl", path=str(tmp_path)))


def test_not_utf8(tmp_path: Path) -> None:
    """A file in another encoding is named, with the way to convert it."""
    (tmp_path / "a.txt").write_bytes("Grüße".encode("latin-1"))

    with pytest.raises(InputError, match=r"a\.txt is not UTF-8.*iconv"):
        list(load_corpus(CorpusConfig(name="text", path=str(tmp_path / "a.txt"))))


def test_unknown_document(tmp_path: Path) -> None:
    """Asking for an id that is not there names it."""
    with pytest.raises(NotFoundError, match="no document with the id 'x'"):
        load_corpus(jsonl(tmp_path / "c.jsonl", {"text": "one"})).document("x")


def test_unique_counts_duplicates() -> None:
    """Equal content comes once whatever its ids; a chat and a text of the same words are different."""
    counts: Counter[str] = Counter()
    chat = Document.chat("c", [Message("user", "same")])
    found = list(unique([Document("a", "same"), Document("b", "same"), chat, Document("a", "same")], counts))

    assert ["a", "c"] == [d.id for d in found]
    assert {"duplicates": 2} == counts


def test_unique_refuses_one_id_for_two_texts() -> None:
    """Two texts under one id would share a split and positions."""
    with pytest.raises(InputError, match="different content have the id 'a'"):
        list(unique([Document("a", "one"), Document("a", "two")]))
