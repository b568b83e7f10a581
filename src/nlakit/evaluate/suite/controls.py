"""What comes out when the vector, or the text, is taken away."""

from __future__ import annotations

import torch

from nlakit.evaluate.bench import Bench
from nlakit.evaluate.fidelity import constant_errors


def measure(bench: Bench) -> None:
    """Explain zeros, rebuild from no text, and answer with the mean."""
    pair, vectors_ND = bench.pair, bench.heldout.vectors_ND
    nothing = bench.explain("zero vector", torch.zeros_like(vectors_ND))
    bench.fve("fve_zero_vector", [output.explanation for output in nothing])
    bench.found.fve("fve_empty_text", constant_errors(pair.reconstructor.reconstruct([""])[0], vectors_ND))
    bench.found.fve("fve_mean", constant_errors(pair.card.require_stats().mean_D, vectors_ND))
