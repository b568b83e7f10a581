"""Opening what is examined: a model, a pair, a run or a store is told from its name or folder, and opened part by part.

A part that does not open is noted with the reason and stops no other. For a bare model the halves of a pair are made as a
warm start would begin with them, on the weights that are there: nothing is copied.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from nlakit import plugins
from nlakit.card import CARD_FILE, Card, TargetRecord
from nlakit.config import AUTO, Recipe, TrainConfig
from nlakit.data.manifest import MANIFEST
from nlakit.data.store import Store
from nlakit.doctor.subject import Subject, read_rows
from nlakit.errors import InputError, ModelError, NlakitError, PairError, not_found
from nlakit.evaluate.runner import pair_of
from nlakit.models.adapters import truncated_view
from nlakit.models.locate import locate
from nlakit.models.pair import Pair
from nlakit.models.parts import load_reconstructor_of, load_target_of, load_verbalizer_of, moved_target
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.reference.hub import Half, find_released
from nlakit.models.reference.load import load_released, open_sources, released_card
from nlakit.models.sites import resolve_site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.prompts import resolve_prompts
from nlakit.runs import RunFolder
from nlakit.train.grow import grown_target
from nlakit.vectors import VectorStats

T = TypeVar("T")


def open_subject(what: str | Path | Target | Pair, device: str = AUTO) -> Subject:
    """Open a pair, model, run or store, by name or folder; a loaded target or pair is taken as it is.

    What lies there and is broken comes back with the reason in ``closed``. Raises ``NotFoundError`` for a name that is not
    installed, and ``InputError`` for a folder that is none of these.
    """
    if isinstance(what, Pair):
        parts = (what.target, what.card, what.verbalizer, what.reconstructor)
        return Subject(what.card.name, *parts)
    if isinstance(what, Target):
        return _as_pair(Subject(what.name, what))
    name, path = str(what), Path(what).expanduser()
    if name not in plugins.names(plugins.PAIRS) and path.is_dir():
        return _open_folder(path, device)
    known = plugins.names(plugins.MODELS)
    if name in known and name not in plugins.names(plugins.PAIRS):
        return _open_model(name, device)
    if name not in plugins.names(plugins.PAIRS) and "/" not in name:
        raise not_found("pair or model", name, {*known, *plugins.names(plugins.PAIRS)})
    try:
        found = locate(name, wanted="everything")
    except (PairError, ModelError):  # no pair, or out of reach: perhaps a model, which then says what is wrong
        return _open_model(name, device)
    return _open_pair(found, device) if isinstance(found, Path) else _open_released(name, found, device)


def _open_folder(path: Path, device: str) -> Subject:
    """Tell from its files what a folder holds, and open that."""
    if (path / CARD_FILE).is_file():
        return _open_pair(path, device)
    if (halves := find_released(path)) is not None:
        return _open_released(str(path), halves, device)
    if (path / MANIFEST).is_file():
        subject = Subject(str(path))
        subject.store = _attempt(subject, "store", lambda: Store(path))
        return subject
    if not (path / "config.json").is_file():
        raise InputError(
            f"{str(path)!r} holds no model, pair, run or store: it has no config.json, {CARD_FILE} or {MANIFEST}."
        )
    return _open_run(path, device) if _is_run(path) else _open_model(str(path), device)


def _is_run(path: Path) -> bool:
    """Whether the config.json of a folder records a run; that of a model has no recipe, and one that is damaged is a model's."""
    try:
        return "recipe" in json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _attempt(subject: Subject, part: str, open_part: Callable[[], T]) -> T | None:
    """Open one part; what nlakit has against it is noted."""
    try:
        return open_part()
    except NlakitError as error:
        subject.closed[part] = str(error)
        return None


def _open_model(name: str, device: str) -> Subject:
    subject = Subject(name)
    subject.target = _attempt(subject, "model", lambda: Target.load(name, device=device))
    return _as_pair(subject)


def _open_pair(folder: Path, device: str) -> Subject:
    subject = Subject(str(folder), folder=folder)
    card = subject.card = _attempt(subject, "card", lambda: Card.load(folder))
    if card is None:
        return subject
    base = subject.target = _attempt(subject, "model", lambda: load_target_of(card, moved_target(card, folder), device))
    subject.verbalizer = _attempt(
        subject, "verbalizer", lambda: load_verbalizer_of(card, folder, device=device, base=base)
    )
    subject.reconstructor = _attempt(
        subject, "reconstructor", lambda: load_reconstructor_of(card, folder, device=device, base=base)
    )
    return subject


def _open_released(name: str, halves: tuple[Half, Half], device: str) -> Subject:
    subject = Subject(name)
    sources = _attempt(subject, "pair", lambda: open_sources(*halves))
    card = subject.card = None if sources is None else _attempt(subject, "card", lambda: released_card(sources))
    if sources is None or card is None:
        return subject
    subject.target = _attempt(subject, "model", lambda: load_target_of(card, device=device))
    loaded = _attempt(subject, "pair", lambda: load_released(sources, card, device=device))
    if loaded is not None:
        subject.verbalizer, subject.reconstructor = loaded
    return subject


def _open_run(path: Path, device: str) -> Subject:
    """Open what a run has so far: its store, and its last pair, or before there is one the model of its recipe."""
    run = RunFolder.existing(path)
    folder = next((found for found in (path / "pair", path / "warm-start" / "pair") if found.is_dir()), None)
    if folder is not None:
        subject = _open_pair(pair_of(run), device)
    else:
        subject = Subject(str(path))
        recipe = _attempt(subject, "recipe", run.recipe)
        if recipe is not None:
            subject.target = _attempt(subject, "model", lambda: _target_of(recipe, run, device))
            subject = _as_pair(subject, recipe)
    subject.name, subject.run = str(path), run
    if (path / "extract" / "done.json").is_file():
        subject.store = _attempt(subject, "store", lambda: Store(path / "extract"))
    return subject


def _target_of(recipe: Recipe, run: RunFolder, device: str) -> Target:
    """Load the target that a recipe names, or the one that its run has grown."""
    config = recipe.target
    return Target.load(
        grown_target(recipe, run) if recipe.grown else config.model, config.revision, config.dtype, device
    )


def _as_pair(subject: Subject, recipe: Recipe | None = None) -> Subject:
    """Add what a pair of a bare target would start from, by a recipe or by the defaults."""
    target = subject.target
    if target is None:
        return subject
    prompts = _attempt(subject, "prompts", lambda: resolve_prompts(target, recipe.prompts if recipe else None))
    site = _attempt(subject, "site", lambda: resolve_site(target, recipe.target.site if recipe else ""))
    if prompts is None or site is None:
        return subject
    vectors_ND = read_rows(target, site).vectors_ND
    given = recipe.warm_start.injection_scale if recipe else None
    card = subject.card = Card(
        name=subject.name,
        target=TargetRecord.of(target),
        site=str(site),
        prompts=prompts,
        injection_scale=float(torch.quantile(vectors_ND.norm(dim=1), 0.75)) if given is None else given,
        max_new_tokens=(recipe.train if recipe else TrainConfig()).max_new_tokens,
        stats=VectorStats.fit(vectors_ND),
    )
    subject.verbalizer = _attempt(
        subject,
        "verbalizer",
        lambda: Verbalizer(
            target.model,
            target.tokenizer,
            prompts,
            injection_scale=card.injection_scale,
            max_new_tokens=card.max_new_tokens,
        ),
    )
    backbone = truncated_view(target, site.layer + 1)
    subject.reconstructor = Reconstructor(backbone, target.tokenizer, prompts).eval()
    return subject
