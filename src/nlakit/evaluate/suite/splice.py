"""Splice: the rebuilt vector is put back into the target, and the target goes on.

A reconstruction can be near in angle and still lack what the target acts on; here the target itself is the judge.

Axes: N rows, B rows of a batch, T tokens, D vector width, V vocabulary.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor

from nlakit.evaluate.bench import Bench
from nlakit.models.sites import Site, decoder_inputs
from nlakit.vectors import unit

LATER = 8
"""Tokens behind the row's own that are looked at."""
BATCH_ROWS = 64


def measure(bench: Bench) -> None:
    """Splice the rebuilt vectors, the mean direction, and the vectors rebuilt for other rows."""
    found, heldout = bench.found, bench.heldout
    norms_N1 = heldout.vectors_ND.norm(dim=-1, keepdim=True)
    mean_ND = unit(bench.pair.card.require_stats().mean_D.float()[None]) * norms_N1
    rebuilt_ND = unit(bench.rebuilt_ND) * norms_N1
    own_N, later_N, counts_N, same_N = divergences(bench, rebuilt_ND)
    found.mean("splice_kl", own_N)
    found.mean("splice_kl_later", later_N, counts_N)
    found.mean("splice_same_token", same_N)
    found.mean("splice_kl_mean", divergences(bench, mean_ND)[0])
    if bench.other_N is None:
        found.leave_out(
            ["splice_kl_other"], "all rows are of one document, so they cannot be exchanged between documents"
        )
        return
    found.mean("splice_kl_other", divergences(bench, unit(rebuilt_ND[bench.other_N]) * norms_N1)[0])


def divergences(bench: Bench, vectors_ND: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what changes with these vectors in place of the rows' own, each of shape (N,).

    KL at the row's token, mean KL over the tokens behind it, how many of those there are, and whether the most probable next token
    stays.
    """
    texts = [(ids[: position + 1 + LATER], position) for ids, position in bench.places]
    own_N, later_N, counts_N, same_N = (torch.zeros(len(texts)) for _ in range(4))
    for start in range(0, len(texts), BATCH_ROWS):
        rows = slice(start, start + BATCH_ROWS)
        ids, positions = [list(text) for text, _ in texts[rows]], torch.tensor([at for _, at in texts[rows]])
        before_BTV = _log_probs(bench, ids, positions, None)
        after_BTV = _log_probs(bench, ids, positions, vectors_ND[rows])
        kl_BT = (before_BTV.exp() * (before_BTV - after_BTV)).sum(dim=-1)
        lengths = torch.tensor([len(text) for text in ids])
        behind_BT = torch.arange(kl_BT.shape[1])[None] < (lengths - positions)[:, None]
        behind_BT[:, 0] = False
        own_N[rows] = kl_BT[:, 0]
        counts_N[rows] = behind_BT.sum(dim=1).float()
        later_N[rows] = (kl_BT * behind_BT).sum(dim=1) / counts_N[rows].clamp_min(1)
        same_N[rows] = (before_BTV[:, 0].argmax(dim=-1) == after_BTV[:, 0].argmax(dim=-1)).float()
    return own_N, later_N, counts_N, same_N


@torch.no_grad()
def _log_probs(bench: Bench, ids: list[list[int]], positions: Tensor, vectors_BD: Tensor | None) -> Tensor:
    """Return the target's log-probabilities (B, 1 + LATER, V) from each row's token on; meaningless behind a text's end."""
    target = bench.target
    longest = max(map(len, ids))
    tokens_BT = torch.tensor([[*row, *[row[-1]] * (longest - len(row))] for row in ids], device=target.device)
    site = Site.parse(bench.pair.card.site)
    with nullcontext() if vectors_BD is None else site.write(target, vectors_BD, positions):
        inputs = decoder_inputs(tokens_BT, None, target.takes_positions)
        logits_BTV = target.model(**inputs, use_cache=False).logits.float()
    columns_BT = (positions[:, None] + torch.arange(1 + LATER)).clamp_max(longest - 1).to(logits_BTV.device)
    rows_B1 = torch.arange(len(ids), device=logits_BTV.device)[:, None]
    return logits_BTV[rows_B1, columns_BT].log_softmax(dim=-1).cpu()
