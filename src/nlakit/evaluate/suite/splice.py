"""Splice: the rebuilt vector is put back into the target, and the target goes on.

A reconstruction can be near in angle and still lack what the target acts on; here the target itself is the judge. Two things
are asked: how far its probabilities move, and whether it still says what it rightly said before.

Axes: N rows, B rows of a batch, T tokens, D vector width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from nlakit.evaluate.bench import Bench
from nlakit.models.sites import Site, next_logits
from nlakit.models.target import Target
from nlakit.truth import Truth
from nlakit.vectors import unit

LATER = 8
"""Tokens behind the row's own that are looked at."""
BATCH_ROWS = 64
OWN, MEAN, OTHER = "", "_mean", "_other"
"""Endings of the measures: the vector rebuilt for the row, the mean direction, the vector rebuilt for another row."""
SETTLED, ANSWERS = "splice_settled_kept", "splice_answers_kept"
"""Beginnings of the measures of behaviour."""
_ONE_DOCUMENT = "all rows are of one document, so they cannot be exchanged between documents"


@dataclass(frozen=True, slots=True)
class Spliced:
    """What the target makes of other vectors in place of the rows' own."""

    kl_N: Tensor
    """Divergence at the row's token, in nats."""
    later_N: Tensor
    """Mean divergence over the tokens behind it."""
    said_N: Tensor
    """The most probable next token."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the target says with its own vectors, and what with others."""

    said_N: Tensor
    """The most probable next token with the row's own vector."""
    counts_N: Tensor
    """How many tokens behind the row's own are looked at."""
    spliced: dict[str, Spliced]
    """By ending of the measures."""


def measure(bench: Bench) -> None:
    """Splice the rebuilt vectors, the mean direction, and the vectors rebuilt for other rows."""
    found, heldout = bench.found, bench.heldout
    norms_N1 = heldout.vectors_ND.norm(dim=-1, keepdim=True)
    directions = {OWN: unit(bench.rebuilt_ND), MEAN: unit(bench.pair.card.require_stats().mean_D.float()[None])}
    if bench.other_N is not None:
        directions[OTHER] = directions[OWN][bench.other_N]
    outcome = splice(bench, {ending: norms_N1 * direction for ending, direction in directions.items()})
    own = outcome.spliced[OWN]
    found.mean("splice_same_token", (own.said_N == outcome.said_N).float())
    for ending, spliced in outcome.spliced.items():
        found.mean(f"splice_kl{ending}", spliced.kl_N)
        found.mean(f"splice_kl_later{ending}", spliced.later_N, outcome.counts_N)
    if OTHER not in outcome.spliced:
        kinds = ("splice_kl", "splice_kl_later", SETTLED, ANSWERS)
        found.leave_out([f"{kind}{OTHER}" for kind in kinds], _ONE_DOCUMENT)
    _measure_behaviour(bench, outcome)


def _measure_behaviour(bench: Bench, outcome: Outcome) -> None:
    """Add the share of what the target rightly says that it still says, where the truth settles what is right."""
    found = bench.found
    if bench.truths is None:
        names = [f"{kind}{ending}" for kind in (SETTLED, ANSWERS) for ending in outcome.spliced]
        found.leave_out(names, bench.why_no_truth)
        return
    settled = [
        settled_token(bench.target, ids, position, truth)
        for (ids, position), truth in zip(bench.places, bench.truths, strict=True)
    ]
    right = [row for row, token in enumerate(settled) if token is not None and token == int(outcome.said_N[row])]
    for kind, rows in ((SETTLED, right), (ANSWERS, [row for row in right if tells_a_fact(bench.truths[row])])):
        owners = [found.documents_N[row] for row in rows]
        for ending, spliced in outcome.spliced.items():
            kept = (spliced.said_N[rows] == outcome.said_N[rows]).float()
            found.measures[f"{kind}{ending}"] = found.estimator.mean(f"{kind}{ending}", kept, owners)


def settled_token(target: Target, ids: Sequence[int], position: int, truth: Truth) -> int | None:
    """Return the token that follows a position where the truth settles the next word; None where it is open.

    Words of a chat template stand between messages without the truth knowing of them, so the token has to begin the word.
    """
    word: str | None = truth["next"]["text"]
    if word is None or position + 1 >= len(ids):
        return None
    piece = str(target.tokenizer.decode([ids[position + 1]])).lstrip(" ")
    return ids[position + 1] if piece and word.startswith(piece) else None


def tells_a_fact(truth: Truth) -> bool:
    """Return whether the next word begins the value of a fact: it is an answer, a name or a thing, not a word that any text has."""
    values = [*truth["facts"].values(), *truth["planned"].values()]
    return any(value.split()[:1] == [truth["next"]["text"]] for value in values)


def splice(bench: Bench, vectors: Mapping[str, Tensor]) -> Outcome:
    """Run the target once as it is, and once with each of the vectors (N, D) in place of the rows' own."""
    texts = [list(ids[: position + 1 + LATER]) for ids, position in bench.places]
    positions_N = torch.tensor([position for _, position in bench.places])
    counts_N = torch.tensor([len(text) for text in texts]) - positions_N - 1
    said_N = torch.zeros(len(texts), dtype=torch.long)
    spliced = {ending: Spliced(torch.zeros(len(texts)), torch.zeros(len(texts)), said_N.clone()) for ending in vectors}
    # Rows at about the same position go together, since the output layer runs from the first of them on.
    for rows in positions_N.argsort(stable=True).split(BATCH_ROWS):
        ids, positions_B = [texts[row] for row in rows.tolist()], positions_N[rows]
        before_BTV = _log_probs(bench, ids, positions_B, None)
        behind_BT = torch.arange(before_BTV.shape[1])[None] <= counts_N[rows][:, None]
        behind_BT[:, 0] = False
        said_N[rows] = before_BTV[:, 0].argmax(dim=-1)
        for ending, vectors_ND in vectors.items():
            after_BTV = _log_probs(bench, ids, positions_B, vectors_ND[rows])
            kl_BT = (before_BTV.exp() * (before_BTV - after_BTV)).sum(dim=-1)
            spliced[ending].kl_N[rows] = kl_BT[:, 0]
            spliced[ending].later_N[rows] = (kl_BT * behind_BT).sum(dim=1) / counts_N[rows].clamp_min(1)
            spliced[ending].said_N[rows] = after_BTV[:, 0].argmax(dim=-1)
    return Outcome(said_N, counts_N.float(), spliced)


def _log_probs(bench: Bench, ids: list[list[int]], positions_B: Tensor, vectors_BD: Tensor | None) -> Tensor:
    """Return the target's log-probabilities (B, 1 + LATER, V) from each row's token on; meaningless behind a text's end."""
    target = bench.target
    longest, first = max(map(len, ids)), int(positions_B.min())
    tokens_BT = torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in ids], device=target.device)
    site = Site.parse(bench.pair.card.site)
    with nullcontext() if vectors_BD is None else site.write(target, vectors_BD, positions_B):
        logits_BTV = next_logits(target, tokens_BT, first)
    columns_BT = (positions_B[:, None] + torch.arange(1 + LATER)).clamp_max(longest - 1) - first
    chosen_BTV = logits_BTV[torch.arange(len(ids))[:, None], columns_BT.to(logits_BTV.device)]
    return chosen_BTV.float().log_softmax(dim=-1).cpu()
