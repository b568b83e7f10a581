"""The model under a pair: where others find it, and who says which licence it comes under."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hub import TOKEN, Hub

from nlakit.card import TargetRecord
from nlakit.errors import PublishError
from nlakit.publish.base import find_base, published_target
from nlakit.testing import tiny_pair, tiny_target_folder


def record(model: str, **changes: object) -> TargetRecord:
    """The record of a tiny target under a name."""
    return tiny_pair().card.target.model_copy(update={"model": model, "revision": None, **changes})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_target_folder(tmp_path_factory.mktemp("model"))


def test_a_target_of_this_machine_needs_a_name_that_others_can_load() -> None:
    """A folder and a model that was made in memory are refused with the cure; the name that is given stands on the card."""
    known = tiny_pair().card
    for name in ("/home/me/model", "tiny-llama"):
        card = known.model_copy(update={"target": record(name)})
        with pytest.raises(PublishError, match=f"'{name}', which only this machine has.*--target OWNER/NAME"):
            published_target(card, None)
        assert ("me/base", None) == (lambda t: (t.model, t.revision))(published_target(card, "me/base"))
    found = published_target(known, "me/base@v1")
    assert ("me/base", "v1", known.target.fingerprint) == (found.model, found.revision, found.fingerprint)
    with pytest.raises(PublishError, match="'base' is no repository"):
        published_target(known, "base")


@pytest.mark.parametrize("name", ["terrarium", "owner/name"])
def test_a_target_that_others_can_load_stays(name: str) -> None:
    """Installed models and models of the Hub are named as the card names them."""
    card = tiny_pair().card.model_copy(update={"target": record(name)})

    assert card.target == published_target(card, None)


def test_the_package_that_installs_a_target_names_its_licence() -> None:
    """The shipped target comes under the licence of nlakit itself."""
    base = find_base(record("terrarium"), None)

    assert ("nlakit", {"license": "apache-2.0"}, "the package nlakit") == (base.package, base.licence, base.said_by)
    assert not base.on_hub


@pytest.mark.parametrize(
    ("readme", "expected"),
    [
        ("---\nlicense: MIT\n---\n", {"license": "mit"}),
        (
            "---\nlicense: other\nlicense_name: qwen\nlicense_link: https://example.com\n---\n",
            {"license": "other", "license_name": "qwen", "license_link": "https://example.com"},
        ),
        ("---\nlicense: unknown\n---\n", {}),
        ("no metadata", {}),
    ],
)
def test_the_model_card_of_the_target_names_its_licence(
    hub: Hub, model: Path, readme: str, expected: dict[str, str]
) -> None:
    """With the name and the text of one that is on no list; where it says nothing, the licence is unknown and asked for."""
    hub.put("some/model", model).files["README.md"] = readme.encode()

    base = find_base(record("some/model"), None)

    assert (True, expected) == (base.on_hub, base.licence)
    assert bool(expected) != any("the licence of some/model is not known here" in remark for remark in base.remarks)
    assert {"license": "gemma"} == find_base(record("some/model"), "Gemma").licence


def test_a_target_that_is_not_there_or_another_one_is_refused(hub: Hub, model: Path, tmp_path: Path) -> None:
    """No repository, one without a model, and one of another shape would make a pair that nobody can load."""
    hub.put("some/wide", tiny_target_folder(tmp_path, d=64))
    hub.put("some/empty", None)

    with pytest.raises(PublishError, match="there is no repository 'some/nothing'"):
        find_base(record("some/nothing"), None)
    with pytest.raises(PublishError, match="'some/empty' holds no model"):
        find_base(record("some/empty"), "mit")
    with pytest.raises(
        PublishError, match="is 64 wide with 3 blocks, and the pair reads a model that is 32 wide with 3"
    ):
        find_base(record("some/wide"), None)
    assert not [path for path in hub.fetched() if path != "config.json"]


def test_a_private_target_and_a_missing_network_are_remarked(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither stops a look at what would be published; both are said."""
    hub.put("me/model", model, private=True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "me/model is private: others cannot load it" in find_base(record("me/model"), "mit").remarks

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    base = find_base(record("some/other"), None)
    assert "the Hub was not reached, so some/other was not looked up" in base.remarks
