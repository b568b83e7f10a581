"""How probable a verbalizer finds the words of a claim, given a vector.

A verbalizer that was taught a teacher's explanations gives each value the probability with which the vector decides it:
near 1 where the vector holds the fact, and the frequency of the value where it does not. So the probability of a claim's value
tells, without any truth, whether the vector holds what the claim says.

Axes: N explanations, D width of a vector, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nlakit.models.verbalizer import Verbalizer
from nlakit.prompts import escape

Span = tuple[int, int]
"""Characters of an explanation, from the first to behind the last."""

BATCH_ROWS = 256
"""Explanations in one forward pass."""


@torch.no_grad()
def span_log_probs(
    verbalizer: Verbalizer,
    vectors_ND: Tensor,
    texts: Sequence[str],
    spans_N: Sequence[Sequence[Span]],
    batch_rows: int = BATCH_ROWS,
) -> list[list[float]]:
    """Return the log-probability in nats of the tokens of each span, given the vector and the words before them.

    One forward pass a text, whatever the number of its spans. A span without a token counts 0.
    """
    completions = [verbalizer.encode_explanation(text) for text in texts]
    found: list[list[float]] = [[] for _ in texts]
    order = sorted(range(len(texts)), key=lambda row: len(completions[row]))
    for start in range(0, len(order), batch_rows):
        rows = order[start : start + batch_rows]
        log_probs_BT, _ = verbalizer.log_probs(vectors_ND[rows], [completions[row] for row in rows])
        log_probs_BT = log_probs_BT.float().cpu()
        for place, row in enumerate(rows):
            offsets = token_spans(verbalizer, texts[row])
            found[row] = [_sum_over(log_probs_BT[place], offsets, span) for span in spans_N[row]]
    return found


def token_spans(verbalizer: Verbalizer, text: str) -> list[Span]:
    """Return the characters of ``text`` that each token of its completion stands for; tokens of tags lie outside it."""
    prompts = verbalizer.prompts
    readable = escape(text.strip(), verbalizer.controls)
    wrapped = f"{prompts.open_tag}{readable}{prompts.close_tag}"
    shift = len(prompts.open_tag) - (len(text) - len(text.lstrip()))
    offsets = verbalizer.tokenizer(wrapped, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return [(first - shift, last - shift) for first, last in offsets]


def _sum_over(log_probs_T: Tensor, offsets: Sequence[Span], span: Span) -> float:
    """Add the log-probabilities of the tokens that share a character with a span."""
    first, last = span
    inside = [index for index, (begin, end) in enumerate(offsets) if begin < last and end > first]
    return float(log_probs_T[inside].sum()) if inside else 0.0
