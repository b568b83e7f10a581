"""Explanations in other words: by the model that the settings name, else by the corpus's own paraphraser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nlakit.claims.paraphrasers import paraphraser_of
from nlakit.data.annotate import require_approval
from nlakit.data.rewordings import ModelParaphraser
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.evaluation import DataTable
from nlakit.paraphrase import Paraphraser, Rewording

REWORDINGS: Mapping[str, Rewording] = {
    "paraphrase_light": "light",
    "paraphrase_heavy": "heavy",
    "translation": "translation",
}
TOO_LONG = "too_long_for_the_reconstructor"


@dataclass(frozen=True, slots=True)
class Reworded:
    """What became of some explanations."""

    texts: list[str | None]
    """Each said anew; None where that failed."""
    faults: Counter[str]
    """Why, and how often."""

    @property
    def why_not(self) -> str:
        """The faults in words, the most frequent first."""
        return in_words(self.faults)


def reword(bench: Bench, texts: Sequence[str]) -> dict[str, Reworded] | None:
    """Return the texts said anew in each way, by edit; None where nobody can.

    Raises what :class:`~nlakit.data.rewordings.ModelParaphraser` raises, and SpendingError for a cost that nobody approved.
    """
    if bench.config.paraphraser.teacher:
        with _approved(bench, texts) as model:
            return {edit: _reword(bench, model, texts, how) for edit, how in REWORDINGS.items()}
    own = paraphraser_of(bench.settings.corpus.name)
    return None if own is None else {edit: _reword(bench, own, texts, how) for edit, how in REWORDINGS.items()}


@contextmanager
def _approved(bench: Bench, texts: Sequence[str]) -> Iterator[ModelParaphraser]:
    """Yield the model once its cost is approved, and say afterwards what was paid."""
    model = ModelParaphraser(bench.config.paraphraser)
    require_approval(model.plan(texts, bench.answers), model.check, bench.progress)
    try:
        yield model
    finally:
        if receipt := model.receipt():
            bench.progress.say(receipt)


def _reword(bench: Bench, paraphraser: Paraphraser, texts: Sequence[str], how: Rewording) -> Reworded:
    """Say texts anew; what the reconstructor's window does not hold is a failure too."""
    said = list(paraphraser.reword(texts, how, bench.seed("paraphrase")))
    faults = Counter(paraphraser.faults[how]) if isinstance(paraphraser, ModelParaphraser) else Counter()
    places = [place for place, text in enumerate(said) if text is not None]
    ids_N = bench.pair.reconstructor.fitting_ids([text for text in said if text is not None])
    for place, ids in zip(places, ids_N, strict=True):
        if ids is None:
            said[place] = None
            faults[TOO_LONG] += 1
    return Reworded(said, faults)


def in_words(faults: Counter[str]) -> str:
    """Write counted faults, the most frequent first."""
    return ", ".join(f"{count:,} {fault.replace('_', ' ')}" for fault, count in faults.most_common())


def rewordings_table(reworded: Mapping[str, Reworded]) -> DataTable:
    """Return how many explanations were said anew, and why others were not."""
    return DataTable(
        title="Rewordings",
        about="Explanations that were said in other words. Those that could not be are in no measure of the edit.",
        heads=("edit", "explanations", "said anew", "not used"),
        rows=tuple(
            (edit, len(found.texts), len(found.texts) - found.faults.total(), found.why_not)
            for edit, found in reworded.items()
        ),
    )
