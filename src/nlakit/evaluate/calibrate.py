"""Fitting what a pair's card lacks: the support score where a corpus knows what is true, mean and variance of a released pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nlakit.calibration import Calibration
from nlakit.card import Card
from nlakit.claims.signals import SIGNALS
from nlakit.claims.support import KNOWN, fit
from nlakit.config import EvaluateConfig, NewCorpusConfig
from nlakit.errors import InputError
from nlakit.evaluate.released import lacks_corpus
from nlakit.evaluate.rows import PROBE_SPLIT
from nlakit.evaluate.runner import PROBE_ROWS, make_bench
from nlakit.evaluate.support import KnownClaim, any_text_claims, first_rows, known_claims, reads_of
from nlakit.models.pair import Pair, load_card, pair_folder
from nlakit.progress import Progress
from nlakit.storage import require_free_space

ROWS = 1000
"""Training rows whose claims are fitted on."""


def save_with_statistics(
    source: str | Path, corpus: NewCorpusConfig, folder: Path, progress: Progress | None = None
) -> Card:
    """Write a copy of a released pair whose card has this corpus, and mean and variance of rows of its training split.

    They are those that :func:`~nlakit.evaluate.runner.evaluate` measures the pair against on the same corpus. Returns the card.
    Raises :class:`~nlakit.errors.InputError` for a pair that has a corpus of its own, for a corpus of too few documents, and when
    something lies at ``folder``; :class:`~nlakit.errors.StorageFullError` without room for the copy.
    """
    if folder.exists():
        raise InputError(f"{folder} exists already; choose another --out.")
    if not lacks_corpus(load_card(source)):
        raise InputError(
            f"{str(source)!r} has a corpus of its own on its card, and mean and variance of its rows; --corpus is for released "
            "pairs, which have none."
        )
    pair = Pair.from_pretrained(source)
    halves = (pair.verbalizer.model, pair.reconstructor.backbone, pair.reconstructor.value_head)
    weights = [weight for half in halves for weight in half.parameters()]
    require_free_space(folder, sum(weight.numel() * weight.element_size() for weight in weights))
    with (progress or Progress(silent=True)).task("calibrate", 1) as task:
        task.update(0, "training rows of the corpus")
        pair = make_bench(None, pair, EvaluateConfig(rows=1, corpus=corpus)).pair
        pair.save(folder)
        task.advance()
    return pair.card


@dataclass(frozen=True, slots=True)
class TrainingClaims:
    """Claims of a pair about rows of a training split, with their signals and truth."""

    pair: str
    rows: int
    by_kind: dict[str, list[KnownClaim]]

    def fit(self, kind: str = KNOWN, names: Sequence[str] = SIGNALS) -> Calibration:
        """Fit on the claims of a kind, by some signals; raises as :func:`~nlakit.claims.support.fit` does."""
        claims = self.by_kind[kind]
        true = [item.true for item in claims]
        about = {
            "pair": self.pair, "split": PROBE_SPLIT, "rows": self.rows, "claims": len(claims),
            "true": round(sum(true) / max(1, len(true)), 4),
        }  # fmt: skip
        return fit([item.signals for item in claims], true, names, about)


def fit_support(source: str | Path, rows: int = ROWS, progress: Progress | None = None) -> Calibration:
    """Return the support score of a pair, fitted on rows of a training split; held-out rows are left to the evaluation.

    Raises as :func:`training_claims` does, :class:`~nlakit.errors.InputError` where all claims are true or none is, and
    :class:`~nlakit.errors.MissingExtraError` without scikit-learn.
    """
    return training_claims(source, rows, progress).fit()


def training_claims(
    source: str | Path, rows: int = ROWS, progress: Progress | None = None, *, any_text: bool = False
) -> TrainingClaims:
    """Return the claims of a pair about rows of a training split; with ``any_text`` also as they are found in any text.

    Raises:
        CardError: when the card does not say where its rows came from.
        InputError: for a corpus that does not know its truth.
    """
    folder = pair_folder(source)
    pair = Pair.from_pretrained(folder)
    bench = make_bench(folder, pair, EvaluateConfig(rows=1), probe_rows=max(rows, PROBE_ROWS))
    bench.progress = progress or Progress(silent=True)
    if bench.training is None or bench.reader is None:
        raise InputError(f"support of {pair.card.name!r} cannot be fitted: {bench.why_no_truth}")
    chosen = first_rows(bench.training, rows)
    explained = [sample.explanation for sample in bench.explain("calibration", chosen.vectors_ND)]
    reads = reads_of(bench, chosen, explained, "calibration")
    found = {KNOWN: known_claims(bench, chosen, bench.reader, reads, "calibration")}
    if any_text:
        found |= any_text_claims(bench, chosen, bench.reader, reads, "calibration")
    return TrainingClaims(pair.card.name, len(chosen), found)
