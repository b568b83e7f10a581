"""What the probes of a sweep are asked: of any text what stands around a token, and known facts where there is truth.

Axes: N rows.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlakit.claims.probes import Facts
from nlakit.config import derive_seed
from nlakit.evaluate.layers.rows import LayerRows
from nlakit.truth import LEVELS, TruthReader

TOKEN = "token"  # noqa: S105 - the token that a vector was read at
AROUND = ("earlier", "later", "next", "topic")
"""What is not in the token itself: words before it and to come, what the target will say, what the text is about."""
TRUTH = (*LEVELS, "planned")
"""Groups of known facts."""

VALUES = 64
"""A probe of tokens tells at most this many from each other, the most frequent ones (our choice)."""
MIN_VALUE_ROWS = 5
"""A token is asked for when it is the answer in at least this many fitted rows (our choice)."""
FAR = 8
"""An earlier or later word stands at least this many tokens away: what is nearer belongs to the phrase, which the first blocks
copy together (our choice; LOG.md)."""
COMMON = 0.2
"""A token that stands near more rows than this share is no word that tells one text from another (our choice)."""
TOPICS = 8
"""Clusters of words into which texts are put (our choice)."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What there is to find at each row, by slot, and the group that each slot counts to."""

    fit_N: Sequence[Facts]
    asked_N: Sequence[Facts]
    groups_N: Sequence[Mapping[str, str]]
    """Of the asked rows: slot to group."""


def text_questions(fit: LayerRows, asked: LayerRows, tokenizer: Any, seed: int) -> Questions:
    """Ask what can be asked of any text.

    ``token`` is the row's own token; ``earlier`` and ``later`` are the nearest telling words at least ``FAR`` tokens before it
    and after the next; ``next`` is what the target finds likeliest; ``topic`` the cluster of words that the text so far
    belongs to. A telling word is one of the ``VALUES`` most frequent tokens with a letter that stand near no more than a share
    ``COMMON`` of the rows. The tokenizer's special tokens are never asked for.
    """
    special = frozenset(tokenizer.all_special_ids)
    telling = _telling(fit, tokenizer)
    answers = [_answers(rows, telling) for rows in (fit, asked)]
    topics = _topics([context.text for context in fit.contexts], [context.text for context in asked.contexts], seed)
    kept = {
        slot: _frequent((answer[slot] for answer in answers[0] if slot in answer), special)
        for slot in (TOKEN, "earlier", "later", "next")
    }
    fit_N, asked_N = (
        [
            {**{slot: str(value) for slot, value in answer.items() if value in kept[slot]}, "topic": topic}
            for answer, topic in zip(answer_N, topic_N, strict=True)
        ]
        for answer_N, topic_N in zip(answers, topics, strict=True)
    )
    return Questions(fit_N, asked_N, [{slot: slot for slot in facts} for facts in asked_N])


def fact_questions(fit: LayerRows, asked: LayerRows, reader: TruthReader) -> Questions:
    """Ask for the facts and plans that hold at each row; a fact's group is its level, a plan's is ``planned``.

    What a reader says of the last token and the next is left out: tokens are asked for on any text.
    """
    (fit_N, _), (asked_N, groups_N) = _known(fit, reader), _known(asked, reader)
    return Questions(fit_N, asked_N, groups_N)


def _known(rows: LayerRows, reader: TruthReader) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    facts_N, groups_N = [], []
    for truth in (context.truth for context in rows.contexts):
        planned: Collection[str] = () if truth is None else truth["planned"]
        known = {} if truth is None else reader.facts(truth)
        facts_N.append({slot: known[slot] for slot in known if truth and (slot in truth["facts"] or slot in planned)})
        groups_N.append({slot: "planned" if slot in planned else reader.level(slot) for slot in facts_N[-1]})
    return facts_N, groups_N


def _telling(rows: LayerRows, tokenizer: Any) -> frozenset[int]:
    """Tokens that tell one text from another: frequent, with a letter, and near not too many rows."""
    near = Counter(token for place in rows.places for token in {*place.before, *place.after})
    few = {token: count for token, count in near.items() if count <= COMMON * len(rows)}
    words = {token: count for token, count in few.items() if any(map(str.isalpha, tokenizer.decode([token])))}
    return _most(words, frozenset(tokenizer.all_special_ids))


def _answers(rows: LayerRows, telling: Collection[int]) -> list[dict[str, int]]:
    found = []
    for place in rows.places:
        near = {
            "earlier": next((token for token in place.before[FAR - 1 :] if token in telling), None),
            "later": next((token for token in place.after[FAR - 1 :] if token in telling), None),
        }
        named = {slot: token for slot, token in near.items() if token is not None}
        found.append({TOKEN: place.token, "next": place.next, **named})
    return found


def _frequent(values: Iterable[int], special: Collection[int]) -> frozenset[int]:
    return _most(Counter(values), special)


def _most(counts: Mapping[int, int], special: Collection[int]) -> frozenset[int]:
    ranked = sorted(
        (-count, token) for token, count in counts.items() if count >= MIN_VALUE_ROWS and token not in special
    )
    return frozenset(token for _, token in ranked[:VALUES])


def _topics(fit: Sequence[str], asked: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Put texts into clusters by their words (k-means of tf-idf), found on the fitted ones."""
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    words = HashingVectorizer(n_features=2**14, alternate_sign=False, norm=None)
    weigh = TfidfTransformer(sublinear_tf=True)
    clusters = KMeans(min(TOPICS, len(set(fit))), n_init=4, random_state=derive_seed(seed, "topics") % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer different texts than clusters: some stay empty
        fitted = clusters.fit_predict(weigh.fit_transform(words.transform(fit)))
        found = clusters.predict(weigh.transform(words.transform(asked)))
    return [str(topic) for topic in fitted], [str(topic) for topic in found]
