"""The bench: what every part of an evaluation works with, and where it puts what it finds.

What several parts need (the sampled explanations, the probes, the judged claims) is made once, when the first asks.

Axes: N rows, D vector width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from torch import Tensor

from nlakit.card import Measure
from nlakit.claims.anytext import FrameReader
from nlakit.claims.exchange import ClaimReader
from nlakit.claims.probes import FactCheck, Probes, fit_probes
from nlakit.claims.readers import claim_reader, truth_reader
from nlakit.config import EvaluateConfig, derive_seed
from nlakit.data.sampling import other_document_rows
from nlakit.data.tokens import tokenise
from nlakit.errors import InternalError
from nlakit.evaluate.claims import JudgedClaim, judge
from nlakit.evaluate.estimates import Estimator
from nlakit.evaluate.evaluation import DataTable, LevelRow, SlotRow
from nlakit.evaluate.fidelity import explanation_errors
from nlakit.evaluate.rows import DataSettings, Rows
from nlakit.explanations import Explanation
from nlakit.models.pair import WARM_START, Pair
from nlakit.models.sampler import Sample, sample
from nlakit.models.target import Target
from nlakit.progress import Progress
from nlakit.truth import Truth, TruthReader

STAGE = "evaluate"
MIN_COUNT = 5
"""Explanations in which a frame is seen, at least: an evaluation samples fewer than a training has (our choice)."""


@dataclass
class Found:
    """What has been measured so far, under the settings of this evaluation."""

    estimator: Estimator
    documents_N: list[str]
    variance: float
    measures: dict[str, Measure] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    tables: dict[str, DataTable] = field(default_factory=dict)
    """Tables for the report, by key; charts are drawn from those that have one."""
    slots: tuple[SlotRow, ...] = ()
    levels: tuple[LevelRow, ...] = ()

    def fve(self, name: str, errors_N: Tensor) -> None:
        """Add an FVE from errors a row."""
        self.measures[name] = self.estimator.fve(name, errors_N, self.documents_N, self.variance)

    def mean(self, name: str, values_N: Sequence[float] | Tensor, weights_N: Tensor | None = None) -> None:
        """Add a mean over rows."""
        self.measures[name] = self.estimator.mean(name, values_N, self.documents_N, weights_N)

    def leave_out(self, names: Sequence[str], reason: str) -> None:
        """Record that measures cannot be taken, and why."""
        self.left_out.update(dict.fromkeys(names, reason))


@dataclass
class Bench:
    """A pair, its held-out rows, and what is made of them."""

    folder: Path | None
    """Of the pair; None for a released one, which is two."""
    pair: Pair
    settings: DataSettings
    heldout: Rows
    training: Rows | None
    """Rows of a training split, for probes, neighbours and calibration; None where their split has none."""
    config: EvaluateConfig
    found: Found
    progress: Progress = field(default_factory=lambda: Progress(silent=True))
    """Who is asked before anything is paid for."""
    answers: Path | None = None
    """Where answers that are paid for are kept; None keeps them as long as the evaluation runs."""

    @property
    def target(self) -> Target:
        """The target that the pair reads."""
        if self.pair.target is None:
            raise InternalError(f"the pair {self.pair.card.name!r} was loaded without its target")
        return self.pair.target

    @cached_property
    def other_N(self) -> list[int] | None:
        """A row of another document for each row; None where there is only one document."""
        return other_document_rows(self.heldout.document_ids, self.config.seed)

    def seed(self, *labels: object) -> int:
        """Return the seed of a draw of this evaluation."""
        return derive_seed(self.config.seed, STAGE, *labels)

    def explain(
        self, what: str, vectors_ND: Tensor, *, pair: Pair | None = None, temperature: float = 1.0, samples: int = 1
    ) -> list[Sample]:
        """Write ``samples`` explanations a vector, those of a vector together; ``what`` names the draw."""
        return sample(
            (pair or self.pair).verbalizer,
            vectors_ND,
            samples=samples,
            temperature=temperature,
            max_new_tokens=self.config.max_new_tokens,
            seed=self.seed(what),
            batch_rows=self.config.batch_size,
        )

    def errors(self, explanations: Sequence[Explanation], *, pair: Pair | None = None) -> Tensor:
        """Return the errors (N,) of the rows rebuilt from their explanations; a failed one counts with error 2."""
        return explanation_errors((pair or self.pair).reconstructor, explanations, self.heldout.vectors_ND)

    def fve(self, name: str, explanations: Sequence[Explanation], *, pair: Pair | None = None) -> Tensor:
        """Add the FVE of the rows rebuilt from their explanations; returns the errors (N,)."""
        errors_N = self.errors(explanations, pair=pair)
        self.found.fve(name, errors_N)
        return errors_N

    def fve_of_others(self, name: str, explanations: Sequence[Explanation]) -> None:
        """Add the FVE of rows rebuilt from the explanation of a row of another document."""
        if self.other_N is None:
            self.found.leave_out([name], "all rows are of one document, so they cannot be exchanged between documents")
        else:
            self.fve(name, [explanations[row] for row in self.other_N])

    @cached_property
    def places(self) -> list[tuple[list[int], int]]:
        """The tokens of each held-out row's document, and the place of its own token in them."""
        documents = list(self.heldout.documents)
        found = tokenise(self.target, documents, self.settings.extract.max_tokens)
        ids = {document.id: tokens.ids for document, tokens in zip(documents, found, strict=True)}
        positions = self.heldout.column("position")
        return [(ids[name], position) for name, position in zip(self.heldout.document_ids, positions, strict=True)]

    @cached_property
    def sampled(self) -> list[Sample]:
        """One explanation a row at temperature 1."""
        return self.explain("sampled", self.heldout.vectors_ND)

    @cached_property
    def explanations(self) -> list[Explanation]:
        """The sampled explanations alone."""
        return [output.explanation for output in self.sampled]

    @cached_property
    def errors_N(self) -> Tensor:
        """The errors of the sampled explanations."""
        return self.errors(self.explanations)

    @cached_property
    def rebuilt_ND(self) -> Tensor:
        """What the reconstructor makes of the sampled explanations; the mean direction where the output failed or is too long."""
        mean_D = self.pair.card.require_stats().mean_D.float()
        rebuilt_ND = mean_D.repeat(len(self.heldout), 1)
        usable = [row for row, explanation in enumerate(self.explanations) if explanation.ok]
        found_MD, fits = self.pair.reconstructor.reconstruct_fitting([self.explanations[row].text for row in usable])
        for row, found_D, fit in zip(usable, found_MD.cpu(), fits, strict=True):
            if fit:
                rebuilt_ND[row] = found_D
        return rebuilt_ND

    @cached_property
    def before(self) -> Pair | None:
        """The pair as it was before reinforcement learning; None where it is not kept."""
        if self.folder is None or not (self.folder / WARM_START).is_dir():
            return None
        return Pair.from_pretrained(self.folder, load_target=False, part=WARM_START)

    @cached_property
    def explained_before(self) -> list[Explanation] | None:
        """What that pair writes of the held-out rows; None where it is not kept."""
        if self.before is None:
            return None
        return [output.explanation for output in self.explain("sampled", self.heldout.vectors_ND, pair=self.before)]

    @cached_property
    def reader(self) -> TruthReader | None:
        """The truth plugin of the corpus; None where it has none."""
        return truth_reader(self.settings.corpus.name)

    @cached_property
    def claim_reader(self) -> ClaimReader:
        """Who reads the claims of the pair, as everywhere; frames are learnt from its explanations where its card keeps none."""
        if self.reader is not None:
            return self.reader
        if self.pair.card.data.get("claims", {}).get("frames"):
            return claim_reader(self.pair.card)
        return FrameReader.fit([item.text for item in self.explanations if item.ok], min_count=MIN_COUNT)

    @cached_property
    def truths(self) -> list[Truth] | None:
        """What is true at each held-out row; None where that is not known of each, or nobody can read it."""
        truths = [truth for truth in self.heldout.truths() if truth is not None]
        return truths if self.reader is not None and len(truths) == len(self.heldout) else None

    @property
    def why_no_truth(self) -> str:
        """Why claims cannot be judged."""
        if self.reader is None:
            corpus = self.settings.corpus.name
            return (
                f"the corpus {corpus!r} does not know what is true (no plugin of the group nlakit.truth has its name)"
            )
        if self.training is None:
            return "the split for fitting probes has no row"
        measured = self.config.corpus or self.settings.corpus
        return f"some rows of the corpus {measured.name!r} come without truth"

    @cached_property
    def probes(self) -> Probes | None:
        """Linear probes fitted on training rows; None without a truth."""
        if self.reader is None or self.training is None:
            return None
        facts = [self.reader.facts(truth) if truth is not None else {} for truth in self.training.truths()]
        return fit_probes(self.training.vectors_ND, facts, self.training.document_ids, self.config.seed)

    @cached_property
    def checks_N(self) -> list[dict[str, FactCheck]] | None:
        """What the probes say about each true fact of each held-out row, by slot; None without a truth."""
        if self.probes is None or self.reader is None or self.truths is None:
            return None
        return self.probes.check(self.heldout.vectors_ND, [self.reader.facts(truth) for truth in self.truths])

    def judge(self, explanations: Sequence[Explanation]) -> list[JudgedClaim] | None:
        """Judge the claims of one explanation a held-out row; None without a truth."""
        if self.reader is None or self.truths is None or self.checks_N is None:
            return None
        return judge(self.reader, explanations, self.truths, self.checks_N)

    @cached_property
    def judged(self) -> list[JudgedClaim] | None:
        """The judged claims of the sampled explanations; None without a truth."""
        return self.judge(self.explanations)
