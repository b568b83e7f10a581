"""The sweep: every wanted layer of a target measured on the same rows, a recommendation, and the truth held against it.

Axes: N rows, L layers, D vector width.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nlakit.card import Measure
from nlakit.claims.probes import FactCheck
from nlakit.claims.readers import truth_reader
from nlakit.config import Recipe, plain
from nlakit.data.annotate import ask
from nlakit.data.corpus import Document
from nlakit.data.teachers import Context, Priced, Situated, Teacher, load_teacher
from nlakit.errors import InputError, ModelError, missing_extra
from nlakit.evaluate.layers.choice import LayerLine, Recommendation, TruthCheck, check, recommend
from nlakit.evaluate.layers.decodability import ASKED, Known, Prober, guessed, losses, right
from nlakit.evaluate.layers.norms import measured, norm_measures
from nlakit.evaluate.layers.questions import AROUND, TOKEN, TRUTH, fact_questions, text_questions
from nlakit.evaluate.layers.ridge import DirectionRidge, token_features, word_features
from nlakit.evaluate.layers.rows import LayerRows, draw_parts, read_rows
from nlakit.models.target import Target
from nlakit.progress import Progress
from nlakit.truth import TruthReader
from nlakit.vectors import VectorStats, bootstrap_interval, fve

DOCUMENTS = 800
"""Documents that are measured on unless another number is given, and as many again where there is truth (our choice)."""
SUBSTITUTE = "extractive"
"""The teacher whose text stands in for one that costs money or needs the vectors."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep found."""

    target: str
    corpus: str
    teacher: str
    """Who wrote the text that FVE is measured from."""
    seed: int
    n_layers: int
    documents: Mapping[str, int]
    """Documents of each part: ``fit`` and ``asked``, and those for the truth."""
    rows: Mapping[str, int]
    lines: tuple[LayerLine, ...]
    recommendation: Recommendation
    truth: TruthCheck | None
    """None where the corpus does not know what is true."""
    remarks: tuple[str, ...]
    """What was done otherwise than the recipe says, and why."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON-ready types."""
        found: dict[str, Any] = {
            "target": self.target, "corpus": self.corpus, "teacher": self.teacher, "seed": self.seed,
            "blocks": self.n_layers, "documents": dict(self.documents), "rows": dict(self.rows),
            "layers": [{"layer": line.layer, "depth": line.depth, "measures": plain(line.measures)} for line in self.lines],
            "recommendation": {
                "layer": self.recommendation.layer, "site": f"resid.{self.recommendation.layer}",
                "reason": self.recommendation.reason, "separated": self.recommendation.separated,
                "contenders": list(self.recommendation.contenders),
            },
            "truth": None, "remarks": list(self.remarks), "seconds": self.seconds,
        }  # fmt: skip
        if self.truth is not None:
            found["truth"] = {
                "layer": self.truth.layer, "contenders": list(self.truth.contenders),
                "behind": plain(self.truth.behind), "agrees": self.truth.agrees, "verdict": self.truth.verdict,
            }  # fmt: skip
        return found


