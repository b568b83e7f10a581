"""Where the two halves of a released pair lie: folders on the disk, or repositories on the Hugging Face Hub.

A pair named ``owner/name`` is the two repositories ``owner/name-av`` and ``owner/name-ar``; a pair on the
disk is a folder with the folders ``av`` and ``ar``, or two folders that are named like the repositories.
Nothing here loads a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from nlakit.errors import ModelError, PairError, nearest
from nlakit.models.reference.meta import META_FILE
from nlakit.storage import require_free_space, storage_errors

HALVES = ("av", "ar")
RELEASED = (
    "kitft/nla-qwen2.5-7b-L20",
    "kitft/nla-gemma3-12b-L32",
    "kitft/nla-gemma3-27b-L41",
    "kitft/Llama-3.3-70B-NLA-L53",
)
"""The pairs that the authors of the method released."""
SIDE_FILES = ("*.yaml", "*.json", "*.jinja")
ALL_FILES = ("*.safetensors", *SIDE_FILES)
"""What is fetched: weights, settings and tokenizer; nothing that could run code."""
_REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


@dataclass(frozen=True, slots=True)
class Half:
    """One half of a pair before it is fetched: a folder, or the name of a repository."""

    name: str
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """One half on the disk; ``commit`` is that of the repository, ``None`` for a folder of one's own."""

    name: str
    folder: Path
    commit: str | None = None


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
    if isinstance(name_or_path, str) and not path.exists() and not path.parent.exists() and _REPOSITORY.fullmatch(stem):
        return Half(f"{stem}-av"), Half(f"{stem}-ar")
    return None


def fetch(half: Half, *, revision: str | None = None, patterns: Sequence[str] = ALL_FILES) -> Fetched:
    """Bring one half to the disk, downloading with progress bars what is not there yet.

    Raises ``PairError`` when there is no such folder or repository or it has no side file, ``ModelError`` when the Hub
    cannot be reached or does not give access, and ``StorageFullError`` before a download that the disk has no room for.
    """
    fetched = Fetched(half.name, half.folder) if half.folder is not None else _download(half.name, revision, patterns)
    if not fetched.folder.is_dir():
        raise PairError(f"there is no folder {half.name!r}; a pair needs both halves, {' and '.join(HALVES)}.")
    if not (fetched.folder / META_FILE).is_file():
        raise PairError(f"{half.name!r} has no {META_FILE}, which says how its weights are to be used.")
    return fetched


def _download(repository: str, revision: str | None, patterns: Sequence[str]) -> Fetched:
    cache = Path(HF_HUB_CACHE)
    try:
        plan = snapshot_download(repository, revision=revision, allow_patterns=list(patterns), dry_run=True)
        missing = sum(file.file_size or 0 for file in plan if file.will_download)
        require_free_space(cache, missing, "point HF_HOME to another disk")
        commit = plan[0].commit_hash if plan else revision
        with storage_errors(cache):
            folder = snapshot_download(repository, revision=commit, allow_patterns=list(patterns))
    except GatedRepoError as error:
        raise ModelError(
            f"{repository!r} is gated: accept its terms at https://huggingface.co/{repository}, then log in with 'hf auth login'."
        ) from error
    except RepositoryNotFoundError as error:
        hint = nearest(re.sub(r"-(av|ar)$", "", repository), RELEASED)
        raise PairError(
            f"there is no repository {repository!r} on the Hugging Face Hub that you may read, and no such folder here.{hint}"
        ) from error
    except RevisionNotFoundError as error:
        raise PairError(
            f"{repository!r} has no revision {revision!r}; give a commit, tag or branch that it has."
        ) from error
    except (DryRunError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        return _cached(repository, revision, patterns, error)
    except HfHubHTTPError as error:
        raise ModelError(f"the Hugging Face Hub refuses {repository!r}: {' '.join(str(error).split())}") from error
    return Fetched(repository, Path(folder), commit)


def _cached(repository: str, revision: str | None, patterns: Sequence[str], reason: Exception) -> Fetched:
    """Take what an earlier download left, when the Hub cannot be reached."""
    try:
        folder = snapshot_download(repository, revision=revision, allow_patterns=list(patterns), local_files_only=True)
    except LocalEntryNotFoundError:
        raise ModelError(
            f"the Hugging Face Hub cannot be reached and {repository!r} was not downloaded before; connect to the network, or "
            "give the folder that holds the pair."
        ) from reason
    return Fetched(repository, Path(folder), Path(folder).name)
