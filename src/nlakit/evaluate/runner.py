"""Measure a pair on held-out rows.

:func:`evaluate` takes one part of the suite after the other (:mod:`nlakit.evaluate.suite`) on held-out rows that are built
again from the pair's card, and gathers what they found.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any

from nlakit.card import Card, Measure
from nlakit.config import CorpusConfig, EvaluateConfig, Recipe, fingerprint
from nlakit.data.annotate import ANSWERS, kept_answers
from nlakit.data.corpus import load_corpus
from nlakit.data.judgement import ModelJudge
from nlakit.data.rewordings import ModelParaphraser
from nlakit.errors import CardError, ConfigError, InputError, InternalError, RunError
from nlakit.evaluate.bench import STAGE, Bench, Found
from nlakit.evaluate.estimates import HELDOUT, NEW, Estimator
from nlakit.evaluate.evaluation import FILE_NAME, Evaluation
from nlakit.evaluate.examples import outcome_counts, shown_documents
from nlakit.evaluate.fidelity import quantiles
from nlakit.evaluate.measures import in_registry_order
from nlakit.evaluate.released import lacks_corpus, statistics_sentence, with_corpus, with_statistics
from nlakit.evaluate.rows import DataSettings, rebuild_rows
from nlakit.evaluate.suite import Part, chosen_parts
from nlakit.models.locate import locate
from nlakit.models.pair import Pair, load_card
from nlakit.progress import Progress
from nlakit.runs import RunFolder, now, versions

USE_SUPPORT = {"support", "robustness"}
"""Parts that apply the support score."""
PROBE_ROWS = 6000
"""Training rows for probes, neighbours and calibration."""


def evaluate_pair(
    pair: str | Path, *, rows: int = 1000, seed: int = 0, progress: Progress | None = None
) -> dict[str, Measure]:
    """Measure a pair, by name or folder, on ``rows`` held-out rows; what ``nlakit evaluate`` prints.

    See :func:`evaluate` for what is raised.
    """
    return evaluate(pair, EvaluateConfig(rows=rows, seed=seed), progress).measures


def run(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
    """Evaluate the pair of a run into ``folder/evaluate`` and note the results on its card; return the JSON file.

    The finished pair is measured, or the one after the warm start when that is as far as the run has come. Raises
    :class:`~nlakit.errors.RunError` when there is neither, or when what is there was made with other settings.
    """
    source = pair_of(folder)
    stage = folder.stage(STAGE)
    settings: dict[str, Any] = {"pair": _identity(folder, source), "evaluate": _deciding(recipe.evaluate)}
    support = Card.load(source).support
    if support is not None and USE_SUPPORT & {part.name for part in chosen_parts(recipe.evaluate.parts)}:
        settings["support"] = fingerprint(support.model_dump(mode="json"))
    if folder.check_stage(STAGE, settings, stage.path / FILE_NAME) == "done":
        return stage.path / FILE_NAME
    stage.begin(settings)
    evaluation = evaluate(source, recipe.evaluate, progress, folder.path / ANSWERS)
    path = evaluation.save(stage.path)
    Card.load(source).model_copy(update=evaluation.on_card()).save(source)
    fve = evaluation.measures["fve"]
    stage.finish(settings, {"file": path.name, "fve": fve.value, "rows": evaluation.rows})
    return path


def pair_of(folder: RunFolder) -> Path:
    """Return the finished pair of a run, or the one after the warm start; RunError when there is neither."""
    for path in (folder.path / "pair", folder.path / "warm-start" / "pair"):
        if path.is_dir():
            return path
    raise RunError(f"{folder.path} has no pair to evaluate; run the stages warm-start and train first")


def _require_measurable(source: str | Path, corpus: CorpusConfig | None) -> None:
    """Raise CardError, before any weights are fetched, for a pair of which nothing says what it can be measured on."""
    card = load_card(source)
    if lacks_corpus(card):
        if corpus is not None:
            return
        raise CardError(
            f"{str(source)!r} cannot be measured: a released pair records neither the corpus, splits and seed that held-out rows "
            "are built from nor the mean and variance that an FVE is measured against. Name a corpus to take both from: "
            f"nlakit evaluate {source} --set evaluate.corpus.name=jsonl --set evaluate.corpus.path=FILE"
        )
    DataSettings.of(card)
    card.require_stats()


def _possible_parts(source: str | Path, config: EvaluateConfig) -> list[Part]:
    """Return the parts that are wanted, once everything is there that they need; raises before any work is done."""
    parts = chosen_parts((*config.parts, "against") if config.against else config.parts)
    if "against" in config.parts and not config.against:
        raise ConfigError(
            "the part 'against' is asked for, and no pair to hold this one against; give --against PAIR (evaluate.against)"
        )
    _require_measurable(source, config.corpus)
    if config.against:
        _require_same_vectors(load_card(source), load_card(config.against))
    _require_askable(config, {part.name for part in parts})
    return parts


def _require_same_vectors(card: Card, other: Card) -> None:
    """Raise InputError for pairs that do not read the same vectors."""
    if (card.site, card.target.fingerprint) != (other.site, other.target.fingerprint):
        raise InputError(
            f"evaluate.against names {other.name!r}, which reads {other.site} of {other.target.model!r} "
            f"({other.target.fingerprint}), and {card.name!r} reads {card.site} of {card.target.model!r} "
            f"({card.target.fingerprint}). Compare pairs of the same target and layer."
        )


def _deciding(config: EvaluateConfig) -> dict[str, Any]:
    """Return the settings that decide what is found: how a model is called is none, nor is what is not named."""
    wanted: dict[str, Any] = config.model_dump(mode="json", exclude={"judge": {"calls"}, "paraphraser": {"calls"}})
    if not config.paraphraser.teacher:
        del wanted["paraphraser"]
    if not config.against:
        del wanted["against"]
    del wanted["corpus"]
    other = _other_corpus(config)
    return wanted | ({"corpus": other} if other else {})


def _other_corpus(config: EvaluateConfig) -> dict[str, Any]:
    """Return the corpus that is measured on in place of the pair's own, with its fingerprint; empty where its own is."""
    if config.corpus is None:
        return {}
    return config.corpus.model_dump(mode="json") | {"fingerprint": load_corpus(config.corpus).fingerprint()}


