"""Where a pair lies: installed, on the disk, or on the Hugging Face Hub.

A name or path is looked for in this order, and the first that is there is taken.

1. an installed pair, such as ``terrarium``;
2. a folder with a ``card.yaml``;
3. a folder in the layout of the released pairs: ``av/`` and ``ar/`` in it, or beside it with those endings;
4. ``owner/name``, unless there is a folder ``owner`` here: the repository of that name on the Hugging Face Hub, when it holds a
   ``card.yaml``;
5. the repositories ``owner/name-av`` and ``owner/name-ar`` on the Hub, a released pair.

``owner/name@REVISION`` names a commit, tag or branch of a repository; without one the default branch is read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from nlakit import plugins
from nlakit.card import CARD_FILE, STATS_FILE, Card
from nlakit.errors import PairError, UnreachableError, nearest, not_found
from nlakit.models.hub import ALL_FILES, REPOSITORY, SIDE_FILES, Repository, download, look_up
from nlakit.models.reference.hub import RELEASED, Half, find_released
from nlakit.models.reference.meta import META_FILE

WARM_START = "warm-start"
"""Folder of a pair with its weights from before reinforcement learning."""

Released = tuple[Half, Half]
Wanted = Literal["card", "pair", "everything"]
"""How much of a repository is fetched: the card, the pair, or also its weights from before reinforcement learning."""


def locate(name_or_path: str | Path, *, revision: str | None = None, wanted: Wanted = "pair") -> Path | Released:
    """Return the folder of a pair, fetched from the Hub if it is there, or both halves of a released one, not yet fetched.

    Raises ``NotFoundError`` for a name that is not installed, ``PairError`` for what is no pair and for a revision that is not
    there, ``UnreachableError`` without a network, ``StorageFullError`` without room for a download, and ``ModelError`` when the
    Hub does not give access.
    """
    name, revision = split_revision(name_or_path, revision)
    path = Path(name)
    installed = plugins.names(plugins.PAIRS)
    released = find_released(name)
    if name in installed or (path / CARD_FILE).is_file():
        found: Path | Released = _own(name, path, installed)
    elif released is not None and released[0].folder is not None:
        found = released
    elif released is not None:
        return _on_hub(str(name), released, revision, wanted)
    else:
        found = _own(name, path, installed)
    if revision is not None:
        raise PairError(
            f"{str(name_or_path)!r} is on this disk and has no revision {revision!r}; leave the revision away."
        )
    return found


def split_revision(name_or_path: str | Path, revision: str | None) -> tuple[str | Path, str | None]:
    """Divide ``owner/name@REVISION``; ``PairError`` when a revision is given twice."""
    name, at, named = str(name_or_path).partition("@")
    if not (at and isinstance(name_or_path, str) and REPOSITORY.fullmatch(name)) or Path(name_or_path).exists():
        return name_or_path, revision
    if not named or (revision is not None and revision != named):
        raise PairError(f"{name_or_path!r} names the revision {named!r}, and {revision!r} is asked for; give one.")
    return name, named


def _own(name: str | Path, path: Path, installed: list[str]) -> Path:
    """Return the folder of an installed pair or of a path."""
    if isinstance(name, str) and name in installed:
        path = Path(plugins.load(plugins.PAIRS, name)())
    elif not path.is_dir():
        if isinstance(name, str) and "/" not in name:
            raise not_found("pair", name, installed)
        raise PairError(f"there is no folder {str(name)!r}; give a pair's folder or one of: {', '.join(installed)}.")
    if not (path / CARD_FILE).is_file():
        inside = path / "pair"
        hint = f" Did you mean {str(inside)!r}?" if (inside / CARD_FILE).is_file() else ""
        raise PairError(f"{str(path)!r} is no pair: it has no {CARD_FILE}.{hint}")
    return path


def _on_hub(name: str, released: Released, revision: str | None, wanted: Wanted) -> Path | Released:
    """Fetch a pair of ours from the Hub, or return the repositories of a released one."""
    unreachable: UnreachableError | None = None
    own = None
    try:
        own = look_up(name, revision, [CARD_FILE])
    except UnreachableError as error:
        unreachable = error
    if own is not None and CARD_FILE in own.sizes:
        return _fetch(own, wanted)
    av, ar = released
    try:
        half = look_up(av.name, revision, [META_FILE])
    except UnreachableError as error:
        raise unreachable or error from error
    if half is not None:
        return replace(av, repository=half), replace(ar, repository=look_up(ar.name, revision, [META_FILE]))
    if own is not None:
        raise PairError(
            f"the repository {name!r} is no pair: it has no {CARD_FILE}, and no {av.name!r} stands beside it."
        )
    raise PairError(
        f"there is no pair {name!r} on the Hugging Face Hub that you may read (neither a repository of that name nor {av.name!r}), "
        f"and no such folder here. A private one needs 'hf auth login'.{nearest(name, RELEASED)}"
    )


def _fetch(repository: Repository, wanted: Wanted) -> Path:
    """Fetch a pair: first the card, which has to be one, then what else is wanted at the same commit."""
    first = (CARD_FILE, STATS_FILE) if wanted == "card" else (STATS_FILE, *SIDE_FILES)
    fetched = download(repository, first)
    Card.load(fetched.folder)
    if wanted != "card":
        ignored = () if wanted == "everything" else (f"{WARM_START}/*",)
        fetched = download(replace(repository, revision=fetched.commit), ALL_FILES, ignored)
    return fetched.folder
