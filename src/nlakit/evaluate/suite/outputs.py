"""The round trip at temperature 1, the headline, and greedily; and what is said about the outputs."""

from __future__ import annotations

from nlakit.evaluate.bench import Bench
from nlakit.evaluate.fidelity import text_shares


def measure(bench: Bench) -> None:
    """One explanation a row at temperature 1, and one of the most probable words."""
    found, explanations = bench.found, bench.explanations
    found.fve("fve", bench.errors_N)
    found.mean("parse_rate", [float(explanation.ok) for explanation in explanations])
    found.mean("length_tokens", [float(len(output.ids)) for output in bench.sampled])
    usable = [row for row, explanation in enumerate(explanations) if explanation.ok]
    found.measures["distinct_texts"] = found.estimator.mean(
        "distinct_texts", text_shares(explanations), [found.documents_N[row] for row in usable]
    )
    bench.fve_of_others("fve_shuffled", explanations)
    greedy = bench.explain("greedy", bench.heldout.vectors_ND, temperature=0.0)
    bench.fve("fve_greedy", [output.explanation for output in greedy])
