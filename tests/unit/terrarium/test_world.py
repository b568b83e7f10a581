"""The generated world: same documents for everybody, exact books, truth at every character."""

from __future__ import annotations

import math
import random
import re
from collections import defaultdict
from collections.abc import Sequence

import pytest

from nlakit.config import CorpusConfig
from nlakit.errors import ConfigError, NotFoundError
from nlakit.terrarium import make_corpus
from nlakit.terrarium.families import FAMILIES
from nlakit.terrarium.world import write_document
from nlakit.terrarium.writer import Writer


def test_a_document_depends_on_seed_and_number_alone() -> None:
    """The same number gives the same document in any order; another seed gives another."""
    forwards = [write_document(3, number).text for number in range(20)]
    backwards = [write_document(3, number).text for number in reversed(range(20))]

    assert backwards == forwards[::-1]
    assert [write_document(4, number).text for number in range(20)] != forwards


def test_the_probabilities_of_all_documents_of_a_program_sum_to_one() -> None:
    """exp(-surprisal) is the probability of a text: over every text that a small program can write it sums to 1."""

    def program(w: Writer) -> None:
        colour = w.pick(("red", "blue"), "colour", (0.25, 0.75))
        while w.text.count(".") < 2 and w.coin(0.5):
            w.pick(("cat", "dog", "cow") if colour == "red" else ("fish",), "animal")
            w.say(".")
        w.finish()

    probability: dict[str, float] = {}
    for seed in range(3000):
        w = Writer(random.Random(seed))
        program(w)
        probability[w.text] = math.exp(-sum(piece.surprisal for piece in w.pieces))

    assert len(probability) == 2 + (3 + 1) + (9 + 1)
    assert sum(probability.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_text_has_one_history(family: str) -> None:
    """No text can be written in two ways: documents with equal texts have equal books."""
    books = defaultdict(set)
    for number in range(400):
        document = write_document(0, number, family)
        books[document.text].add(document.pieces)

    assert {len(histories) for histories in books.values()} == {1}


def test_the_choice_of_a_family_is_booked() -> None:
    """A document of the world's own mix costs what its family is worth beside what a document of that family costs."""
    shares = [share for _, share in FAMILIES.values()]
    choice = -sum(share * math.log(share) for share in shares)
    for number in range(40):
        mixed = write_document(0, number)
        own = write_document(0, number, mixed.family)
        assert mixed.pieces[0].entropy == pytest.approx(own.pieces[0].entropy + choice)


@pytest.mark.parametrize("family", FAMILIES)
def test_booked_entropy_is_the_expected_surprisal(family: str) -> None:
    """Entropy is what surprisal comes to on average."""
    documents = [write_document(0, number, family) for number in range(600)]
    differences = [sum(p.entropy - p.surprisal for p in d.pieces) for d in documents]
    error = math.sqrt(sum(x * x for x in differences)) / len(documents)

    assert abs(sum(differences) / len(documents)) < 4 * error


@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_cover_the_text(family: str) -> None:
    """Every character belongs to one piece, in order."""
    document = write_document(0, 1, family)

    assert [p.start for p in document.pieces[1:]] == [p.end for p in document.pieces[:-1]]
    assert (document.pieces[0].start, document.pieces[-1].end) == (0, len(document.text))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_settled_next_word_is_the_next_word(family: str) -> None:
    """Where the truth names the word to come, the text goes on with it."""
    for number in range(30):
        document = write_document(0, number, family)
        for offset in [piece.end for piece in document.pieces[:-1]]:
            word = document.truth(offset)["next"]["text"]
            if word is not None:
                assert document.text[offset:].lstrip(" ").startswith(word)


@pytest.mark.parametrize("family", FAMILIES)
def test_options_at_one_place_begin_with_different_words(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first word of a choice settles it, so that no word counts as settled while it is open."""

    def pick(
        self: Writer, options: Sequence[str], kind: str, weights: Sequence[float] | None = None, lead: str = " "
    ) -> str:
        words = [option.split()[0] for option in options]
        assert len(set(words)) == len(words)
        option = self.choose(options, weights)
        self.say(lead + option, kind)
        return option

    monkeypatch.setattr(Writer, "pick", pick)
    for number in range(100):
        write_document(0, number, family)


def test_what_a_question_asks_about_is_open_until_it_is_named() -> None:
    """After "Where was the" nothing says which of several things is meant; with one thing it is settled."""
    seen = set()
    for number in range(200):
        document = write_document(0, number, "story")
        asked = document.text.find(" Where was the")
        told = set(re.findall(r"(?:put|hid) the (\w+) in the", document.text[:asked])) if asked >= 0 else set()
        if told and "Boxes:" not in document.text[:asked]:  # what a note has answered is not asked again
            truth = document.truth(asked + len(" Where was the"))
            assert (truth["entropy"] > 0) == (truth["next"]["text"] is None) == (len(told) > 1)
            seen.add(len(told) > 1)
    assert seen == {True, False}


def test_story_truth_follows_what_is_told() -> None:
    """Right after "put the ball in the box" the ball is in the box, whatever was said before."""
    told = 0
    for number in range(50):
        document = write_document(0, number, "story")
        for found in re.finditer(r"(?:put|hid) the (\w+) in the (\w+)", document.text):
            facts = document.truth(found.end())["facts"]
            assert (facts["object"], facts["container"]) == found.groups()
            told += 1
    assert told > 50


@pytest.mark.parametrize(("family", "slot", "begin"), [("clinic", "treatment", "Patient:"), ("sum", "sum", "<|user|>")])
def test_a_new_case_forgets_the_one_before(family: str, slot: str, begin: str) -> None:
    """When a patient or a sum begins, what was settled for the last one no longer holds."""
    document = next(d for d in (write_document(0, n, family) for n in range(20)) if d.text.count(begin) > 1)
    second = document.text.index(begin, len(begin))
    opened = document.pieces[[piece.start >= second for piece in document.pieces].index(True) + 1].end

    assert slot in document.truth(second)["facts"]
    assert slot not in document.truth(opened)["facts"]


def test_a_rhyme_is_planned_from_the_verb_on() -> None:
    """The verb of the second line settles the rhyme, and nothing before it does."""
    document = write_document(0, 0, "couplet")
    verb = [piece for piece in document.pieces if piece.kind == "verb"][1]

    assert "plan" not in document.truth(verb.start)["planned"]
    assert "plan" in document.truth(verb.end)["planned"]


def test_answers_are_planned_before_they_are_written() -> None:
    """At the end of a question the truth holds its answer as a plan, and not after it is given."""
    document = next(d for d in (write_document(0, n, "choice") for n in range(10)))
    answer = next(piece for piece in document.pieces if piece.kind == "answer")
    word = document.text[answer.start : answer.end].strip()

    assert document.truth(answer.start)["planned"]["answer"] == word
    assert "answer" not in document.truth(answer.end)["planned"]


def test_stories_tell_before_they_ask() -> None:
    """A question comes after at least four statements, so that its answer has to be looked for."""
    for number in range(50):
        text = write_document(0, number, "story").text
        asked = re.search(r"[?:]", text)
        if asked:
            assert text[: asked.start()].count(".") >= 4


def test_the_verdict_on_the_tool_is_right() -> None:
    """The answer comes "indeed" exactly when it is the tool's number, and "instead" when it is not."""
    verdicts = set()
    for number in range(30):
        for round_ in write_document(0, number, "sum").text.split("<|user|>")[1:]:
            said = re.search(r"The tool says (\d+)", round_)
            right = re.search(r"The answer is (\d+) (\w+)", round_)
            assert said
            assert right
            assert right[2] == ("indeed" if said[1] == right[1] else "instead")
            verdicts.add(right[2])
    assert len(verdicts) == 2


def test_chat_truth_is_found_by_offsets_into_the_messages() -> None:
    """The offset behind a word of a message leads to the same truth as the offset behind it in the rendered chat."""
    world = write_document(0, 5, "sum")
    document = world.document()
    assert document.messages is not None
    assert document.truth_at is not None
    said = "The answer is"
    found = document.truth_at(document.text.index(said) + len(said))

    assert found == world.truth(world.text.index(said) + len(said))
    assert "<|" not in document.text


def test_the_corpus_finds_its_documents_by_id() -> None:
    """A document comes back by id; an unknown id or option is refused with the reason."""
    corpus = make_corpus(CorpusConfig(documents=10, seed=7))
    documents = list(corpus)

    assert corpus.document("terrarium-4").text == documents[4].text
    with pytest.raises(NotFoundError, match="terrarium-10"):
        corpus.document("terrarium-10")
    with pytest.raises(ConfigError, match="storry"):
        make_corpus(CorpusConfig(options={"family": "storry"}))


def test_the_fingerprint_of_a_corpus_tells_worlds_apart() -> None:
    """Seed, size and family each change the fingerprint."""
    prints = {
        make_corpus(config).fingerprint()
        for config in (
            CorpusConfig(documents=10),
            CorpusConfig(documents=10, seed=1),
            CorpusConfig(documents=11),
            CorpusConfig(documents=10, options={"family": "sum"}),
        )
    }

    assert len(prints) == 4