def _require_askable(config: EvaluateConfig, parts: Collection[str]) -> None:
    """Raise for a judge or a paraphraser that cannot be asked, before any work rather than after all of it."""
    if config.judge.teacher and "evidence" in parts:
        ModelJudge(config.judge).check()
    if config.paraphraser.teacher and "words" in parts:
        ModelParaphraser(config.paraphraser).check()


def _identity(folder: RunFolder, source: Path) -> str:
    """Return a hash over what the stage that made a pair wrote."""
    name = "train" if source.name == "pair" and source.parent == folder.path else "warm-start"
    return fingerprint(name, folder.stage(name).outputs)


def evaluate(
    source: str | Path, config: EvaluateConfig, progress: Progress | None = None, answers: Path | None = None
) -> Evaluation:
    """Measure a pair, by name or folder or on the Hub, on held-out rows built again from its card.

    A pair that records no corpus, as the released ones, is measured on the held-out rows of ``config.corpus``, against the mean
    and variance of rows of its training split. A judge and a paraphraser that are paid for keep their answers in the folder
    ``answers``, else in that of the pair's run, if it has one.

    Raises what loading a pair raises, :class:`~nlakit.errors.CardError` when the card does not say where its rows came from,
    :class:`~nlakit.errors.InputError` when nothing is held out, :class:`~nlakit.errors.MissingExtraError` when claims can be
    judged and scikit-learn is missing, and what :func:`~nlakit.data.asking.load_asker` raises for the settings of a judge or a
    paraphraser.
    """
    started = time.monotonic()
    parts = _possible_parts(source, config)
    progress = progress or Progress(silent=True)
    found_at = locate(source, wanted="everything")
    folder = found_at if isinstance(found_at, Path) else None
    pair = Pair.from_pretrained(folder or source)
    with progress.task("evaluate", 1 + len(parts)) as task:
        task.update(0, "held-out rows")
        bench = make_bench(folder, pair, config)
        bench.progress, bench.answers = progress, answers or kept_answers(folder)
        found, headline = bench.found, ""
        for part in parts:
            task.advance(text=f"{headline}{part.title}")
            import_module(part.module).measure(bench)
            headline = f"FVE {found.measures['fve'].value:.3f}, "
        task.update(1 + len(parts), headline.rstrip(", "))

    card, heldout, explanations = bench.pair.card, bench.heldout, bench.explanations
    max_tokens, variance = bench.settings.extract.max_tokens, found.variance
    shown = shown_documents(bench.target, heldout, max_tokens, explanations, bench.errors_N, variance, bench.judged)
    return Evaluation(
        pair=card.name,
        target=card.target.model,
        site=card.site,
        split=found.estimator.split,
        corpus=_other_corpus(config),
        rows=len(heldout),
        documents=len(set(heldout.document_ids)),
        rows_wanted=config.rows,
        seed=config.seed,
        max_new_tokens=config.max_new_tokens or card.max_new_tokens,
        variance=variance,
        statistics=statistics_sentence(card),
        measures={name: found.measures[name] for name in in_registry_order(found.measures)},
        parts=tuple(part.name for part in parts),
        errors=quantiles([float(bench.errors_N[row]) for row, item in enumerate(explanations) if item.ok]),
        outcomes=dict(outcome_counts([output.outcome.value for output in bench.sampled])),
        slots=found.slots,
        levels=found.levels,
        tables=found.tables,
        probe_rows=len(bench.training) if bench.training is not None and found.slots else 0,
        left_out=found.left_out,
        shown=shown,
        seconds=round(time.monotonic() - started, 1),
        versions=versions(),
        created_at=now(),
    )


def make_bench(folder: Path | None, pair: Pair, config: EvaluateConfig, probe_rows: int = PROBE_ROWS) -> Bench:
    """Build the held-out rows of a pair again, and ``probe_rows`` of a training split, and what the parts of the suite share.

    A pair that records no corpus takes ``config.corpus`` for its own, and its mean and variance from the training rows.
    """
    if pair.target is None:
        raise InternalError(f"the pair {pair.card.name!r} was loaded without its target")
    card, corpus = pair.card, config.corpus
    if corpus is not None and lacks_corpus(card):
        card, corpus = with_corpus(card, corpus), None
    heldout, training = rebuild_rows(
        pair.target, card, rows=config.rows, probe_rows=probe_rows, seed=config.seed, corpus=corpus
    )
    pair = with_statistics(pair.with_card(card), training)
    estimator = Estimator(config.bootstrap, config.seed, HELDOUT if corpus is None else NEW)
    found = Found(estimator, heldout.document_ids, pair.card.require_stats().variance)
    return Bench(folder, pair, DataSettings.of(card), heldout, training, config, found)
