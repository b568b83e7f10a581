"""Whether the text picks its own vector out among others, of the same document and of other documents.

Axes: N rows, D vector width.
"""

from __future__ import annotations

import numpy as np
import torch

from nlakit.evaluate.bench import Bench
from nlakit.vectors import unit


def measure(bench: Bench) -> None:
    """Compare each reconstruction with the vectors of all rows."""
    found = bench.found
    documents = np.asarray(bench.heldout.document_ids)
    parsed_N = np.asarray([explanation.ok for explanation in bench.explanations])
    cosines_NN = (unit(bench.rebuilt_ND) @ unit(bench.heldout.vectors_ND).T).numpy()
    own_N1 = np.diag(cosines_NN)[:, None]
    # A tie counts half: a pair that rebuilds one vector for all rows must come out at chance.
    beaten_NN = (cosines_NN < own_N1) + 0.5 * (cosines_NN == own_N1)
    np.fill_diagonal(beaten_NN, 0.0)
    ranks_N = len(documents) - beaten_NN.sum(axis=1)
    found.mean("retrieval_top1", torch.from_numpy(parsed_N * (ranks_N == 1.0)).float())
    found.mean("retrieval_reciprocal_rank", torch.from_numpy(parsed_N / ranks_N))
    same_NN = documents[:, None] == documents[None, :]
    np.fill_diagonal(same_NN, False)
    other_NN = ~same_NN
    np.fill_diagonal(other_NN, False)
    for name, pool_NN in (("choice_same_document", same_NN), ("choice_other_document", other_NN)):
        counts_N = pool_NN.sum(axis=1)
        if not counts_N.any():
            found.leave_out(
                [name], "no document has two rows" if name.endswith("same_document") else "there is one document"
            )
            continue
        won_N = np.where(parsed_N, (beaten_NN * pool_NN).sum(axis=1) / np.maximum(counts_N, 1), 0.5)
        found.mean(name, torch.from_numpy(won_N), torch.from_numpy((counts_N > 0).astype(float)))
