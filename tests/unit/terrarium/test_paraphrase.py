"""Explanations of Terrarium said in other words."""

from __future__ import annotations

import random
import re
from collections import Counter
from functools import cache

import pytest

from nlakit.config import AnnotateConfig
from nlakit.data.teachers import Context
from nlakit.paraphrase import Paraphraser, Rewording
from nlakit.terrarium import make_teacher, paraphrase, paraphraser, truth_reader
from nlakit.terrarium.claims import SLOTS
from nlakit.terrarium.paraphrase import filled, wordings
from nlakit.terrarium.wordings import FRENCH, WORDINGS
from nlakit.terrarium.world import write_document

HOWS: tuple[Rewording, ...] = ("light", "heavy", "training", "translation")
SOME = 25
TEXT = "Reads like a story. Object coin, about Ben, Zoe also there. Ends on the, next an object."


@cache
def explanations() -> list[str]:
    """Two hundred explanations of the teacher, from all families."""
    contexts = []
    for number in range(200):
        document = write_document(7, number)
        end = random.Random(number).choice(document.pieces[1:-1]).end
        contexts.append(Context(number, document.id, end, "", document.text[:end], document.truth(end)))
    return [explanation.text for explanation in make_teacher(AnnotateConfig()).explain(contexts)]


@cache
def some_wordings(slot: str, how: Rewording) -> tuple[str, ...]:
    """Wordings of a use, drawn at random where there are many."""
    known = wordings(slot, how)
    return tuple(random.Random(slot).sample(known, min(len(known), SOME)))


@cache
def reverse_table() -> list[tuple[str, re.Pattern[str]]]:
    """Every wording of every use as a pattern of whole clauses, with its slot."""
    table = []
    for slot, said in SLOTS.items():
        known = "|".join(map(re.escape, said.values)) or r"\w+"
        for wording in {word for how in HOWS[:3] for word in some_wordings(slot, how)}:
            before, after = map(re.escape, wording.split("{}"))
            table.append((slot, re.compile(f"{before}({known}){after}", re.IGNORECASE)))
    return table


def meanings(clause: str) -> set[tuple[str, str]]:
    """What a clause can be read as."""
    found = ((slot, pattern.fullmatch(clause)) for slot, pattern in reverse_table())
    return {(slot, match[1].lower()) for slot, match in found if match}


def claimed(text: str) -> list[tuple[str, str]]:
    return [(claim.slot, claim.value.lower()) for claim in truth_reader().claims(text)]


def named(said: str, name: str) -> bool:
    """Whether the words of a name stand in a wording in their order, with others between them or not."""
    words = iter(said.split())
    return all(word in words for word in name.split())


def frame_words(text: str, values: set[str]) -> Counter[str]:
    return Counter(word for word in re.findall(r"[\w'-]+", text.lower()) if word not in values)


def test_every_slot_has_wordings() -> None:
    """Six and more to learn from, four and more held out, each with one place for the value."""
    assert WORDINGS.keys() == SLOTS.keys()
    for slot in SLOTS:
        assert len(set(wordings(slot, "training"))) >= 6
        assert len(set(wordings(slot, "heavy"))) >= 4
        for how in HOWS:
            assert all(wording.count("{}") == 1 for wording in wordings(slot, how))


def test_uses_have_no_wording_in_common() -> None:
    """What heavy and light rewordings say is held out from training, and heavy ones say nothing as the teacher does."""
    for slot in SLOTS:
        light, heavy, training = (set(wordings(slot, how)) for how in ("light", "heavy", "training"))
        assert not light & heavy
        assert not light & training
        assert not heavy & training


@pytest.mark.parametrize("slot", SLOTS)
def test_training_draws_are_fresh_and_name_their_slot(slot: str) -> None:
    """Most of four hundred draws differ, each names its slot, and one that opens a sentence begins with a word."""
    rng = random.Random(slot)
    drawn = [filled(slot, opens, rng) for opens in (False, True) for _ in range(200)]

    assert len(set(drawn)) >= 200
    assert not any(said.startswith("{}") for said in drawn[200:])
    for said in drawn:
        assert said.count("{}") == 1
        assert any(named(said, name) for name in (*WORDINGS[slot].nouns, *WORDINGS[slot].training)), said


