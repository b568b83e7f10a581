"""The passes of an evaluation, one function each: sampled and greedy explanations, controls, warm start, teacher, claims.

Each adds its measures to what has been found. What a pair or a corpus lacks (a warm start, a teacher, a truth) is left out
with its reason, and never counted as zero.

Axes: N rows, D vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from nlakit.card import Measure
from nlakit.config import AnnotateConfig, EvaluateConfig, TargetConfig, derive_seed
from nlakit.data.annotate import ask_for_free
from nlakit.data.teachers import Source, load_teacher
from nlakit.errors import CardError, ConfigError, InputError, ModelError, NotFoundError, PairError, SpendingError
from nlakit.evaluate.claims import JudgedClaim, claim_measures, judge, level_table, slot_table
from nlakit.evaluate.estimates import Estimator
from nlakit.evaluate.evaluation import LevelRow, SlotRow
from nlakit.evaluate.fidelity import constant_errors, cross_entropies, explanation_errors, text_shares
from nlakit.evaluate.measures import names_that_need
from nlakit.evaluate.probes import fit_probes
from nlakit.evaluate.rows import Rows
from nlakit.explanations import Explanation
from nlakit.models.pair import WARM_START, Pair
from nlakit.models.sampler import Sample, sample
from nlakit.truth import TruthReader

STAGE = "evaluate"


@dataclass
class Found:
    """What has been measured so far, under the settings of this evaluation."""

    estimator: Estimator
    documents_N: list[str]
    variance: float
    measures: dict[str, Measure] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def fve(self, name: str, errors_N: Tensor) -> None:
        """Add an FVE from errors a row."""
        self.measures[name] = self.estimator.fve(name, errors_N, self.documents_N, self.variance)

    def mean(self, name: str, values_N: Sequence[float] | Tensor, weights_N: Tensor | None = None) -> None:
        """Add a mean over rows."""
        self.measures[name] = self.estimator.mean(name, values_N, self.documents_N, weights_N)

    def leave_out(self, names: Sequence[str], reason: str) -> None:
        """Record that measures cannot be taken, and why."""
        self.left_out.update(dict.fromkeys(names, reason))


@dataclass(frozen=True)
class Bench:
    """What every pass works with."""

    pair: Pair
    heldout: Rows
    other_N: list[int] | None
    """A row of another document for each row; None where there is only one document."""
    config: EvaluateConfig
    found: Found

    def explain(
        self, what: str, vectors_ND: Tensor, *, pair: Pair | None = None, temperature: float = 1.0
    ) -> list[Sample]:
        """Write one explanation a vector; ``what`` names the draw."""
        return sample(
            (pair or self.pair).verbalizer,
            vectors_ND,
            temperature=temperature,
            max_new_tokens=self.config.max_new_tokens,
            seed=derive_seed(self.config.seed, STAGE, what),
            batch_rows=self.config.batch_size,
        )

    def fve(self, name: str, explanations: Sequence[Explanation], *, pair: Pair | None = None) -> Tensor:
        """Add the FVE of the rows rebuilt from their explanations; returns the errors (N,)."""
        errors_N = explanation_errors((pair or self.pair).reconstructor, explanations, self.heldout.vectors_ND)
        self.found.fve(name, errors_N)
        return errors_N

    def fve_of_others(self, name: str, explanations: Sequence[Explanation]) -> None:
        """Add the FVE of rows rebuilt from the explanation of a row of another document."""
        if self.other_N is None:
            self.found.leave_out([name], "all rows are of one document, so they cannot be exchanged between documents")
        else:
            self.fve(name, [explanations[row] for row in self.other_N])


def measure_sampled(bench: Bench) -> tuple[list[Sample], Tensor]:
    """One explanation a row at temperature 1: the headline, and what is said about the outputs.

    Returns the samples and their errors (N,).
    """
    found = bench.found
    sampled = bench.explain("sampled", bench.heldout.vectors_ND)
    explanations = [output.explanation for output in sampled]
    errors_N = bench.fve("fve", explanations)
    found.mean("parse_rate", [float(explanation.ok) for explanation in explanations])
    found.mean("length_tokens", [float(len(output.ids)) for output in sampled])
    usable = [row for row, explanation in enumerate(explanations) if explanation.ok]
    found.measures["distinct_texts"] = found.estimator.mean(
        "distinct_texts", text_shares(explanations), [found.documents_N[row] for row in usable]
    )
    bench.fve_of_others("fve_shuffled", explanations)
    return sampled, errors_N


def measure_greedy(bench: Bench) -> None:
    """The same with the most probable words."""
    greedy = bench.explain("greedy", bench.heldout.vectors_ND, temperature=0.0)
    bench.fve("fve_greedy", [output.explanation for output in greedy])


def measure_controls(bench: Bench) -> None:
    """What comes out when the vector, or the text, is taken away."""
    pair, vectors_ND = bench.pair, bench.heldout.vectors_ND
    nothing = bench.explain("zero vector", torch.zeros_like(vectors_ND))
    bench.fve("fve_zero_vector", [output.explanation for output in nothing])
    bench.found.fve("fve_empty_text", constant_errors(pair.reconstructor.reconstruct([""])[0], vectors_ND))
    bench.found.fve("fve_mean", constant_errors(pair.card.require_stats().mean_D, vectors_ND))


def measure_warm_start(bench: Bench, folder: Path, sampled: Sequence[Sample], after_N: Tensor) -> None:
    """The round trip of the pair as it was before reinforcement learning, if it is kept, and the gain since.

    ``sampled`` are the finished pair's explanations of the same rows, which the earlier reconstructor reads as well, and
    ``after_N`` their errors.
    """
    if not (folder / WARM_START).is_dir():
        bench.found.leave_out(
            names_that_need("warm start"), "the pair does not keep its weights from before reinforcement learning"
        )
        return
    before = Pair.from_pretrained(folder, load_target=False, part=WARM_START)
    explained = bench.explain("sampled", bench.heldout.vectors_ND, pair=before)
    before_N = bench.fve("fve_warm_start", [output.explanation for output in explained], pair=before)
    bench.found.mean("fve_gain", (before_N - after_N) / bench.found.variance)
    bench.fve("fve_frozen_reconstructor", [output.explanation for output in sampled], pair=before)


def measure_teacher(bench: Bench, teacher: AnnotateConfig | None, answers: Path | None = None) -> None:
    """What the teacher's own words carry, and how much the verbalizer's use of the vector helps it to say them.

    ``answers`` is the folder in which a teacher that is paid for keeps what it answered; it is not paid again here.
    """
    found, heldout = bench.found, bench.heldout
    if teacher is None:
        found.leave_out(names_that_need("teacher"), "the card does not say who its teacher was")
        return
    card = bench.pair.card
    target = TargetConfig(model=card.target.model, revision=card.target.revision, dtype=card.target.dtype)
    try:
        source = Source(target, card.target.fingerprint, card.site)
        written = ask_for_free(load_teacher(teacher, source), heldout.contexts(), answers)
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


@dataclass(frozen=True)
class ClaimsFound:
    """What the claims pass leaves for the tables and the page of readings; empty where nothing could be judged."""

    judged: list[JudgedClaim] | None = None
    slots: tuple[SlotRow, ...] = ()
    levels: tuple[LevelRow, ...] = ()
    probe_rows: int = 0


def measure_claims(
    bench: Bench, sampled: Sequence[Sample], reader: TruthReader | None, training: Rows | None, corpus: str
) -> ClaimsFound:
    """Claims, held against the truth and against what probes find in the vectors."""
    truths = bench.heldout.truths()
    if reader is None or training is None or None in truths:
        bench.found.leave_out(names_that_need("truth"), _why_no_truth(reader is None, training is None, corpus))
        return ClaimsFound()
    known = [truth for truth in truths if truth is not None]
    probes = fit_probes(
        training.vectors_ND,
        [reader.facts(truth) if truth is not None else {} for truth in training.truths()],
        training.document_ids,
        bench.config.seed,
    )
    checks_N = probes.check(bench.heldout.vectors_ND, [reader.facts(truth) for truth in known])
    explanations = [output.explanation for output in sampled]
    judged = judge(reader, explanations, known, checks_N)
    parsed_N = [explanation.ok for explanation in explanations]
    found = bench.found
    found.measures |= claim_measures(judged, checks_N, parsed_N, found.documents_N, found.estimator)
    return ClaimsFound(judged, slot_table(reader, judged, checks_N), level_table(judged), len(training))


def _why_no_truth(no_reader: bool, no_rows: bool, corpus: str) -> str:
    """Say why claims cannot be judged."""
    if no_reader:
        return f"the corpus {corpus!r} does not know what is true (no plugin of the group nlakit.truth has its name)"
    if no_rows:
        return "the split for fitting probes has no row"
    return f"some rows of the corpus {corpus!r} come without truth"
