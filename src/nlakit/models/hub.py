"""Repositories on the Hugging Face Hub: what is in one, and how its files come to the disk.

Only weights in safetensors, settings and tokenizers are ever fetched. The room on the disk is compared with the sizes that
the Hub names before a download starts. Without a network, what an earlier download left in the cache serves. The token is
the one that ``hf auth login`` keeps, or the environment variable ``HF_TOKEN``; it is never written and never shown.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import filter_repo_objects

from nlakit.errors import ModelError, PairError, UnreachableError
from nlakit.storage import require_free_space, storage_errors

SIDE_FILES = ("*.yaml", "*.json", "*.jinja")
ALL_FILES = ("*.safetensors", *SIDE_FILES)
"""What is fetched: weights, settings and tokenizer; nothing that could run code."""
MODEL_FILES = (*ALL_FILES, "*.txt", "*.model")
"""The same of a language model, whose tokenizer may be kept in files of its own."""
OTHER_WEIGHTS = ("original/*", "consolidated*", "onnx/*")
"""Copies of a model's weights for other programs."""
REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
"""What a name on the Hub looks like."""

HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
"""What the Hub's client raises when no answer comes; the package it takes this from differs between its versions."""
ATTEMPTS = 4
"""Times that a question is asked when the Hub answers with a fault of its own (our choice)."""
WAIT_S = 1.0
"""Seconds before the second attempt; each wait is twice the one before (our choice)."""
TIMEOUT_S = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Repository:
    """What a repository holds at a revision."""

    name: str
    revision: str | None
    """As asked for; ``None`` for the default branch."""
    commit: str
    sizes: Mapping[str, int]
    """Bytes of each file, by its path."""
    private: bool = False
    metadata: Mapping[str, Any] | None = None
    """What its model card declares at its top, such as the licence; ``None`` when it declares nothing."""
    offline: bool = False
    """Whether the Hub cannot be reached and this is what the cache holds."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Files on the disk; ``commit`` is that of the repository, ``None`` for a folder of one's own."""

    name: str
    folder: Path
    commit: str | None = None


def look_up(name: str, revision: str | None = None, markers: Collection[str] = ()) -> Repository | None:
    """Ask what a repository holds; ``None`` when there is none that you may read.

    Without a network the cache answers, if it has one of the files ``markers``. Raises ``UnreachableError`` when neither
    does, ``PairError`` for an unknown revision and ``ModelError`` when the Hub refuses.
    """
    try:
        with refusals(name, revision):
            info = patiently(
                lambda: HfApi().model_info(name, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
            )
    except UnreachableError:
        cached = _cached(name, revision, markers)
        if cached is None:
            raise
        return cached
    except RepositoryNotFoundError:
        return None
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    metadata = None if info.card_data is None else info.card_data.to_dict()
    return Repository(name, revision, str(info.sha), sizes, bool(info.private), metadata)


def download(repository: Repository, patterns: Sequence[str] = ALL_FILES, ignore: Sequence[str] = ()) -> Fetched:
    """Bring the files of a repository that match to the disk, with progress bars for what is not there yet.

    Raises ``StorageFullError`` before a download that the disk has no room for, ``UnreachableError`` when the network is gone,
    and ``ModelError`` when the Hub does not give access.
    """
    name, cache = repository.name, Path(constants.HF_HUB_CACHE)
    wanted = filter_repo_objects(repository.sizes, allow_patterns=list(patterns), ignore_patterns=list(ignore))
    missing = [
        path for path in wanted if not isinstance(try_to_load_from_cache(name, path, revision=repository.commit), str)
    ]
    require_free_space(cache, sum(repository.sizes[path] for path in missing), "point HF_HOME to another disk")
    with refusals(name, repository.revision), storage_errors(cache):
        try:
            folder = patiently(
                lambda: snapshot_download(
                    name,
                    revision=repository.revision,
                    allow_patterns=list(patterns),
                    ignore_patterns=list(ignore),
                    local_files_only=repository.offline,
                )
            )
        except RepositoryNotFoundError as error:
            if isinstance(error, GatedRepoError):
                raise
            raise PairError(f"the repository {name!r} is gone from the Hugging Face Hub.") from error
    return Fetched(name, Path(folder), Path(folder).name)


def fetch_model(name: str, revision: str | None = None, patterns: Sequence[str] = MODEL_FILES) -> Fetched:
    """Bring a language model to the disk, at the commit that its revision stands for now.

    Raises ``ModelError`` when there is no such model, it has no weights in safetensors or no such revision, and as
    :func:`download` does.
    """
    try:
        repository = look_up(name, revision, ["config.json"])
    except PairError as error:  # an unknown revision
        raise ModelError(str(error)) from error
    if repository is None:
        raise ModelError(
            f"there is no model {name!r} on the Hugging Face Hub that you may read, and no such folder here; a private one "
            "needs 'hf auth login'."
        )
    if not any(path.endswith(".safetensors") for path in repository.sizes):
        raise ModelError(
            f"the repository {name!r} has no weights in safetensors; other formats could run code and are not read."
        )
    return download(repository, patterns, OTHER_WEIGHTS)


def patiently(ask: Callable[[], T]) -> T:
    """Ask again, after a while, when the Hub answers with a fault of its own or that it is asked too often."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return ask()
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status < 500 and status != 429:
                raise
        time.sleep(WAIT_S * 2**attempt)
    return ask()


@contextmanager
def refusals(name: str, revision: str | None = None) -> Iterator[None]:
    """Turn what the Hub's client raises inside the block into one sentence; a repository that is not there passes through."""
    try:
        yield
    except GatedRepoError as error:
        raise ModelError(
            f"{name!r} is gated: accept its terms at {constants.ENDPOINT}/{name}, then log in with 'hf auth login'."
        ) from error
    except RevisionNotFoundError as error:
        raise PairError(f"{name!r} has no revision {revision!r}; give a commit, tag or branch that it has.") from error
    except RepositoryNotFoundError:
        raise
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise _unreachable(name) from error
    except HfHubHTTPError as error:
        raise _refused(name, error) from error
    except HTTP_ERROR as error:
        raise _unreachable(name) from error


def _refused(name: str, error: HfHubHTTPError) -> ModelError:
    """Say what an answer other than success means."""
    status = error.response.status_code
    if status >= 500:
        return UnreachableError(
            f"the Hugging Face Hub answers {status} for {name!r}, a fault of its own; try again later."
        )
    if status == 401:
        return ModelError(
            f"the Hugging Face Hub does not accept your token for {name!r}; log in again with 'hf auth login', or set HF_TOKEN."
        )
    return ModelError(f"the Hugging Face Hub refuses {name!r}: {' '.join(str(error).split())}")


def _unreachable(name: str) -> UnreachableError:
    return UnreachableError(
        f"the Hugging Face Hub cannot be reached and {name!r} was not downloaded before; connect to the network, or give "
        "a folder on this disk."
    )


def _cached(name: str, revision: str | None, markers: Collection[str]) -> Repository | None:
    """Return what an earlier download left, when it has one of the files ``markers``."""
    for marker in markers:
        path = try_to_load_from_cache(name, marker, revision=revision or constants.DEFAULT_REVISION)
        if isinstance(path, str):
            folder = Path(path).parent
            files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
            sizes = {name: file.stat().st_size for name, file in files.items()}
            return Repository(name, revision, folder.name, sizes, offline=True)
    return None
