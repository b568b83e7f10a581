"""Another pair of the same target and layer on the same rows: what each reaches, and the difference."""

from __future__ import annotations

from nlakit.evaluate.bench import Bench
from nlakit.evaluate.claims import claim_measures
from nlakit.evaluate.definitions.against import DEFINITIONS
from nlakit.models.pair import Pair


def measure(bench: Bench) -> None:
    """Let the other pair explain the rows, and compare reconstruction and truth."""
    found, names = bench.found, [definition.name for definition in DEFINITIONS]
    if not bench.config.against:
        found.leave_out(names, "no other pair is named (evaluate.against)")
        return
    other = Pair.from_pretrained(bench.config.against, load_target=False)
    written = [sample.explanation for sample in bench.explain("sampled", bench.heldout.vectors_ND, pair=other)]
    other_N = bench.fve("fve_of_other_pair", written, pair=other)
    found.mean("fve_over_other_pair", (other_N - bench.errors_N) / found.variance)
    judged = bench.judge(written)
    if judged is None or bench.judged is None or bench.checks_N is None:
        found.leave_out(names[2:], bench.why_no_truth)
        return
    parsed_N = [explanation.ok for explanation in written]
    claims = claim_measures(judged, bench.checks_N, parsed_N, found.documents_N, found.estimator)
    for kind in ("claims_true", "facts_mentioned"):
        found.measures[f"{kind}_of_other_pair"] = claims[kind]
    own, others = (
        ([float(item.true) for item in some], [found.documents_N[item.row] for item in some])
        for some in (bench.judged, judged)
    )
    found.measures["claims_true_over_other_pair"] = found.estimator.difference(
        "claims_true_over_other_pair", *own, *others
    )
