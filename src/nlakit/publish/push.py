"""Pushing a pair to the Hugging Face Hub: what would be uploaded, whether it may be, and one commit with all of it.

Only the files of a pair go, with a card that keeps no trace of this machine and a model card made from it. A repository is
made private unless it is wanted otherwise. Nothing is visible before the commit, and a commit is there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError
from safetensors import SafetensorError, safe_open

from nlakit.card import CARD_FILE, STATS_FILE, Card
from nlakit.errors import InputError, PairError, PublishError, UnreachableError, UserError
from nlakit.models.adapters import is_adapter
from nlakit.models.hub import HTTP_ERROR, REPOSITORY, Repository, look_up, patiently
from nlakit.models.locate import WARM_START
from nlakit.models.parts import RECONSTRUCTOR, VERBALIZER
from nlakit.publish.base import find_base, published_target
from nlakit.publish.model_card import model_card
from nlakit.publish.traces import named_after, problems, without_traces
from nlakit.storage import atomic_folder, require_free_space

README = "README.md"
WEIGHTS, SETTINGS = ".safetensors", (".json", ".jinja")
UNSCANNED = ("tokenizer.json", ".index.json")
"""Vocabularies and lists of tensors: large, and full of words that look like anything."""
KEPT_ON_HUB = frozenset({".gitattributes", README, "LICENSE", "LICENSE.md", "LICENSE.txt"})
"""What a repository may hold that is still as empty as when it was made."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A pair as it would be published; made by :meth:`of`."""

    repository: str
    contents: Mapping[str, bytes | Path]
    """What each file holds, by its path in the repository; weights as the file that they lie in."""
    left_out: tuple[str, ...]
    """Files of the pair's folder that are not part of a pair."""
    remarks: tuple[str, ...]
    """What whoever publishes should know."""

    @classmethod
    def of(
        cls,
        folder: Path,
        repository: str,
        *,
        target: str | None = None,
        licence: str | None = None,
        warm_start: bool = True,
    ) -> Publication:
        """Gather a pair's folder for publication as ``owner/name``.

        ``target`` is where others find the target (``owner/name[@revision]``), needed for one that only this machine has.
        ``licence`` is the identifier of the target's licence, where neither the Hub nor its package names one. Without
        ``warm_start`` the weights from before reinforcement learning stay here. Raises ``PublishError`` for what may not leave
        this machine or could not be loaded elsewhere, ``PairError`` and ``CardError`` for what is no pair.
        """
        if not REPOSITORY.fullmatch(repository):
            raise PublishError(f"{repository!r} is no name of a repository; give it as OWNER/NAME.")
        card = Card.load(folder)
        parts = [name for name in (VERBALIZER, RECONSTRUCTOR) if not (folder / name).is_dir()]
        if parts:
            raise PairError(f"{str(folder)!r} is no pair: it has no folder {' and no folder '.join(parts)}.")
        record = published_target(card, target)
        public, changes = without_traces(card.model_copy(update={"target": record}))
        base = find_base(record, licence)
        files, left_out = _files(folder, warm_start)
        contents: dict[str, bytes | Path] = {CARD_FILE: public.to_yaml().encode()}
        for name, path in files.items():
            contents[name] = _content(path, record.model)
        text = model_card(public, base, repository=repository, adapters=is_adapter(folder / VERBALIZER))
        contents[README] = text.encode()
        _require_clean(contents)
        remarks = (
            *base.remarks,
            *(f"not published of the card: {change}" for change in changes),
            *_target_remarks(card, target),
        )
        return cls(repository, dict(sorted(contents.items())), left_out, remarks)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file."""
        return {name: len(c) if isinstance(c, bytes) else c.stat().st_size for name, c in self.contents.items()}

    def write(self, folder: Path) -> Path:
        """Write the folder as it would be published, whole or not at all; returns it.

        Raises ``InputError`` when something lies there already and ``StorageFullError`` without room for it.
        """
        if folder.exists():
            raise InputError(f"{folder} exists already; choose another folder.")
        require_free_space(folder, sum(self.sizes().values()), "choose another folder")
        with atomic_folder(folder) as work:
            for name, content in self.contents.items():
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                (work / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        return folder


@dataclass(frozen=True, slots=True)
class Upload:
    """A publication and the repository that it would go to; made by :meth:`prepare`, done by :meth:`run`."""

    publication: Publication
    private: bool
    revision: str | None
    existing: Repository | None

    @classmethod
    def prepare(cls, publication: Publication, *, private: bool = True, revision: str | None = None) -> Upload:
        """Ask the Hub whether this may be done; nothing is changed yet.

        Raises ``PublishError`` without a token, and for a repository that is there and is no pair, or of another visibility;
        ``UnreachableError`` without a network.
        """
        name = publication.repository
        if get_token() is None:
            raise PublishError(
                "nobody is logged in to the Hugging Face Hub: use 'hf auth login', or set HF_TOKEN, with a token that may write."
            )
        existing = _existing(name, revision)
        if existing is not None and existing.private != private:
            now, cure = ("private", "leave --public away") if existing.private else ("public", "give --public")
            raise PublishError(
                f"the repository {name!r} is there and is {now}, and this does not change it; {cure} (in Python, private=), "
                "change it on the Hub, or choose another name."
            )
        if existing is not None and CARD_FILE not in existing.sizes and set(existing.sizes) - KEPT_ON_HUB:
            raise PublishError(
                f"the repository {name!r} is there and holds something else than a pair; choose another name."
            )
        return cls(publication, private, revision, existing)

    def plan(self) -> str:
        """Say in words what would be done."""
        publication = self.publication
        sizes = publication.sizes()
        seen = "private" if self.private else "PUBLIC: everybody can see it and take a copy"
        how = "a new repository" if self.existing is None else "a commit to the repository that is there"
        branch = f", on the branch {self.revision}" if self.revision else ""
        lines = [
            f"{publication.repository} ({seen}), {how}{branch}: {len(sizes)} files, {_megabytes(sum(sizes.values()))}"
        ]
        lines += [f"  {_megabytes(size):>11}  {name}" for name, size in sizes.items()]
        lines += [f"  not published: {name}" for name in publication.left_out]
        lines += [f"  note: {remark}" for remark in publication.remarks]
        return "\n".join([*lines, "What was published once can be copied by then, and cannot be taken back."])

    def run(self, message: str | None = None) -> str:
        """Upload everything in one commit, with progress bars; returns the commit's address.

        Raises ``PublishError`` when the Hub refuses and ``UnreachableError`` when it is out of reach; then nothing was published.
        """
        name, api = self.publication.repository, HfApi(library_name="nlakit")
        with _refusals(name):
            if self.existing is None:
                patiently(lambda: api.create_repo(name, private=self.private, exist_ok=True))
            if self.revision is not None:
                patiently(lambda: api.create_branch(name, branch=self.revision or "", exist_ok=True))
            # The operations remember what was sent, so each attempt gets its own.
            done = patiently(
                lambda: api.create_commit(
                    name,
                    self._operations(),
                    commit_message=message or "Publish a pair with nlakit",
                    revision=self.revision,
                    parent_commit=None if self.existing is None else self.existing.commit,
                )
            )
        return str(done.commit_url)

    def _operations(self) -> list[CommitOperationAdd | CommitOperationDelete]:
        """Return what the commit does: add every file, and remove what an earlier pair had in the same folders."""
        contents, there = self.publication.contents, () if self.existing is None else self.existing.sizes
        ours = (VERBALIZER, RECONSTRUCTOR, WARM_START)
        stale = [path for path in there if path not in contents and path.split("/")[0] in ours]
        return [
            *(CommitOperationAdd(path_in_repo=path, path_or_fileobj=content) for path, content in contents.items()),
            *(CommitOperationDelete(path_in_repo=path) for path in stale),
        ]


def push_pair(pair_folder: Path, repository: str, *, private: bool = True, revision: str | None = None, target: str | None = None,
              licence: str | None = None, message: str | None = None) -> str:  # fmt: skip
    """Publish a pair's folder without asking; returns the commit's address. Raises as the steps do that it is made of."""
    publication = Publication.of(pair_folder, repository, target=target, licence=licence)
    return Upload.prepare(publication, private=private, revision=revision).run(message)


def _existing(name: str, revision: str | None) -> Repository | None:
    """Look up what is there: on the branch that is named or, as a new branch begins there, on the default one."""
    try:
        existing = look_up(name)
        if existing is None or revision is None:
            return existing
        with suppress(PairError):
            existing = look_up(name, revision)
    except UnreachableError as error:
        raise _silent(name) from error
    return existing


def _files(folder: Path, warm_start: bool) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Divide the files of a pair's folder into those that are published, by their path there, and the others."""
    halves = [VERBALIZER, RECONSTRUCTOR]
    halves += [f"{WARM_START}/{half}" for half in halves] if warm_start else []
    chosen, left_out = {}, []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = path.relative_to(folder).as_posix()
        if name == STATS_FILE or (name.rpartition("/")[0] in halves and name.endswith((WEIGHTS, *SETTINGS))):
            chosen[name] = path
        elif name not in (CARD_FILE, README):
            left_out.append(name)
    return chosen, tuple(left_out)


