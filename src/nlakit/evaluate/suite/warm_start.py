"""The round trip of the pair as it was before reinforcement learning, if it is kept, and the gain since."""

from __future__ import annotations

from nlakit.evaluate.bench import Bench
from nlakit.evaluate.definitions.reconstruction import RECONSTRUCTION
from nlakit.evaluate.measures import names_that_need


def measure(bench: Bench) -> None:
    """Explain with the earlier pair, and let its reconstructor read what the finished one wrote."""
    before, explained = bench.before, bench.explained_before
    if before is None or explained is None:
        bench.found.leave_out(
            names_that_need("warm start", RECONSTRUCTION),
            "the pair does not keep its weights from before reinforcement learning",
        )
        return
    before_N = bench.fve("fve_warm_start", explained, pair=before)
    bench.found.mean("fve_gain", (before_N - bench.errors_N) / bench.found.variance)
    bench.fve("fve_frozen_reconstructor", bench.explanations, pair=before)
