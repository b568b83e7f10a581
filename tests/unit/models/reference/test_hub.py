"""Finding released pairs: names and folders, downloads that are checked before they start, and the Hub's refusals in words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tests.unit.models.reference import layout as layouts

from nlakit.cli import main
from nlakit.errors import ModelError, PairError, StorageFullError
from nlakit.models.pair import load_card
from nlakit.models.reference import hub
from nlakit.models.reference.hub import fetch, find_released

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """Answers as ``snapshot_download`` does, from folders; remembers what was asked."""

    def __init__(self, folders: dict[str, Path], *, size: int = 1000, error: Exception | None = None) -> None:
        self.folders, self.size, self.error, self.asked = folders, size, error, []

    def __call__(self, repository, *, revision, allow_patterns, dry_run=False, local_files_only=False):
        self.asked.append((repository, revision, tuple(allow_patterns), dry_run, local_files_only))
        if self.error is not None and not local_files_only:
            raise self.error
        if repository not in self.folders:
            raise LocalEntryNotFoundError("not here")
        if dry_run:
            return [SimpleNamespace(file_size=self.size, will_download=True, commit_hash=COMMIT)]
        return str(self.folders[repository])


def refusal(kind):
    """An error of the Hub without the response that it came with."""
    error = kind.__new__(kind)
    Exception.__init__(error, "refused")
    return error


@pytest.fixture
def install(monkeypatch):
    def put(fake):
        monkeypatch.setattr(hub, "snapshot_download", fake)
        return fake

    return put


def test_a_name_means_two_repositories():
    """``owner/name`` is ``owner/name-av`` and ``owner/name-ar``, whichever of them is named."""
    for name in ("kitft/nla-qwen2.5-7b-L20", "kitft/nla-qwen2.5-7b-L20-av", "kitft/nla-qwen2.5-7b-L20-ar"):
        found = find_released(name)
        assert ("kitft/nla-qwen2.5-7b-L20-av", "kitft/nla-qwen2.5-7b-L20-ar") == tuple(half.name for half in found)


@pytest.mark.parametrize("name", ["terrarium", "./a/b", "a/b/c", "src/nothing", "/a/b", Path("a/b")])
def test_what_is_no_repository_is_not_looked_for_on_the_hub(name, monkeypatch):
    """Plain names, paths, and what would lie in a folder that is here stay here."""
    monkeypatch.chdir(Path(__file__).parents[4])

    assert find_released(name) is None


def test_a_pair_is_downloaded_at_one_commit_and_only_what_is_needed(install, tmp_path):
    """Side files come first, weights later at the same commit, and nothing that could run code; the card records the commit."""
    layout = layouts.write(tmp_path, "qwen2")
    fake = install(FakeHub({f"someone/tiny-{half}": layout.half(half) for half in ("av", "ar")}))

    card = load_card("someone/tiny")

    assert COMMIT == card.source["verbalizer"]["commit"] == card.source["reconstructor"]["commit"]
    assert not any("*.safetensors" in patterns for _, _, patterns, _, _ in fake.asked)
    assert [None, COMMIT] == [revision for name, revision, *_ in fake.asked if name.endswith("av")]
    half, _ = find_released("someone/tiny")
    fetch(half, revision=COMMIT)
    assert {"*.safetensors", "*.json", "*.yaml", "*.jinja"} == set(fake.asked[-1][2])


def test_a_download_without_room_does_not_start(install, tmp_path, monkeypatch):
    """The message has both sizes, and nothing but the plan was asked for."""
    fake = install(FakeHub({"someone/tiny-av": tmp_path}, size=10**15))

    with pytest.raises(StorageFullError, match="needs about 1,000,000,000 MB .* point HF_HOME"):
        fetch(find_released("someone/tiny")[0])

    assert [True] == [dry for *_, dry, _ in fake.asked]


@pytest.mark.parametrize(
    ("kind", "expected", "message"),
    [
        (
            RepositoryNotFoundError,
            PairError,
            "no repository 'kitft/nla-qwen2.5-7b-l20-av'.*Did you mean 'kitft/nla-qwen2.5-7b-L20'",
        ),
        (GatedRepoError, ModelError, "is gated: accept its terms at https"),
        (RevisionNotFoundError, PairError, "has no revision 'v9'"),
        (LocalEntryNotFoundError, ModelError, "cannot be reached and .* was not downloaded before"),
    ],
)
def test_a_refusal_of_the_hub_is_one_sentence(install, kind, expected, message):
    """An unknown repository names the nearest release; terms, revisions and a missing network say what to do."""
    install(FakeHub({}, error=refusal(kind)))

    with pytest.raises(expected, match=message) as caught:
        fetch(find_released("kitft/nla-qwen2.5-7b-l20")[0], revision="v9")
    assert "\n" not in str(caught.value)


def test_without_a_network_an_earlier_download_serves(install, tmp_path):
    """What is in the cache is used, and its folder's name is its commit."""
    cached = tmp_path / COMMIT
    layouts.write_meta(cached, {"kind": "nla_model"})
    install(FakeHub({"someone/tiny-av": cached}, error=refusal(LocalEntryNotFoundError)))

    assert COMMIT == fetch(find_released("someone/tiny")[0]).commit


def test_a_repository_that_is_no_pair_is_named(install, tmp_path):
    """Without a side file there is nothing to go by."""
    install(FakeHub({"someone/tiny-av": tmp_path}))

    with pytest.raises(PairError, match="'someone/tiny-av' has no nla_meta.yaml"):
        fetch(find_released("someone/tiny")[0])


def test_the_command_ends_with_2_for_an_unknown_repository(install, capsys):
    """``nlakit card owner/name`` prints one line and no traceback."""
    install(FakeHub({}, error=refusal(RepositoryNotFoundError)))

    with pytest.raises(SystemExit) as stop:
        main(["card", "someone/nothing"])

    assert 2 == stop.value.code
    assert "error: there is no repository 'someone/nothing-av'" in capsys.readouterr().err
