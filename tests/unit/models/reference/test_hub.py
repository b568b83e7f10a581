"""Finding released pairs: names and folders, and both repositories of one that is on the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hub import Hub
from tests.unit.models.reference import layout as layouts

from nlakit.cli import main
from nlakit.errors import PairError, UnreachableError
from nlakit.models.pair import Pair, load_card
from nlakit.models.reference.hub import fetch, find_released


def publish(hub: Hub, folder: Path, name: str = "someone/tiny") -> dict[str, str]:
    """Put a tiny pair of the released layout on the Hub; returns the commit of each half."""
    layout = layouts.write(folder, "qwen2")
    return {half: hub.put(f"{name}-{half}", layout.half(half)).branches["main"] for half in ("av", "ar")}


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


def test_a_pair_is_downloaded_at_one_commit_and_only_what_is_needed(hub, tmp_path):
    """Side files come first, weights later at the same commit, and nothing that could run code; the card records the commit."""
    commits = publish(hub, tmp_path)
    for half in commits:
        hub.repos[f"someone/tiny-{half}"].files["modeling_tiny.py"] = b"import os"

    card = load_card("someone/tiny")

    assert commits == {"av": card.source["verbalizer"]["commit"], "ar": card.source["reconstructor"]["commit"]}
    assert not [path for path in hub.fetched() if path.endswith(".safetensors")]
    pair = Pair.from_pretrained("someone/tiny", load_target=False)
    assert torch_rows(pair) == torch_rows(Pair.from_pretrained(tmp_path / "tiny", load_target=False))
    assert {".safetensors", ".json", ".yaml", ".jinja"} >= {Path(path).suffix for path in hub.fetched()}


def torch_rows(pair: Pair) -> list[list[float]]:
    rows: list[list[float]] = pair.reconstruct(["a cat", "the red door"]).tolist()
    return rows


def test_halves_of_any_name_are_read_at_a_revision(hub, tmp_path):
    """``from_reference`` takes two repositories, and a revision of both."""
    layout = layouts.write(tmp_path, "qwen2")
    for half in ("av", "ar"):
        repo = hub.put(f"someone/my-{half}-half", layout.half(half))
        repo.branches["v1"] = repo.branches["main"]

    pair = Pair.from_reference("someone/my-av-half", "someone/my-ar-half", revision="v1", load_target=False)

    assert "someone/my-ar-half" == pair.card.source["reconstructor"]["name"]
    with pytest.raises(PairError, match="no revision 'v2'"):
        Pair.from_reference("someone/my-av-half", "someone/my-ar-half", revision="v2", load_target=False)


def test_without_a_network_an_earlier_download_serves(hub, tmp_path, monkeypatch):
    """What is in the cache is used, under the name that it was fetched by."""
    commits = publish(hub, tmp_path)
    load_card("someone/tiny")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    assert commits["av"] == load_card("someone/tiny").source["verbalizer"]["commit"]
    with pytest.raises(UnreachableError, match="'someone/other' was not downloaded before"):
        load_card("someone/other")


def test_half_a_pair_is_no_pair(hub, tmp_path):
    """A missing half, and a half without a side file, are named."""
    publish(hub, tmp_path)
    bare = hub.put("someone/bare-av", tmp_path / "tiny-av")
    del bare.files["nla_meta.yaml"], hub.repos["someone/tiny-ar"]

    with pytest.raises(PairError, match="there is no repository 'someone/tiny-ar'"):
        load_card("someone/tiny")
    with pytest.raises(PairError, match="'someone/bare-av' has no nla_meta.yaml"):
        fetch(find_released("someone/bare")[0])


def test_the_command_ends_with_2_for_an_unknown_repository(hub, capsys):
    """``nlakit card owner/name`` prints one line and no traceback."""
    with pytest.raises(SystemExit) as stop:
        main(["card", "someone/nothing"])

    assert 2 == stop.value.code
    assert "error: there is no pair 'someone/nothing'" in capsys.readouterr().err
