"""Stage 0, grow: train a small target from nothing on the corpus, for a recipe whose ``target.model`` is ``grown``.

::

    grow/
      tokenizer/      learnt from the documents
      checkpoints/    while the stage runs
      target/         a Hugging Face checkpoint, and prediction.json: how well it predicts text that it never read

Tokenizer and target learn from the documents of the splits ``av``, ``ar`` and ``rl``. Those held out from the pair are held
out from the target too, so that what is measured there is measured on text that is new to both.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from nlakit.config import SPLITS, Recipe, derive_seed, plain
from nlakit.data.corpus import Corpus, Document, load_corpus, unique
from nlakit.data.sampling import split_of
from nlakit.errors import ConfigError, InputError, UserError
from nlakit.models.prediction import HELDOUT, Pieces, Prediction, continue_text, measure_prediction, pad
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.progress import Progress
from nlakit.prompts import PROMPTS_FILE, resolve_prompts
from nlakit.runs import RunFolder, StageFolder, require_same
from nlakit.storage import atomic_folder, write_json
from nlakit.train.batches import EpochBatches
from nlakit.train.growth import STAGE, Batch, grow_model, has_bfloat16, make_model, save_target
from nlakit.train.vocabulary import PROMPTS, WINDOW, prompt_words, train_tokenizer

FEWEST = 4
"""Documents that each split must have: two to learn from or to compare, and some to validate on (our choice)."""
CONTINUATIONS, GIVEN, WRITTEN = 3, 24, 32
"""Held-out documents that the grown target goes on with, tokens that it is given of each, and tokens that it writes."""
SETTINGS_FILE = "grow.json"
"""In the folder of the grown target: the settings it was grown with."""


def run(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
    """Grow the target of a run into ``folder/grow/target``, or go on where an earlier attempt stopped; return that folder.

    Raises :class:`~nlakit.errors.RunError` when what is there was made with other settings,
    :class:`~nlakit.errors.ConfigError` and :class:`~nlakit.errors.InputError` for settings and texts that no pair could be
    trained with, before anything is written, and :class:`~nlakit.errors.DivergedError` when a loss is not finite.
    """
    config, stage = recipe.grow, folder.stage(STAGE)
    corpus = load_corpus(recipe.corpus)
    settings = _settings(recipe, corpus.fingerprint())
    output = stage.path / "target"
    if folder.check_stage(STAGE, settings, output) == "done":
        return output
    _check_site(recipe)
    documents = _documents(recipe, corpus)
    bfloat16 = _begin(stage, settings)
    try:
        tokenizer = _tokenizer(recipe, stage.path, documents.seen)
    except UserError:
        shutil.rmtree(stage.path)  # or prompts that cannot be would stand in the way of better ones
        raise
    seen = [_pieces(tokenizer, document) for document in documents.seen]
    rows = [piece for document in seen for piece in document.pieces]
    batches = EpochBatches([len(ids) for ids in rows], config.documents_per_step, recipe.seed, STAGE)
    model = make_model(config, tokenizer, derive_seed(recipe.seed, STAGE, "weights"))

    def batches_from(start: int) -> Iterator[Batch]:
        step = start
        while True:
            yield Batch(*pad([rows[row] for row in batches.at(step)], tokenizer.pad_token_id))
            step += 1

    with folder.metrics(STAGE) as metrics:
        steps = batches.steps(config.epochs)
        checkpoints = stage.path / "checkpoints"
        grow_model(model, config, steps, batches_from, checkpoints, metrics, progress, bfloat16=bfloat16)
    heldout = [_pieces(tokenizer, document) for document in documents.heldout]
    with atomic_folder(output) as part:
        save_target(model, tokenizer, part)
        write_json(part / SETTINGS_FILE, settings)
        found = _measure(Target.load(part), heldout, seen, recipe.seed)
        found.save(part)
    loss, bits = found.measures["target_loss"].value, found.measures["target_bits"].value
    progress.say(f"grow: loss {loss:.3f} nats a token on {len(heldout)} held-out documents, {bits:.2f} bits a byte")
    stage.finish(settings, {"target": output.name, "loss": loss, "steps": steps, "documents": len(seen)})
    shutil.rmtree(checkpoints, ignore_errors=True)
    return output


def grown_target(recipe: Recipe, folder: RunFolder) -> Path:
    """Return the folder of the target that a run has grown; its documents are not read again.

    Raises :class:`~nlakit.errors.RunError` when it is not finished, or was grown with other settings than the recipe's.
    """
    stage = folder.stage(STAGE)
    remedy = "Give the settings it was grown with, or choose another --out."
    require_same(stage.settings, _settings(recipe, stage.settings["corpus"]["fingerprint"]), stage.path, remedy)
    return stage.path / str(stage.outputs["target"])


def _settings(recipe: Recipe, corpus: str) -> dict[str, Any]:
    """Return everything that decides the target; ``corpus`` is the fingerprint of the corpus, which may be moved.

    How the documents that are not held out are divided among the other splits is nothing to the target.
    """
    return {
        "corpus": {**recipe.corpus.model_dump(mode="json", exclude={"path"}), "fingerprint": corpus},
        "heldout": recipe.extract.split.heldout,
        "grow": plain(recipe.grow),
        "seed": recipe.seed,
    }


def _check_site(recipe: Recipe) -> None:
    """Tell of a site that the target will not have before it is grown."""
    site, blocks = recipe.target.site, recipe.grow.blocks
    if site and not Site.parse(site).layer < blocks:
        raise ConfigError(f"target.site is {site!r}, and the grown target has blocks 0 to {blocks - 1} (grow.blocks).")


@dataclass(frozen=True)
class _Documents:
    """The documents of a corpus."""

    seen: list[Document]
    """Those that tokenizer and target learn from."""
    heldout: list[Document]


def _documents(recipe: Recipe, corpus: Corpus) -> _Documents:
    """Read the corpus; InputError when it holds chats, or too little for every split."""
    found = _Documents([], [])
    counts: Counter[str] = Counter()
    for document in unique(corpus):
        if document.messages is not None:
            raise InputError(
                f"the document {document.id!r} of the corpus {corpus.name!r} is a chat, and a target is grown from plain "
                "text. Give the text as a file, or as lines with 'text' in place of 'messages'."
            )
        split = split_of(recipe.seed, document.id, recipe.extract.split)
        counts[split] += 1
        (found.heldout if split == HELDOUT else found.seen).append(document)
    if any(counts[name] < FEWEST for name in SPLITS):
        raise InputError(_too_little(recipe, corpus, found, counts))
    return found


def _too_little(recipe: Recipe, corpus: Corpus, found: _Documents, counts: Counter[str]) -> str:
    """Say how much text there is, and how much the splits need."""
    if not counts:
        return (
            f"the corpus {corpus.name!r} holds no text (corpus.path = {recipe.corpus.path!r}). Name a file with text."
        )
    share = {name: getattr(recipe.extract.split, name) for name in SPLITS}
    if not min(share.values()):
        empty = " and ".join(name for name in SPLITS if not share[name])
        return f"extract.split gives no document to {empty}; a recipe that grows its target needs all four splits."
    characters = [len(document.text) for document in (*found.seen, *found.heldout)]
    # Twice the expectation, so that a random draw gives enough to nearly every text of that length.
    documents = round(2 * FEWEST / min(share.values()))
    there = ", ".join(f"{counts[name]} for {name}" for name in SPLITS)
    return (
        f"the corpus {corpus.name!r} is too small: its {sum(characters):,} characters make {len(characters)} documents "
        f"({there}), and each split needs {FEWEST}. Give about {documents * sum(characters) // len(characters):,} characters or "
        "more (and hundreds of thousands for a target that predicts anything), or cut it into shorter documents "
        "(corpus.options)."
    )


def _begin(stage: StageFolder, settings: dict[str, Any]) -> bool:
    """Record the settings; return whether to compute in bfloat16, as the growth was begun or as this processor can."""
    path = stage.path / "precision.json"
    if path.exists():
        return bool(json.loads(path.read_text(encoding="utf-8"))["bfloat16"])
    stage.begin(settings)
    write_json(path, {"bfloat16": has_bfloat16()})
    return has_bfloat16()


@dataclass
class _Unborn:
    """What the prompts need of a target that is not there yet."""

    name: str
    tokenizer: Any
    folder: Path | None


def _tokenizer(recipe: Recipe, folder: Path, documents: Sequence[Document]) -> PreTrainedTokenizerFast:
    """Learn the tokenizer, or load the one that was learnt, and check that the recipe's prompts can be put into its tokens."""
    path = folder / "tokenizer"
    if not path.exists():
        with atomic_folder(path) as part:
            texts = [*(document.text for document in documents), prompt_words()]
            train_tokenizer(texts, recipe.grow.vocabulary, "this target").save_pretrained(part)
            write_json(part / PROMPTS_FILE, PROMPTS)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
    resolve_prompts(_Unborn("the grown target", tokenizer, path), recipe.prompts)
    return tokenizer


