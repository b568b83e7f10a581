"""Measure a pair on held-out rows.

:func:`evaluate` does one pass after the other and reads from top to bottom: rows, sampled explanations, controls,
teacher's text, claims. What a pair or a corpus lacks (a warm start, a teacher, a truth) is left out with its reason,
and never counted as zero.

Axes: N rows, D vector width.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from nlakit.card import Card, Measure
from nlakit.config import EvaluateConfig, Recipe, derive_seed, fingerprint, plain
from nlakit.data.teachers import load_teacher
from nlakit.errors import ConfigError, InputError, InternalError, NotFoundError, RunError
from nlakit.evaluate.claims import claim_measures, judge, level_table, slot_table, truth_reader
from nlakit.evaluate.estimates import HELDOUT, Estimator
from nlakit.evaluate.evaluation import FILE_NAME, Evaluation, LevelRow, SlotRow
from nlakit.evaluate.examples import outcome_counts, shown_documents
from nlakit.evaluate.fidelity import (
    constant_errors,
    cross_entropies,
    explanation_errors,
    other_document_rows,
    text_shares,
)
from nlakit.evaluate.measures import in_registry_order, names_that_need
from nlakit.evaluate.probes import fit_probes
from nlakit.evaluate.rows import DataSettings, Rows, rebuild_rows
from nlakit.explanations import Explanation
from nlakit.models.pair import WARM_START, Pair, pair_folder
from nlakit.models.sampler import Sample, sample
from nlakit.runs import Progress, RunFolder, versions

STAGE = "evaluate"

PROBE_ROWS = 6000
"""Training rows that the probes are fitted on."""
PASSES = 7
"""Steps that the progress bar counts."""


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


def evaluate_pair(
    pair: str | Path, *, rows: int = 1000, seed: int = 0, progress: Progress | None = None
) -> dict[str, Measure]:
    """Measure a pair, by name or folder, on ``rows`` held-out rows; what ``nlakit evaluate`` prints.

    Explanations may be as long as the pair's card allows. See :func:`evaluate` for what is raised.
    """
    config = EvaluateConfig(rows=rows, seed=seed, max_new_tokens=Card.load(pair_folder(pair)).max_new_tokens)
    return evaluate(pair, config, progress).measures


def run(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
    """Evaluate the pair of a run into ``folder/evaluate`` and note the results on its card; return the JSON file.

    The finished pair is measured, or the one after the warm start when that is as far as the run has come. Raises
    :class:`~nlakit.errors.RunError` when there is neither, or when what is there was made with other settings.
    """
    source = next((path for path in (folder.path / "pair", folder.path / "warm-start" / "pair") if path.is_dir()), None)
    if source is None:
        raise RunError(f"{folder.path} has no pair to evaluate; run the stages warm-start and train first")
    stage = folder.stage(STAGE)
    settings = {"pair": _identity(folder, source), "evaluate": plain(recipe.evaluate)}
    if folder.check_stage(STAGE, settings) == "done":
        return stage.path / FILE_NAME
    stage.begin(settings)
    evaluation = evaluate(source, recipe.evaluate, progress)
    path = evaluation.save(stage.path)
    Card.load(source).model_copy(update={"results": evaluation.measures}).save(source)
    fve = evaluation.measures["fve"]
    stage.finish(settings, {"file": path.name, "fve": fve.value, "rows": evaluation.rows})
    return path


def _identity(folder: RunFolder, source: Path) -> str:
    """Return a hash over the stage that made a pair: its settings and what it wrote."""
    name = "train" if source.name == "pair" and source.parent == folder.path else "warm-start"
    return fingerprint(name, folder.stage(name).outputs)


def evaluate(source: str | Path, config: EvaluateConfig, progress: Progress | None = None) -> Evaluation:
    """Measure a pair, by name or folder, on held-out rows built again from its card.

    Raises what loading a pair raises, :class:`~nlakit.errors.CardError` when the card does not say where its rows came from,
    :class:`~nlakit.errors.InputError` when nothing is held out, and
    :class:`~nlakit.errors.MissingExtraError` when claims can be judged and scikit-learn is missing.
    """
    started = time.monotonic()
    folder = pair_folder(source)
    pair = Pair.from_pretrained(folder)
    if pair.target is None:
        raise InternalError(f"the pair {str(folder)!r} was loaded without its target")
    card, reconstructor = pair.card, pair.reconstructor
    settings = DataSettings.of(card)
    reader = truth_reader(settings.corpus.name)
    with (progress or Progress(silent=True)).task("evaluate", PASSES) as task:
        task.update(0, "held-out rows")
        heldout, training = rebuild_rows(
            pair.target, card, rows=config.rows, probe_rows=PROBE_ROWS if reader else 0, seed=config.seed
        )
        vectors_ND, documents_N = heldout.vectors_ND, heldout.document_ids
        other_N = other_document_rows(documents_N, config.seed)
        found = Found(Estimator(config.bootstrap, config.seed), documents_N, card.stats.variance)

        # 1. One explanation a row at temperature 1: the headline, and what is said about the outputs.
        task.advance(text="sampled explanations")
        sampled = _explain(pair, vectors_ND, config, "sampled")
        explanations = [output.explanation for output in sampled]
        errors_N = explanation_errors(reconstructor, explanations, vectors_ND)
        found.fve("fve", errors_N)
        found.mean("parse_rate", [float(explanation.ok) for explanation in explanations])
        found.mean("length_tokens", [float(len(output.ids)) for output in sampled])
        usable = [row for row, explanation in enumerate(explanations) if explanation.ok]
        found.measures["distinct_texts"] = found.estimator.mean(
            "distinct_texts", text_shares(explanations), [documents_N[row] for row in usable]
        )
        _shuffle(found, "fve_shuffled", pair, explanations, vectors_ND, other_N)

        # 2. The same with the most probable words.
        task.advance(text=f"FVE {found.measures['fve'].value:.3f}, greedy explanations")
        greedy = _explain(pair, vectors_ND, config, "greedy", temperature=0.0)
        found.fve("fve_greedy", explanation_errors(reconstructor, [g.explanation for g in greedy], vectors_ND))

        # 3. Controls: what comes out when the vector, or the text, is taken away.
        task.advance(text="controls")
        nothing = _explain(pair, torch.zeros_like(vectors_ND), config, "zero vector")
        found.fve("fve_zero_vector", explanation_errors(reconstructor, [n.explanation for n in nothing], vectors_ND))
        found.fve("fve_empty_text", constant_errors(reconstructor.reconstruct([""])[0], vectors_ND))
        found.fve("fve_mean", constant_errors(card.stats.mean_D, vectors_ND))

        # 4. The pair as it was before reinforcement learning.
        task.advance(text="warm start")
        _measure_warm_start(found, folder, vectors_ND, config)

        # 5. The teacher's words.
        task.advance(text="teacher's text")
        _measure_teacher(found, pair, heldout, settings, other_N, config)

        # 6. Claims, held against the truth and against what probes find in the vectors.
        task.advance(text="claims")
        slots: tuple[SlotRow, ...] = ()
        levels: tuple[LevelRow, ...] = ()
        judged = None
        truths = heldout.truths()
        if reader is None or training is None or None in truths:
            found.leave_out(
                names_that_need("truth"), _why_no_truth(reader is None, training is None, settings.corpus.name)
            )
        else:
            known = [truth for truth in truths if truth is not None]
            probes = fit_probes(
                training.vectors_ND,
                [reader.facts(truth) if truth is not None else {} for truth in training.truths()],
                training.document_ids,
                config.seed,
            )
            checks_N = probes.check(vectors_ND, [reader.facts(truth) for truth in known])
            judged = judge(reader, explanations, known, checks_N)
            parsed_N = [explanation.ok for explanation in explanations]
            found.measures |= claim_measures(judged, checks_N, parsed_N, documents_N, found.estimator)
            slots, levels = slot_table(reader, judged, checks_N), level_table(judged)
        task.update(PASSES, f"FVE {found.measures['fve'].value:.3f}")

    shown = shown_documents(
        pair.target, heldout, settings.extract.max_tokens, explanations, errors_N, card.stats.variance, judged
    )
    return Evaluation(
        pair=card.name,
        target=card.target.model,
        site=card.site,
        split=HELDOUT,
        rows=len(heldout),
        documents=len(set(documents_N)),
        rows_wanted=config.rows,
        seed=config.seed,
        max_new_tokens=config.max_new_tokens,
        variance=card.stats.variance,
        measures={name: found.measures[name] for name in in_registry_order(found.measures)},
        outcomes=dict(outcome_counts([output.outcome.value for output in sampled])),
        slots=slots,
        levels=levels,
        probe_rows=len(training) if training is not None and judged is not None else 0,
        left_out=found.left_out,
        shown=shown,
        seconds=round(time.monotonic() - started, 1),
        versions=versions(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _explain(
    pair: Pair, vectors_ND: Tensor, config: EvaluateConfig, what: str, *, temperature: float = 1.0
) -> list[Sample]:
    """Write one explanation a vector."""
    return sample(
        pair.verbalizer,
        vectors_ND,
        temperature=temperature,
        max_new_tokens=config.max_new_tokens,
        seed=derive_seed(config.seed, STAGE, what),
        batch_rows=config.batch_size,
    )


def _shuffle(
    found: Found,
    name: str,
    pair: Pair,
    explanations: Sequence[Explanation],
    vectors_ND: Tensor,
    other_N: Sequence[int] | None,
) -> None:
    """Measure the FVE of rows rebuilt from the explanation of a row of another document."""
    if other_N is None:
        found.leave_out(
            [name], "one document holds more than half of the rows, so they cannot be exchanged between documents"
        )
        return
    found.fve(name, explanation_errors(pair.reconstructor, [explanations[row] for row in other_N], vectors_ND))


def _measure_warm_start(found: Found, folder: Path, vectors_ND: Tensor, config: EvaluateConfig) -> None:
    """Measure the round trip of the pair as it was before reinforcement learning, if it is kept."""
    if not (folder / WARM_START).is_dir():
        found.leave_out(
            names_that_need("warm start"), "the pair does not keep its weights from before reinforcement learning"
        )
        return
    before = Pair.from_pretrained(folder, load_target=False, part=WARM_START)
    explanations = [output.explanation for output in _explain(before, vectors_ND, config, "sampled")]
    found.fve("fve_warm_start", explanation_errors(before.reconstructor, explanations, vectors_ND))


def _measure_teacher(
    found: Found,
    pair: Pair,
    heldout: Rows,
    settings: DataSettings,
    other_N: Sequence[int] | None,
    config: EvaluateConfig,
) -> None:
    """Measure what the teacher's own words carry, and how much the verbalizer's use of the vector helps it to say them."""
    if settings.annotate is None:
        found.leave_out(names_that_need("teacher"), "the card does not say who its teacher was")
        return
    try:
        written = load_teacher(settings.annotate).explain(heldout.contexts())
    except (NotFoundError, ConfigError, InputError) as error:
        found.leave_out(
            names_that_need("teacher"), f"the teacher {settings.annotate.teacher!r} cannot be asked ({error})"
        )
        return
    vectors_ND = heldout.vectors_ND
    found.fve("fve_teacher_text", explanation_errors(pair.reconstructor, written, vectors_ND))
    _shuffle(found, "fve_other_text", pair, written, vectors_ND, other_N)
    usable = [row for row, explanation in enumerate(written) if explanation.ok]
    completions = [pair.verbalizer.encode_explanation(written[row].text) for row in usable]
    documents = [heldout.document_ids[row] for row in usable]
    names = ("cross_entropy_true", "cross_entropy_shuffled")
    if other_N is None or not usable:
        found.leave_out(names, "there are no two documents with a teacher's explanation each")
        return
    for name, vectors in zip(names, (vectors_ND[usable], vectors_ND[[other_N[row] for row in usable]]), strict=True):
        nats_N, tokens_N = cross_entropies(pair.verbalizer, vectors, completions, config.batch_size)
        found.measures[name] = found.estimator.mean(name, nats_N / tokens_N, documents, tokens_N)


def _why_no_truth(no_reader: bool, no_rows: bool, corpus: str) -> str:
    """Say why claims cannot be judged."""
    if no_reader:
        return f"the corpus {corpus!r} does not know what is true (no plugin of the group nlakit.truth has its name)"
    if no_rows:
        return "the split for fitting probes has no row"
    return f"some rows of the corpus {corpus!r} come without truth"
