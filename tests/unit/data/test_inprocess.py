"""Tests of nlakit.data.inprocess: the target itself and a trained pair as teachers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nlakit.config import AnnotateConfig, TargetConfig
from nlakit.data import inprocess
from nlakit.data.inprocess import PairTeacher, TargetTeacher, make_pair_teacher, make_target_teacher
from nlakit.data.teachers import Context, Situated, Source, Teacher, card_record
from nlakit.errors import ConfigError, InputError, PairError
from nlakit.explanations import Explanation, Outcome
from nlakit.models.pair import Pair
from nlakit.models.target import Target
from nlakit.testing import tiny_model, tiny_pair_folder, tiny_target, tiny_tokenizer

SOURCE = Source(TargetConfig(), "", "resid.1")
Situate = Callable[..., TargetTeacher]


def contexts(n: int) -> list[Context]:
    return [Context(row, f"d{row}", 7, " cat", f"Text {row}: " + "the cat sat. " * row) for row in range(n)]


def big_target(*, chat: bool = True) -> Target:
    """A tiny target whose window holds the question."""
    tokenizer = tiny_tokenizer(chat=chat)
    return Target(tiny_model(vocab_size=len(tokenizer), positions=2048), tokenizer, "tiny")


@pytest.fixture
def situate(monkeypatch: pytest.MonkeyPatch) -> Situate:
    """Make the teacher ``target`` for a target in memory."""

    def make(target: Target, **options: Any) -> TargetTeacher:
        monkeypatch.setattr(inprocess.Target, "load", lambda *_: target)
        teacher = make_target_teacher(AnnotateConfig(teacher="target", options={"max_tokens": 12, **options}))
        teacher.situate(SOURCE)
        return teacher

    return make


def test_the_target_answers_whole_batches_as_it_does_alone(situate: Situate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text gets the words that the target prefers for it, however many are padded to one length; and always the same."""
    monkeypatch.setattr(inprocess, "explain_reply", lambda reply: Explanation(reply.text, Outcome.CUT_OFF))
    target = big_target()
    together = situate(target, batch_rows=4).explain(contexts(6))
    alone = situate(target, batch_rows=1).explain(contexts(6))

    assert [text.text for text in alone] == [text.text for text in together]
    assert len({text.text for text in together}) > 1
    assert together == situate(target, batch_rows=4).explain(contexts(6))


def test_what_a_target_babbles_is_no_explanation(situate: Situate) -> None:
    """A target that does not do what it is asked has failed outcomes, and nothing to learn from."""
    found = situate(big_target()).explain(contexts(3))

    assert 3 == len(found)
    assert all(not explanation.ok for explanation in found)


def test_a_reply_ends_at_the_first_end_token(situate: Situate) -> None:
    """What follows an end token is no part of the reply, and a reply without one is cut off."""
    target = big_target()
    teacher = situate(target)
    words = target.tokenizer("the cat")["input_ids"]
    end = target.tokenizer.eos_token_id

    assert ("the cat", "done") == (teacher._reply([*words, end, 5, 6], {end}).text, "done")
    assert "done" == teacher._reply([*words, end, 5, 6], {end}).end
    assert "length" == teacher._reply(words, {end}).end


def test_a_target_without_chat_template(situate: Situate) -> None:
    """It cannot be asked, and the message names teachers that can."""
    with pytest.raises(ConfigError, match=r"has no chat template.*anthropic, openai, pair"):
        situate(big_target(chat=False))


def test_a_window_that_is_too_small(situate: Situate) -> None:
    """A long text is cut at its beginning; a window that does not hold the question is told."""
    with pytest.raises(InputError, match=r"window of 'tiny-llama' holds 256 tokens; the question takes \d+"):
        situate(tiny_target()).explain(contexts(1))

    teacher = situate(big_target())
    long = Context(0, "d", 7, " cat", "start " + "the cat sat. " * 2000 + "the end")
    ids = teacher._prompt(long)
    text = teacher._loaded().tokenizer.decode(ids)
    assert len(ids) <= 2048 - 12
    assert "the end" in text
    assert "start" not in text


def test_the_target_as_teacher_is_known_by_its_weights(situate: Situate) -> None:
    """Another target or another length is another teacher; the card has the instruction."""
    one = situate(big_target())
    same, longer, other = situate(big_target()), situate(big_target(), max_tokens=13), situate(tiny_target(d=48))

    assert one.fingerprint() == same.fingerprint()
    assert 3 == len({teacher.fingerprint() for teacher in (one, longer, other)})
    assert {"model", "instruction"} == card_record(one).keys()
    assert isinstance(one, Teacher)
    assert isinstance(one, Situated)


