"""What the teacher's own words carry, and how much the verbalizer's use of the vector helps it to say them."""

from __future__ import annotations

from collections.abc import Sequence

from nlakit.config import TargetConfig
from nlakit.data.annotate import ask_for_free, kept_answers
from nlakit.data.teachers import Source, load_teacher
from nlakit.errors import CardError, ConfigError, InputError, ModelError, NotFoundError, PairError, SpendingError
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.fidelity import cross_entropies
from nlakit.evaluate.measures import names_that_need
from nlakit.explanations import Explanation


def measure(bench: Bench) -> None:
    """Rebuild vectors from the teacher's words, and score those words by the verbalizer.

    A teacher that is paid for is not paid again here: only what it answered in the run is used.
    """
    found, heldout, teacher = bench.found, bench.heldout, bench.settings.annotate
    if teacher is None:
        found.leave_out(names_that_need("teacher"), "the card does not say who its teacher was")
        return
    card = bench.pair.card
    target = TargetConfig(model=card.target.model, revision=card.target.revision, dtype=card.target.dtype)
    try:
        source = Source(target, card.target.fingerprint, card.site)
        written = ask_for_free(load_teacher(teacher, source), heldout.contexts(), kept_answers(bench.folder))
    except (NotFoundError, ConfigError, InputError, SpendingError, ModelError, CardError, PairError) as error:
        found.leave_out(names_that_need("teacher"), f"the teacher {teacher.teacher!r} cannot be asked ({error})")
        return
    bench.fve("fve_teacher_text", written)
    bench.fve_of_others("fve_other_text", written)
    _measure_cross_entropy(bench, written)


def _measure_cross_entropy(bench: Bench, written: Sequence[Explanation]) -> None:
    """Nats per token that the teacher's words cost the verbalizer, given their own vectors and those of others."""
    names = ("cross_entropy_true", "cross_entropy_shuffled")
    verbalizer, vectors_ND = bench.pair.verbalizer, bench.heldout.vectors_ND
    usable = [row for row, explanation in enumerate(written) if explanation.ok]
    if bench.other_N is None or not usable:
        bench.found.leave_out(names, "there are no two documents with a teacher's explanation each")
        return
    completions = [verbalizer.encode_explanation(written[row].text) for row in usable]
    documents = [bench.heldout.document_ids[row] for row in usable]
    others = [bench.other_N[row] for row in usable]
    for name, rows in zip(names, (usable, others), strict=True):
        nats_N, tokens_N = cross_entropies(verbalizer, vectors_ND[rows], completions, bench.config.batch_size)
        bench.found.measures[name] = bench.found.estimator.mean(name, nats_N / tokens_N, documents, tokens_N)
