"""Finding pairs: the order in which places are looked at, downloads that are checked before they start, refusals in words."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from tests.hub import BAD_TOKEN, TOKEN, Answer, Fault, Hub
from tests.unit.models.reference import layout as layouts

from nlakit.card import Card
from nlakit.errors import CardError, ModelError, NotFoundError, PairError, StorageFullError, UnreachableError
from nlakit.models.locate import locate
from nlakit.models.pair import Pair, load_card, pair_folder
from nlakit.testing import tiny_pair_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny pair with its weights from before reinforcement learning, and a stranger's files."""
    folder = tiny_pair_folder(tmp_path_factory.mktemp("made"))
    for half in ("verbalizer", "reconstructor"):
        shutil.copytree(folder / half, folder / "warm-start" / half)
    for name in ("harmful.py", "verbalizer/pytorch_model.bin", "notes.txt"):
        (folder / name).write_text("import os")
    return folder


def test_a_pair_on_the_hub_is_read_as_the_one_on_the_disk(hub: Hub, made: Path) -> None:
    """``owner/name`` with a card gives the same weights and the same readings."""
    repo = hub.put("someone/tiny", made)

    here, there = Pair.from_pretrained(made), Pair.from_pretrained("someone/tiny")

    vectors_ND = torch.randn((3, 32), generator=torch.Generator().manual_seed(0))
    assert here.describe(vectors_ND) == there.describe(vectors_ND)
    texts = ["a cat", "the red door"]
    assert torch.equal(here.reconstruct(texts), there.reconstruct(texts))
    assert here.read("The cat sat.", seed=1) == there.read("The cat sat.", seed=1)
    for name in ("verbalizer/model.safetensors", "reconstructor/value_head.safetensors"):
        fetched = locate("someone/tiny") / name
        assert fetched.read_bytes() == repo.files[name]
        assert load_file(fetched)


def test_only_what_a_pair_needs_is_fetched(hub: Hub, made: Path) -> None:
    """No code, no pickle, nothing of a stranger's kind, and the weights from before only when they are asked for."""
    hub.put("someone/tiny", made)

    load_card("someone/tiny")
    assert {"card.yaml", "stats.safetensors"} == set(hub.fetched())

    locate("someone/tiny")
    assert not [path for path in hub.fetched() if path.startswith("warm-start/") and path.endswith(".safetensors")]

    folder = pair_folder("someone/tiny")
    assert (folder / "warm-start/verbalizer/model.safetensors").is_file()
    assert len(set(hub.fetched())) == len(hub.fetched())
    assert {".safetensors", ".json", ".yaml", ".jinja"} == {Path(path).suffix for path in hub.fetched()}


def test_the_card_is_checked_before_any_weights_come(hub: Hub, made: Path) -> None:
    """A card that this version cannot read stops the download at a few kilobytes."""
    repo = hub.put("someone/tiny", made)
    repo.files["card.yaml"] = repo.files["card.yaml"].replace(b"schema_version: 1", b"schema_version: 9")

    with pytest.raises(CardError, match="schema_version 9"):
        locate("someone/tiny")
    assert not [path for path in hub.fetched() if path.endswith("model.safetensors")]


