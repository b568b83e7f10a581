"""How probable a verbalizer finds the words of a claim, given a vector.

A verbalizer that was taught a teacher's explanations gives each value the probability with which the vector decides it:
near 1 where the vector holds the fact, and the frequency of the value where it does not. So the probability of a claim's value
tells, without any truth, whether the vector holds what the claim says.

Axes: N explanations, D width of a vector, T tokens.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from nlakit.models.verbalizer import Verbalizer
from nlakit.prompts import escape, joiners

Span = tuple[int, int]
"""Characters of an explanation, from the first to behind the last."""

BATCH_ROWS = 256
"""Explanations in one forward pass."""
LIKELY = math.log(0.5)
"""Log-probability above which something is more probable than not."""


@dataclass(frozen=True, slots=True)
class SpanScore:
    """How probable a verbalizer finds the words of one span, given the vector and the words before them."""

    log_prob: float
    """Of all tokens of the span together, in nats; 0 for a span without a token."""
    rival: float
    """Of the likeliest other token in place of the span's first, in nats."""

    @property
    def contradicted(self) -> bool:
        """Whether something else stands here more probably than not."""
        return self.rival > LIKELY


def span_log_probs(
    verbalizer: Verbalizer,
    vectors_ND: Tensor,
    texts: Sequence[str],
    spans_N: Sequence[Sequence[Span]],
    batch_rows: int = BATCH_ROWS,
) -> list[list[float]]:
    """Return the log-probability in nats of the tokens of each span, given the vector and the words before them."""
    found_N = span_scores(verbalizer, vectors_ND, texts, spans_N, batch_rows)
    return [[score.log_prob for score in found] for found in found_N]


def span_scores(
    verbalizer: Verbalizer,
    vectors_ND: Tensor,
    texts: Sequence[str],
    spans_N: Sequence[Sequence[Span]],
    batch_rows: int = BATCH_ROWS,
) -> list[list[SpanScore]]:
    """Score each span of each text; one forward pass a text, whatever the number of its spans."""
    completions = [verbalizer.encode_explanation(text) for text in texts]
    found: list[list[SpanScore]] = [[] for _ in texts]
    order = sorted(range(len(texts)), key=lambda row: len(completions[row]))
    for start in range(0, len(order), batch_rows):
        rows = order[start : start + batch_rows]
        logp_BT, rival_BT, _ = verbalizer.log_probs_and_rivals(vectors_ND[rows], [completions[row] for row in rows])
        logp_BT, rival_BT = logp_BT.cpu(), rival_BT.cpu()
        for place, row in enumerate(rows):
            offsets = token_spans(verbalizer, texts[row])
            found[row] = [_score(logp_BT[place], rival_BT[place], offsets, span) for span in spans_N[row]]
    return found


def token_spans(verbalizer: Verbalizer, text: str) -> list[Span]:
    """Return the characters of ``text`` that each token of its completion stands for; tokens of tags lie outside it."""
    prompts = verbalizer.prompts
    inner = text.strip()
    readable, put_in = escape(inner, verbalizer.controls), joiners(inner, verbalizer.controls)
    wrapped = f"{prompts.open_tag}{readable}{prompts.close_tag}"
    before = len(text) - len(text.lstrip())
    offsets = verbalizer.tokenizer(wrapped, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]

    def place(offset: int) -> int:
        """Where in the text a place of the wrapped one is, which has a tag before it and joiners inside."""
        inside = offset - len(prompts.open_tag)
        return before + inside - bisect_left(put_in, inside)

    return [(place(first), place(last)) for first, last in offsets]


def _score(logp_T: Tensor, rival_T: Tensor, offsets: Sequence[Span], span: Span) -> SpanScore:
    """Add the log-probabilities of the tokens that share a character with a span."""
    first, last = span
    inside = [index for index, (begin, end) in enumerate(offsets) if begin < last and end > first]
    if not inside:
        return SpanScore(0.0, -math.inf)
    return SpanScore(float(logp_T[inside].sum()), float(rival_T[inside[0]]))