def test_no_training_draw_holds_a_heavy_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the fillers are those of the heavy patterns alone, so that chance would hit one often, none is hit."""
    fillers = ("our", "was", "here", "means")
    monkeypatch.setattr(paraphrase, "FILLERS", fillers)
    held_out = [f" {said.replace(':', '')} " for said in wordings("genre", "heavy")]
    rng = random.Random(0)
    drawn = [f" {filled('genre', False, rng)} " for _ in range(3000)]

    assert not [said for said in drawn if any(heavy in said for heavy in held_out)]


@pytest.mark.parametrize("slot", SLOTS)
def test_a_wording_means_one_slot(slot: str) -> None:
    """Whatever the wording and the value, no other slot can be meant."""
    values = SLOTS[slot].values[:2] or ("the", "box", "red")
    for how in ("light", "heavy", "training"):
        for wording in some_wordings(slot, how):  # type: ignore[arg-type]
            for value in values:
                assert meanings(wording.format(value)) == {(slot, value.lower())}, wording


def test_heavy_rewordings_keep_every_claim() -> None:
    """Read clause by clause, a heavy rewording claims what the teacher claimed, in another order, and no clause is ambiguous."""
    texts = explanations()
    for text, said in zip(texts, paraphraser().reword(texts, "heavy", 0), strict=True):
        clauses = re.split(r"[.,] ", said.removesuffix("."))
        found = [meanings(clause) for clause in clauses]
        assert all(len(meaning) == 1 for meaning in found), said
        order = [meaning.pop() for meaning in found]
        assert Counter(order) == Counter(claimed(text))
        assert len(order) < 2 or order != claimed(text)


def test_heavy_rewordings_change_the_words() -> None:
    """Of the words that are no values, at least 85 % are others."""
    texts = explanations()
    kept = total = 0
    for text, said in zip(texts, paraphraser().reword(texts, "heavy", 0), strict=True):
        values = {word for claim in truth_reader().claims(text) for word in claim.value.lower().split()}
        before, after = frame_words(text, values), frame_words(said, values)
        kept, total = kept + (before & after).total(), total + before.total()
    assert kept / total <= 0.15


def test_light_rewordings_keep_order_and_division() -> None:
    """About a third of the clauses change, none moves, and each still claims the same."""
    texts = explanations()
    changed = total = 0
    for text, said in zip(texts, paraphraser().reword(texts, "light", 0), strict=True):
        before, after = text.split(", "), said.split(", ")
        assert len(before) == len(after)
        assert text.count(".") == said.count(".")
        pairs = list(zip(re.split(r"[.,] ?", text), re.split(r"[.,] ?", said), strict=True))
        assert all(meanings(a) == meanings(b) for a, b in pairs)
        changed, total = changed + sum(a != b for a, b in pairs), total + len(pairs) - 1
    assert 0.3 <= changed / total <= 0.5


def test_training_rewordings_differ_from_draw_to_draw() -> None:
    """Twenty seeds give nearly twenty texts, some with other separators, and all hold the values."""
    drawn = {paraphraser().reword([TEXT], "training", seed)[0] for seed in range(20)}

    assert len(drawn) >= 18
    assert any("; " in text or " and " in text for text in drawn)
    for text in drawn:
        assert all(value in text for value in ("story", "coin", "Ben", "Zoe", "an object"))


def test_a_translation_is_french_around_the_values() -> None:
    """Order and division stay, known values are translated, names stay."""
    (said,) = paraphraser().reword([TEXT], "translation", 0)

    assert (
        said
        == "C'est un conte. La chose : coin, il s'agit de Ben, Zoe est là aussi. Dernier mot the, ensuite vient un objet."
    )
    for slot, values in FRENCH.items():
        assert not SLOTS[slot].values or set(values) <= set(SLOTS[slot].values)


@pytest.mark.parametrize("how", HOWS)
def test_words_outside_claims_are_kept(how: Rewording) -> None:
    """What is no claim stays in its clause, and a text without claims keeps its clauses."""
    (said,) = paraphraser().reword(["Surely kept in the box now, nothing else."], how, 3)

    assert re.search(r"surely .+ now", said, re.IGNORECASE)
    assert "nothing else" in said.lower()
    assert paraphraser().reword([""], how, 3) == [""]


@pytest.mark.parametrize("how", HOWS)
def test_a_draw_depends_on_seed_and_text_alone(how: Rewording) -> None:
    """A text reworded alone reads as one reworded among others."""
    texts = explanations()[:10]
    together = paraphraser().reword(texts, how, 5)

    assert [paraphraser().reword([text], how, 5)[0] for text in texts] == together
    assert how == "translation" or paraphraser().reword(texts, how, 6) != together


def test_it_is_a_paraphraser_with_a_fingerprint() -> None:
    """The plugin keeps the protocol, and its fingerprint is stable within a version."""
    assert isinstance(paraphraser(), Paraphraser)
    assert paraphraser().fingerprint() == paraphraser().fingerprint()