def test_a_target_that_cannot_chat_goes_on_with_the_text(situate: Situate) -> None:
    """Each explanation quotes its text and what the target itself would write next; no chat template is needed."""
    target = big_target(chat=False)
    rows = [*contexts(5), Context(9, "d", 0, "", "")]
    found = situate(target, form="continue", max_tokens=3, words=2, batch_rows=2).explain(rows)
    alone = situate(target, form="continue", max_tokens=3, words=2, batch_rows=1).explain(rows)

    assert found == alone
    assert Outcome.EMPTY is found[-1].outcome
    ids = target.tokenizer(rows[2].text, return_tensors="pt").input_ids
    written = target.model.generate(ids, do_sample=False, max_new_tokens=3, pad_token_id=0)[0, ids.shape[1] :]
    assert 'The text ends with "cat sat.".' in found[2].text
    assert f'It may go on with "{" ".join(target.tokenizer.decode(written).split())}".' in found[2].text


def test_a_text_that_is_too_long_is_continued_at_its_end(situate: Situate) -> None:
    """The window holds the end of the text, the token that begins texts, and room for the continuation."""
    tokenizer = tiny_tokenizer(bos=True)
    target = Target(tiny_model(vocab_size=len(tokenizer), positions=64), tokenizer, "tiny")
    teacher = situate(target, form="continue", max_tokens=4)
    ids = teacher._end(list(range(100, 300)))
    begun = teacher._end([tokenizer.bos_token_id, *range(100, 300)])

    assert ids == list(range(240, 300))
    assert begun == [tokenizer.bos_token_id, *range(241, 300)]
    assert all(explanation.ok for explanation in teacher.explain([Context(0, "d", 1, "cat", "the cat sat. " * 99)]))


def test_the_ways_to_teach_are_different_teachers(situate: Situate) -> None:
    """A target that continues is known by its options, and the card says how it taught."""
    one, longer = situate(big_target(), form="continue"), situate(big_target(), form="continue", max_tokens=13)

    assert 3 == len({teacher.fingerprint() for teacher in (one, longer, situate(big_target()))})
    assert {"model": "tiny", "form": "continue"} == card_record(one)
    with pytest.raises(ConfigError, match=r"annotate\.options has 1 problem:\n  words"):
        situate(big_target(), words=3)


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return tiny_pair_folder(tmp_path)


def pair_teacher(folder: Path) -> PairTeacher:
    return make_pair_teacher(AnnotateConfig(teacher="pair", options={"pair": str(folder)}))


def test_a_pair_describes_the_vectors(pair: Path) -> None:
    """The explanations are the pair's own greedy ones of the rows' vectors, failures included."""
    vectors_ND = torch.randn(5, 32, generator=torch.Generator().manual_seed(1))
    rows = [Context(row, "d", 7, "x", "text", None, vector_D) for row, vector_D in enumerate(vectors_ND)]

    assert Pair.from_pretrained(pair).describe(vectors_ND, temperature=0.0) == pair_teacher(pair).explain(rows)
    with pytest.raises(InputError, match="1 of 6 contexts have no vector"):
        pair_teacher(pair).explain([*rows, Context(9, "d", 7, "x", "text")])


def test_a_pair_of_another_target_or_site(pair: Path) -> None:
    """Vectors that the pair was not trained on are refused, with both names."""
    card = Pair.from_pretrained(pair).card
    good = Source(TargetConfig(), card.target.fingerprint, card.site)
    teacher = pair_teacher(pair)
    teacher.situate(good)

    with pytest.raises(PairError, match=rf"it has site '{card.site}', the rows 'resid\.0'"):
        teacher.situate(Source(TargetConfig(), card.target.fingerprint, "resid.0"))
    with pytest.raises(PairError, match="the rows 'abc'"):
        teacher.situate(Source(TargetConfig(), "abc", card.site))


def test_a_pair_is_known_by_its_verbalizer(pair: Path) -> None:
    """Results that are noted on its card change nothing; other weights do."""
    before = pair_teacher(pair).fingerprint()
    loaded = Pair.from_pretrained(pair)
    loaded.card.model_copy(update={"results": {}, "created_at": "later"}).save(pair)
    assert before == pair_teacher(pair).fingerprint()

    next(loaded.verbalizer.model.parameters()).data.add_(0.01)
    loaded.save(pair)
    assert before != pair_teacher(pair).fingerprint()
