"""What the teacher's own words carry, and how much the verbalizer's use of the vector helps it to say them."""

from __future__ import annotations

from collections.abc import Sequence

from nlakit.evaluate.bench import Bench
from nlakit.evaluate.fidelity import cross_entropies
from nlakit.evaluate.measures import names_that_need
from nlakit.evaluate.taught import teacher_words
from nlakit.explanations import Explanation


def measure(bench: Bench) -> None:
    """Rebuild vectors from the teacher's words, and score those words by the verbalizer."""
    written = teacher_words(bench, bench.heldout)
    if isinstance(written, str):
        bench.found.leave_out(names_that_need("teacher"), written)
        return
    bench.fve("fve_teacher_text", written)
    bench.fve_of_others("fve_other_text", written)
    _measure_cross_entropy(bench, written)


def _measure_cross_entropy(bench: Bench, written: Sequence[Explanation]) -> None:
    """Nats per token that the teacher's words cost the verbalizer, given their own vectors and those of others."""
    names = ("cross_entropy_true", "cross_entropy_shuffled")
    verbalizer, vectors_ND = bench.pair.verbalizer, bench.heldout.vectors_ND
    usable = [row for row, explanation in enumerate(written) if explanation.ok and verbalizer.fits(explanation.text)]
    if bench.other_N is None or not usable:
        bench.found.leave_out(names, "there are no two documents with a teacher's explanation each")
        return
    completions = [verbalizer.encode_explanation(written[row].text) for row in usable]
    documents = [bench.heldout.document_ids[row] for row in usable]
    others = [bench.other_N[row] for row in usable]
    for name, rows in zip(names, (usable, others), strict=True):
        nats_N, tokens_N = cross_entropies(verbalizer, vectors_ND[rows], completions, bench.config.batch_size)
        bench.found.measures[name] = bench.found.estimator.mean(name, nats_N / tokens_N, documents, tokens_N)