def test_a_branch_that_moves_meanwhile_changes_nothing(hub: Hub, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Card and weights are of one commit."""
    repo = hub.put("someone/tiny", made)
    first, load = repo.branches["main"], Card.load

    def move(folder: Path) -> Card:
        repo.commit("main", {"card.yaml": b"another"})
        return load(folder)

    monkeypatch.setattr("nlakit.models.locate.Card.load", move)

    assert first == locate("someone/tiny").name


def test_a_revision_is_a_branch_or_a_commit(hub: Hub, made: Path) -> None:
    """``revision=`` and ``@`` name what is read, both at once must agree, and what is on the disk has none."""
    repo = hub.put("someone/tiny", made)
    first = repo.branches["main"]
    renamed = {**repo.files, "card.yaml": repo.files["card.yaml"].replace(b"name: tiny", b"name: newer")}
    repo.commit("main", renamed)
    repo.branches["paper"] = first

    assert "newer" == load_card("someone/tiny").name
    assert "tiny" == load_card("someone/tiny", revision="paper").name
    assert "tiny" == load_card("someone/tiny@paper").name
    assert "tiny" == load_card(f"someone/tiny@{first}").name
    with pytest.raises(PairError, match="has no revision 'v9'; give a commit, tag or branch"):
        load_card("someone/tiny", revision="v9")
    with pytest.raises(PairError, match="'paper', and 'v9' is asked for"):
        load_card("someone/tiny@paper", revision="v9")
    with pytest.raises(PairError, match="is on this disk and has no revision 'v9'"):
        load_card(made, revision="v9")


def test_the_order_in_which_places_are_looked_at(
    hub: Hub, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed, then a folder, then the Hub's own layout, then the two repositories of a released pair."""
    layout = layouts.write(tmp_path / "released", "qwen2")
    for name in ("someone/tiny", "someone/both", "terrarium/terrarium"):
        hub.put(name, made)
    for half in ("av", "ar"):
        hub.put(f"someone/both-{half}", layout.half(half))
        hub.put(f"someone/released-{half}", layout.half(half))
    monkeypatch.chdir(tmp_path)

    assert "terrarium" in str(locate("terrarium"))
    assert [] == hub.asked
    assert isinstance(locate("someone/both"), Path)
    released = locate("someone/released")
    assert ["someone/released-av", "someone/released-ar"] == [half.name for half in released]
    assert released == locate("someone/released-ar")
    shutil.copytree(made, tmp_path / "someone" / "tiny")
    before = len(hub.asked)
    assert Path("someone/tiny") == locate("someone/tiny")
    assert before == len(hub.asked)
    with pytest.raises(NotFoundError, match="Did you mean 'terrarium'"):
        locate("terarium")


@pytest.mark.parametrize(
    ("name", "expected", "message"),
    [
        ("someone/nothing", PairError, "no pair 'someone/nothing'.*neither .*'someone/nothing-av'.*'hf auth login'"),
        ("kitft/nla-qwen2.5-7b-l20", PairError, "Did you mean 'kitft/nla-qwen2.5-7b-L20'"),
        ("me/hidden", PairError, "that you may read"),
        ("someone/model", PairError, "'someone/model' is no pair: it has no card.yaml"),
        ("someone/gated", ModelError, "is gated: accept its terms at http.*/someone/gated"),
    ],
)
def test_what_the_hub_does_not_give_is_one_sentence(
    hub: Hub, made: Path, name: str, expected: type[Exception], message: str
) -> None:
    """An unknown, a private, a gated repository and one that is no pair: each says what to do, and nothing is half there."""
    hub.put("someone/model", made / "verbalizer")
    hub.put("someone/gated", made, gated=True)
    hub.put("me/hidden", made, private=True)

    with pytest.raises(expected, match=message) as caught:
        locate(name)
    assert "\n" not in str(caught.value)


def test_a_private_pair_is_read_with_a_token(hub: Hub, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variable opens it; a token that is not accepted is said to be so, and not shown."""
    hub.put("me/hidden", made, private=True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "tiny" == load_card("me/hidden").name

    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ModelError, match="does not accept your token for 'me/hidden'; log in again") as caught:
        load_card("me/hidden", revision="main")
    assert "hf_wrong" not in str(caught.value)


def test_a_fault_of_the_hub_is_waited_out(hub: Hub, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again after an error 500; one that stays is told from a missing network."""
    hub.put("someone/tiny", made)
    monkeypatch.setattr("nlakit.models.hub.time.sleep", lambda _: None)
    hub.faults = [
        Fault("/api/models/someone/tiny", Answer(500, {"error": "oops"}), times=2),
        Fault("/resolve/", Answer(503, {"error": "busy"}), times=2, method="GET"),
    ]
    assert "tiny" == load_card("someone/tiny").name
    assert [0, 0] == [fault.times for fault in hub.faults]

    hub.faults = [Fault("/api/models/someone/other", Answer(502, {"error": "oops"}), times=99)]
    with pytest.raises(UnreachableError, match="answers 502 for 'someone/other', a fault of its own; try again"):
        load_card("someone/other")


def test_a_wrong_token_is_not_asked_with_twice(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only faults of the Hub are worth another attempt."""
    hub.faults = [Fault("/api/models", BAD_TOKEN, times=99)]

    with pytest.raises(ModelError, match="does not accept your token"):
        load_card("someone/tiny")
    assert 1 == len(hub.asked)


@pytest.mark.parametrize("how", ["no server", "offline mode"])
def test_without_a_network_an_earlier_download_serves(
    hub: Hub, made: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched is read from the cache, and what was not is said to need the network."""
    hub.put("someone/tiny", made)
    hub.put("someone/card", made)
    before = locate("someone/tiny")
    load_card("someone/card")
    if how == "no server":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    else:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    assert before == locate("someone/tiny")
    assert "tiny" == load_card("someone/card").name
    for name in ("someone/other", "someone/card"):
        with pytest.raises(UnreachableError, match=f"cannot be reached and '{name}' was not downloaded"):
            locate(name)


def test_a_download_without_room_does_not_start(hub: Hub, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has both sizes and the cure, and no weights were asked for; what is there already needs no room."""
    hub.put("someone/tiny", made)
    free = {"bytes": 100_000}
    usage = type("Usage", (), {"free": property(lambda _: free["bytes"])})()
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)

    with pytest.raises(StorageFullError, match="needs about 0 MB and its disk has 0 MB free.*point HF_HOME"):
        locate("someone/tiny")
    assert not [path for path in hub.fetched() if path.endswith("model.safetensors")]

    free["bytes"] = 10**9
    locate("someone/tiny")
    free["bytes"] = 0
    assert locate("someone/tiny").is_dir()