def _content(path: Path, model: str) -> bytes | Path:
    """Return what is published of a file: weights as they lie there, once they are known to be whole; settings as bytes."""
    if path.name.endswith(WEIGHTS):
        try:
            with safe_open(str(path), framework="pt") as file:
                _ = file.keys()
        except (OSError, SafetensorError) as error:
            raise PublishError(f"{path} is damaged and not published: {error}.") from error
        return path
    content = path.read_bytes()
    if not path.name.endswith(".json"):
        return content
    try:
        return named_after(content, model)
    except ValueError as error:
        raise PublishError(f"{path} is damaged and not published: {error}.") from error


def _require_clean(contents: Mapping[str, bytes | Path]) -> None:
    """Raise ``PublishError`` with every place that holds what must not leave this machine."""
    found = [
        problem
        for name, content in contents.items()
        if isinstance(content, bytes) and not name.endswith(UNSCANNED)
        for problem in problems(name, content)
    ]
    if found:
        raise PublishError(
            f"this is not published: {'; '.join(found)}. Take it out of the pair's folder and try again."
        )


def _target_remarks(card: Card, target: str | None) -> Iterator[str]:
    if target is not None and card.target.fingerprint is not None:
        yield f"whether {target} has the weights that the pair reads is checked when it is loaded, and not here"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Turn what goes wrong on the way to the Hub into one sentence."""
    try:
        yield
    except UserError:
        raise
    except HfHubHTTPError as error:
        raise _refused(name, error) from error
    except (OfflineModeIsEnabled, HTTP_ERROR) as error:
        raise UnreachableError(
            f"the Hugging Face Hub cannot be reached, so nothing was published as {name!r}."
        ) from error
    except (HFValidationError, ValueError, RuntimeError, OSError) as error:
        cause = error.__cause__
        if isinstance(error, RuntimeError) and isinstance(cause, HfHubHTTPError):
            raise _refused(name, cause) from error
        said = " ".join(f"{error} {cause if isinstance(error, RuntimeError) else ''}".split())
        raise PublishError(f"{name!r} was not published: {said:.500}") from error


def _silent(name: str) -> UnreachableError:
    return UnreachableError(
        f"the Hugging Face Hub gives no answer, so nothing was published as {name!r}; try again when it can be reached."
    )


def _refused(name: str, error: HfHubHTTPError) -> PublishError:
    """Say what the Hub's answer means for somebody who publishes."""
    status = 404 if isinstance(error, RepositoryNotFoundError) else error.response.status_code
    reasons = {
        401: "your token is not accepted; log in again with 'hf auth login', or set HF_TOKEN",
        403: f"your token may not write there; use one that may write to {name.partition('/')[0]!r}",
        404: "the repository is not there, or your token may not write to it",
        412: "somebody else changed the repository meanwhile; look at it and push again",
    }
    reason = reasons.get(status, f"the Hub answers {status}: {' '.join(str(error).split()):.300}")
    return PublishError(f"nothing was published as {name!r}: {reason}.")