def _pieces(tokenizer: PreTrainedTokenizerFast, document: Document) -> Pieces:
    """Tokenise a document, control tokens that it spells as ordinary characters, and cut it to the window."""
    ids = tokenizer(document.text, add_special_tokens=False, split_special_tokens=True, verbose=False).input_ids
    room = WINDOW - 1
    pieces = [[tokenizer.bos_token_id, *ids[start : start + room]] for start in range(0, len(ids), room)]
    return Pieces(document.id, document.text, pieces)


def _measure(target: Target, heldout: Sequence[Pieces], seen: Sequence[Pieces], seed: int) -> Prediction:
    """Measure the target as it was saved, on all held-out documents and on as many that it was grown from."""
    order = sorted(seen, key=lambda document: derive_seed(seed, STAGE, "seen", document.id))
    shown = sorted(heldout, key=lambda document: derive_seed(seed, STAGE, "shown", document.id))[:CONTINUATIONS]
    model, tokenizer = target.model, target.tokenizer
    counts_V = _counts(seen, len(tokenizer))
    return Prediction(
        parameters=sum(weights.numel() for weights in model.parameters()),
        documents=len(seen),
        tokens=int(counts_V.sum()),
        measures=measure_prediction(model, tokenizer.pad_token_id, heldout, order[: len(heldout)], counts_V, seed),
        continuations=tuple(
            continue_text(model, tokenizer, document, seed, given=GIVEN, written=WRITTEN) for document in shown
        ),
    )


def _counts(documents: Sequence[Pieces], vocabulary: int) -> Tensor:
    """Count each token of the documents, the one that begins a text left out: nobody has to predict it."""
    ids = [token for document in documents for piece in document.pieces for token in piece[1:]]
    return torch.bincount(torch.tensor(ids, dtype=torch.long), minlength=vocabulary)
