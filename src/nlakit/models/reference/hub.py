"""Where the two halves of a released pair lie: folders on the disk, or repositories on the Hugging Face Hub.

A pair named ``owner/name`` is the two repositories ``owner/name-av`` and ``owner/name-ar``; a pair on the
disk is a folder with the folders ``av`` and ``ar``, or two folders that are named like the repositories.
Nothing here loads a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nlakit.errors import PairError
from nlakit.models.hub import ALL_FILES, REPOSITORY, Fetched, Repository, download, look_up
from nlakit.models.reference.meta import META_FILE

HALVES = ("av", "ar")
RELEASED = (
    "kitft/nla-qwen2.5-7b-L20",
    "kitft/nla-gemma3-12b-L32",
    "kitft/nla-gemma3-27b-L41",
    "kitft/Llama-3.3-70B-NLA-L53",
)
"""The pairs that the authors of the method released."""


@dataclass(frozen=True, slots=True)
class Half:
    """One half of a pair before it is fetched: a folder, or the name of a repository."""

    name: str
    folder: Path | None = None
    repository: Repository | None = None
    """What the repository holds, where that was asked already."""


def find_released(name_or_path: str | Path) -> tuple[Half, Half] | None:
    """Say where verbalizer and reconstructor of a pair lie, without any network; ``None`` for what has another layout.

    Either half's own name does as well (``owner/name-av``). A name is taken for one on the Hub when it has
    the form ``owner/name`` and there is no folder ``owner`` here.
    """
    stem = re.sub(r"-(av|ar)$", "", str(name_or_path).rstrip("/"))
    path = Path(stem).expanduser()
    beside = [path.with_name(f"{path.name}-{half}") for half in HALVES]
    for folders in (beside, [path / half for half in HALVES]):
        if any((folder / META_FILE).is_file() for folder in folders):
            av, ar = folders
            return Half(str(av), av), Half(str(ar), ar)
    if isinstance(name_or_path, str) and not path.exists() and not path.parent.exists() and REPOSITORY.fullmatch(stem):
        return Half(f"{stem}-av"), Half(f"{stem}-ar")
    return None


def fetch(half: Half, *, revision: str | None = None, patterns: Sequence[str] = ALL_FILES) -> Fetched:
    """Bring one half to the disk, downloading with progress bars what is not there yet.

    Raises ``PairError`` when there is no such folder or repository or it has no side file, and as
    :func:`~nlakit.models.hub.look_up` and :func:`~nlakit.models.hub.download` do.
    """
    fetched = Fetched(half.name, half.folder) if half.folder is not None else _download(half, revision, patterns)
    if not fetched.folder.is_dir():
        raise PairError(f"there is no folder {half.name!r}; a pair needs both halves, {' and '.join(HALVES)}.")
    if not (fetched.folder / META_FILE).is_file():
        raise PairError(f"{half.name!r} has no {META_FILE}, which says how its weights are to be used.")
    return fetched


def _download(half: Half, revision: str | None, patterns: Sequence[str]) -> Fetched:
    repository = half.repository or look_up(half.name, revision, [META_FILE])
    if repository is None:
        raise PairError(
            f"there is no repository {half.name!r} on the Hugging Face Hub that you may read, and no such folder here."
        )
    return download(replace(repository, revision=revision or repository.revision), patterns)
