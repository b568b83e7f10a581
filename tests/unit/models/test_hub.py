"""Language models on the Hugging Face Hub, against one on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hub import Hub

from nlakit.errors import ModelError, StorageFullError
from nlakit.models.hub import fetch_model
from nlakit.models.sizes import sizes_of
from nlakit.models.target import Target
from nlakit.testing import tiny_target_folder


def test_a_target_of_the_hub_is_the_one_that_was_put_there(hub: Hub, tmp_path: Path) -> None:
    """Its weights are those of the folder, and the commit that they were read at is remembered and loaded again."""
    folder = tiny_target_folder(tmp_path / "tiny")
    (folder / "pytorch_model.bin").write_bytes(b"could run code")
    (folder / "consolidated.safetensors").write_bytes(b"the same again for another program")
    repo = hub.put("somebody/tiny", folder)

    target = Target.load("somebody/tiny")

    assert target.fingerprint == Target.load(folder).fingerprint
    assert target.revision == repo.branches["main"]
    assert Target.load("somebody/tiny", target.revision).revision == target.revision
    assert not any("pytorch_model" in path or "consolidated" in path for path in hub.fetched())


def test_a_plan_fetches_no_weights(hub: Hub, tmp_path: Path) -> None:
    """The size of a model on the Hub is told from its configuration alone."""
    folder = tiny_target_folder(tmp_path / "tiny")
    hub.put("somebody/tiny", folder)

    assert sizes_of("somebody/tiny", 1) == sizes_of(str(folder), 1)
    assert [path.rsplit("/", 1)[-1] for path in hub.fetched()] == ["config.json"]


def test_models_that_cannot_be_had_are_refused_in_a_sentence(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such model, no such revision, terms to accept, no safetensors, no room on the disk: each says so."""
    folder = tiny_target_folder(tmp_path / "tiny")
    hub.put("somebody/tiny", folder)
    hub.put("somebody/gated", folder, gated=True)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    hub.put("somebody/old", folder)

    for name, revision, reason in (
        ("somebody/nothing", None, "no model 'somebody/nothing'"),
        ("terarium", None, "Did you mean 'terrarium'"),
        ("somebody/tiny", "v9", "no revision 'v9'"),
        ("somebody/gated", None, "accept its terms"),
        ("somebody/old", None, "no weights in safetensors"),
    ):
        with pytest.raises(ModelError, match=reason):
            Target.load(name, revision)

    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 10})())
    with pytest.raises(StorageFullError):
        fetch_model("somebody/tiny")