def sweep_layers(
    recipe: Recipe,
    *,
    documents: int = DOCUMENTS,
    layers: Sequence[int] | None = None,
    target: Target | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Measure layers of the recipe's target on its corpus and recommend one.

    ``layers`` are block numbers, None for all. ``target`` is one that is already in memory. The recipe's target, corpus, rows
    (``extract``), teacher, seed and number of bootstrap resamples count. Vectors lie in a temporary folder meanwhile.

    Raises what loading target and corpus raises, :class:`~nlakit.errors.ModelError` for a layer that the target lacks,
    :class:`~nlakit.errors.InputError` when the corpus gives too few rows, and
    :class:`~nlakit.errors.MissingExtraError` without scikit-learn.
    """
    started = time.monotonic()
    _require_scikit_learn()
    progress = progress or Progress(silent=True)
    target = target or Target.load(recipe.target.model, recipe.target.revision, recipe.target.dtype)
    wanted = check_layers(range(target.n_layers) if layers is None else layers, target)
    reader = truth_reader(recipe.corpus.name)
    parts = draw_parts(recipe, documents, with_truth=reader is not None)
    _require_documents(parts, recipe)
    with tempfile.TemporaryDirectory(prefix="nlakit-layers-") as folder:
        with progress.task("read", sum(map(len, parts.values()))) as task:
            rows = {name: read_rows(target, wanted, found, recipe, Path(folder), task) for name, found in parts.items()}
        teacher, remarks = _teacher(recipe, rows["fit"].contexts)
        bench = _Bench(target, recipe, rows, teacher, reader)
        with progress.task("measure", len(wanted)) as task:
            for index in range(len(wanted)):
                bench.measure(index)
                task.advance()
        lines = bench.lines()
    recommendation = recommend(lines, target.n_layers)
    return Sweep(
        target=target.name,
        corpus=recipe.corpus.name,
        teacher=teacher.name,
        seed=recipe.seed,
        n_layers=target.n_layers,
        documents={name: len(set(found.documents_N)) for name, found in rows.items()},
        rows={name: len(found) for name, found in rows.items()},
        lines=lines,
        recommendation=recommendation,
        truth=check(lines, recommendation.layer) if "facts" in lines[0].measures else None,
        remarks=tuple(remarks),
        seconds=round(time.monotonic() - started, 1),
    )


def check_layers(layers: Sequence[int], target: Target) -> list[int]:
    """Return layers sorted, each once; ModelError for one that the target lacks, or for none."""
    missing = next((layer for layer in layers if not 0 <= layer < target.n_layers), None)
    if missing is not None or not layers:
        raise ModelError(
            f"there is no layer {'to read' if missing is None else missing}: {target.name!r} has the layers 0 to "
            f"{target.n_layers - 1}. Give some of these with --layers, or all."
        )
    return sorted(set(layers))


def _require_scikit_learn() -> None:
    """Raise MissingExtraError when it is not installed, before a large model is read for nothing."""
    try:
        import sklearn  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise missing_extra("scikit-learn", "eval", "comparing layers") from error


def _require_documents(parts: Mapping[str, Sequence[Document]], recipe: Recipe) -> None:
    """Raise InputError unless every part has two documents, the fewest that have an interval."""
    poor = [f"{len(found)} for {name!r}" for name, found in parts.items() if len(found) < 2]
    if poor:
        raise InputError(
            f"the corpus {recipe.corpus.name!r} has too few documents: {', '.join(poor)}, and at least 2 are needed for each part. "
            "Give more text, or more of it (--documents)."
        )


def _teacher(recipe: Recipe, contexts: Sequence[Context]) -> tuple[Teacher, list[str]]:
    """Return the recipe's teacher when it works from text for nothing, else the substitute with a remark."""
    teacher = load_teacher(recipe.annotate)
    if isinstance(teacher, Priced) and teacher.plan(contexts, None).calls:
        why = "it would have to be paid for"
    elif isinstance(teacher, Situated) or getattr(teacher, "wants_vectors", False):
        why = "it works with one layer, or with the target itself"
    else:
        return teacher, []
    substitute = load_teacher(recipe.annotate.model_copy(update={"teacher": SUBSTITUTE, "options": {}}))
    remark = (
        f"the teacher {teacher.name!r} was not asked ({why}): FVE is measured from quotations of the text "
        f"(teacher {SUBSTITUTE!r})"
    )
    return substitute, [remark]


class _Bench:
    """What all layers share: features of the texts, questions, baselines; and what was found layer by layer."""

    def __init__(
        self,
        target: Target,
        recipe: Recipe,
        rows: Mapping[str, LayerRows],
        teacher: Teacher,
        reader: TruthReader | None,
    ) -> None:
        fit, asked = rows["fit"], rows["asked"]
        self._rows, self._n_layers = rows, target.n_layers
        self._seed, self._resamples = recipe.seed, recipe.evaluate.bootstrap
        words_NF, words_MF = (_told(teacher, part) for part in (fit, asked))
        tokens = [[place.token for place in part.places] for part in (fit, asked)]
        self._ridges = {
            "fve_text": DirectionRidge(words_NF, words_MF, fit.documents_N, self._seed),
            "fve_token": DirectionRidge(*token_features(*tokens), fit.documents_N, self._seed),
        }
        questions = text_questions(fit, asked, target.tokenizer, self._seed)
        self._prober = Prober(questions, fit.documents_N, asked.documents_N, self._seed)
        self._baseline_Q = self._prober.ask(*(_embedded(target, found) for found in tokens))
        self._around: list[list[FactCheck]] = []
        self._fact_prober: Prober | None = None
        self._facts: list[list[FactCheck]] = []
        if reader is not None:
            known, told = rows["truth fit"], rows["truth asked"]
            self._fact_prober = Prober(
                fact_questions(known, told, reader), known.documents_N, told.documents_N, self._seed
            )
        self._found: list[dict[str, Measure]] = []

    def measure(self, index: int) -> None:
        """Measure one layer, by its index."""
        fit, asked = self._rows["fit"], self._rows["asked"]
        fit_ND, asked_ND = fit.vectors_LND[index], asked.vectors_LND[index]
        stats = VectorStats.fit(fit_ND)
        found = norm_measures(fit_ND, stats, fit.documents_N, self._resamples, self._seed)
        for name, ridge in self._ridges.items():
            found[name] = self._fve(ridge.errors(fit_ND, asked_ND), stats.variance)
        self._found.append(found)
        self._around.append(self._prober.ask(fit_ND, asked_ND))
        if self._fact_prober is not None:
            known, told = (self._rows[f"truth {part}"].vectors_LND[index] for part in ("fit", "asked"))
            self._facts.append(self._fact_prober.ask(known, told))

    def lines(self) -> tuple[LayerLine, ...]:
        """Return the table once every layer is measured."""
        before_Q = losses(self._baseline_Q)
        guessed_Q = guessed(self._baseline_Q)
        around = self._prober.known([before_Q - losses(found) for found in self._around], before_Q, self._resamples)
        token = self._prober.known([right(found) - guessed_Q for found in self._around], 1 - guessed_Q, self._resamples)
        tables = [_compare(around, AROUND, "context")]
        tables.append([{TOKEN: token.share(index, [TOKEN])} for index in range(len(self._found))])
        if self._fact_prober is not None and self._facts[0]:
            guessed_Q = guessed(self._facts[0])
            facts = self._fact_prober.known(
                [right(found) - guessed_Q for found in self._facts], 1 - guessed_Q, self._resamples
            )
            tables.append(_compare(facts, TRUTH, "facts"))
        return tuple(
            LayerLine(layer, (layer + 1) / self._n_layers, {**self._found[index], **_merged(tables, index)})
            for index, layer in enumerate(self._rows["fit"].layers)
        )

    def _fve(self, errors_M: Tensor, variance: float) -> Measure:
        documents = self._rows["asked"].documents_N
        low, high = bootstrap_interval(errors_M, documents, resamples=self._resamples, seed=self._seed)
        return measured(fve(errors_M, variance), 1 - high / variance, 1 - low / variance, len(errors_M), ASKED)


def _merged(tables: Sequence[Sequence[Mapping[str, Measure]]], index: int) -> dict[str, Measure]:
    return {name: measure for table in tables for name, measure in table[index].items()}


def _compare(known: Known, groups: Sequence[str], name: str) -> list[dict[str, Measure]]:
    """Return for each layer its share of each group, their mean as ``name``, and how far that is behind the best layer's."""
    means = [known.share(index, groups) for index in range(len(known.gained_LQ))]
    best = int(np.argmax([-np.inf if mean.value is None else mean.value for mean in means]))
    return [
        {
            **{group: known.share(index, [group]) for group in groups},
            name: mean,
            f"{name}_behind": known.behind(index, best, groups),
        }
        for index, mean in enumerate(means)
    ]


def _told(teacher: Teacher, rows: LayerRows) -> Tensor:
    """Return the words of the teacher's explanation of each row (N, F); a failed one has none."""
    return word_features([written.text if written.ok else "" for written in ask(teacher, rows.contexts)])


@torch.no_grad()
def _embedded(target: Target, tokens_N: Sequence[int]) -> Tensor:
    """Return the input embedding of each token (N, D): what a vector could know from the token alone."""
    ids_N = torch.tensor(tokens_N, device=target.device)
    return torch.as_tensor(target.embedding(ids_N)).float().cpu()
