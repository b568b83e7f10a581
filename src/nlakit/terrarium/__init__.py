"""Terrarium: a generated world in which every fact is known, and a small language model grown in it.

It plugs into nlakit as anybody's corpus, teacher, truth, target and pair would, through the entry points of the package::

    lexicon     the words, by what they can be
    writer      writes a document choice by choice and keeps the books: surprisal, facts, plans
    families    the seven kinds of documents as programs over a writer
    world       the corpus: documents by number, truth at every character
    claims      what an explanation can claim, how it is said, how it is judged
    teacher     writes explanations from the truth
    wordings    other ways to say a claim
    paraphrase  says explanations anew, in wordings near and far
    tokens      the tokenizer
    target      grows the model
    behaviour   measures what the model can do
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlakit.card import Measure
    from nlakit.config import AnnotateConfig, CorpusConfig
    from nlakit.progress import Progress
    from nlakit.terrarium.claims import TerrariumTruth
    from nlakit.terrarium.paraphrase import TerrariumParaphraser
    from nlakit.terrarium.target import GrowConfig
    from nlakit.terrarium.teacher import TerrariumTeacher
    from nlakit.terrarium.world import TerrariumCorpus, WorldDocument

_WEIGHTS = Path(__file__).parent / "weights"
BEHAVIOUR_FILE = "behaviour.json"
"""In the folder of the shipped target: what it was measured to do."""


def make_corpus(config: CorpusConfig) -> TerrariumCorpus:
    """Entry point of the corpus `terrarium`."""
    from nlakit.terrarium.world import TerrariumCorpus

    return TerrariumCorpus(config)


def make_teacher(config: AnnotateConfig) -> TerrariumTeacher:
    """Entry point of the teacher `terrarium`."""
    from nlakit.terrarium.teacher import make_teacher as make

    return make(config)


def truth_reader() -> TerrariumTruth:
    """Entry point of the truth `terrarium`."""
    from nlakit.terrarium.claims import TerrariumTruth

    return TerrariumTruth()


def paraphraser() -> TerrariumParaphraser:
    """Entry point of the paraphraser `terrarium`."""
    from nlakit.terrarium.paraphrase import TerrariumParaphraser

    return TerrariumParaphraser()


def target_folder() -> Path:
    """Entry point of the model `terrarium`: the folder of the shipped target."""
    return _WEIGHTS / "target"


def pair_folder() -> Path:
    """Entry point of the pair `terrarium`: the folder of the shipped pair."""
    return _WEIGHTS / "pair"


def sample_documents(count: int, *, family: str | None = None, seed: int = 0) -> list[WorldDocument]:
    """Writes `count` documents, of one family or of all in turn. Raises `NotFoundError` for an unknown family."""
    from nlakit.errors import not_found
    from nlakit.terrarium.families import FAMILIES
    from nlakit.terrarium.world import write_document

    if family is not None and family not in FAMILIES:
        raise not_found("family", family, FAMILIES)
    names = [family] if family else list(FAMILIES)
    return [write_document(seed, number, names[number % len(names)]) for number in range(count)]


def grow(folder: Path, config: GrowConfig, progress: Progress) -> Path:
    """Grows a target in `folder`; see `nlakit.terrarium.target.grow`."""
    from nlakit.terrarium.target import grow as run

    return run(config, folder, progress)


def measure_target(model: str, *, documents: int, seed: int) -> dict[str, Measure]:
    """Measures what the target `model` (a name or a folder) can do; see `nlakit.terrarium.behaviour`."""
    from nlakit.models.target import Target
    from nlakit.terrarium.behaviour import measure_behaviour

    target = Target.load(model)
    return measure_behaviour(target.model, target.tokenizer, documents=documents, seed=seed)
