"""Claims, held against the truth and against what probes find in the vectors."""

from __future__ import annotations

from nlakit.evaluate.bench import Bench
from nlakit.evaluate.claims import claim_measures, level_table, slot_table
from nlakit.evaluate.definitions.truth import HELD, TRUTH
from nlakit.evaluate.measures import names_that_need


def measure(bench: Bench) -> None:
    """Judge every claim of the sampled explanations."""
    found, judged, checks_N = bench.found, bench.judged, bench.checks_N
    if judged is None or checks_N is None or bench.reader is None:
        found.leave_out(names_that_need("truth", TRUTH, HELD), bench.why_no_truth)
        return
    parsed_N = [explanation.ok for explanation in bench.explanations]
    found.measures |= claim_measures(judged, checks_N, parsed_N, found.documents_N, found.estimator)
    found.slots = slot_table(bench.reader, judged, checks_N)
    found.levels = level_table(judged)
