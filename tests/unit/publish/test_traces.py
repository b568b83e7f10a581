"""What must not leave a machine: paths and private servers are taken out of the card, keys stop everything."""

from __future__ import annotations

import json

import pytest

from nlakit.publish.traces import is_path, named_after, problems, without_traces
from nlakit.testing import tiny_pair


def test_paths_become_names_and_private_servers_lose_theirs() -> None:
    """Wherever they stand on the card, each change is reported, and nothing else is touched."""
    data = {
        "corpus": {"path": "/home/somebody/secret-project/notes.jsonl", "documents": 5, "options": {"delimiter": "/"}},
        "annotate": {"options": {"pair": "~/pairs/mine", "base_url": "http://gpu17:8000/v1", "model": "owner/name"}},
        "teacher": {"endpoint": "http://gpu17:8000/v1", "instruction": "Say it.\n/home/x/y is part of the text"},
    }
    training = {"parents": ["C:\\Users\\x\\model", "../other/model"], "learning_rate": 1e-3}
    before = tiny_pair().card.model_copy(update={"data": data, "training": training})

    after, changes = without_traces(before)

    assert {"path": "notes.jsonl", "documents": 5, "options": {"delimiter": "/"}} == after.data["corpus"]
    assert {"pair": "mine", "base_url": "http://private.invalid:8000/v1", "model": "owner/name"} == after.data[
        "annotate"
    ]["options"]
    assert data["teacher"]["instruction"] == after.data["teacher"]["instruction"]
    assert {"parents": ["model", "model"], "learning_rate": 1e-3} == after.training
    assert 6 == len(changes)
    assert not [change for change in changes if "somebody" in change or "gpu17" in change]
    assert before.data == data


def test_reasons_tell_nothing_of_the_machine_either() -> None:
    """Why a measure is missing is a sentence in which a path or a server may stand."""
    reason = (
        "the teacher cannot be asked (no folder '/home/me/pairs/old', m at http://gpu17:8000/v1: 12 requests at 3/5)"
    )
    card = tiny_pair().card.model_copy(update={"measured": {"left_out": {"fve_teacher_text": reason}}})

    after, changes = without_traces(card)

    assert (
        "the teacher cannot be asked (no folder 'old', m at http://private.invalid:8000/v1: 12 requests at 3/5)"
        == (after.measured["left_out"]["fve_teacher_text"])
    )
    assert ["measured.left_out.fve_teacher_text: without paths and private servers"] == changes


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.anthropic.com", True),
        ("https://8.8.8.8/v1", True),
        ("http://127.0.0.1:8000/v1", False),
        ("http://10.1.2.3/v1", False),
        ("http://[::1]:8000/v1", False),
        ("http://localhost:8000", False),
        ("https://llm.company.internal/v1", False),
    ],
)
def test_only_servers_that_everybody_can_reach_are_named(url: str, kept: bool) -> None:
    """Numbers of private networks and names without a public ending say nothing to others."""
    card = tiny_pair().card.model_copy(update={"data": {"teacher": {"endpoint": url}}})

    assert kept == (url == without_traces(card)[0].data["teacher"]["endpoint"])


@pytest.mark.parametrize(
    "text",
    [
        "owner/name",
        "terrarium",
        "a text / with a bar",
        "/",
        "/no_think",
        "~ 5 words",
        "...and",
        "data/notes.jsonl",
        3,
        None,
    ],
)
def test_what_is_no_path_of_a_machine_stays(text: object) -> None:
    """Names on the Hub, relative paths and control words are not paths of a machine."""
    assert not is_path(text)


@pytest.mark.parametrize(
    "secret",
    [
        "hf_" + "a" * 34,
        "sk-ant-" + "b" * 30,
        "ghp_" + "c" * 36,
        "AKIA" + "D" * 16,
        "https://me:password1@example.com",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
@pytest.mark.parametrize("name", ["card.yaml", "verbalizer/config.json", "README.md"])
def test_what_looks_like_a_key_is_found_and_not_shown(secret: str, name: str) -> None:
    """In every kind of file; the place is named, the key is not."""
    text = json.dumps({"data": {"options": {"model": f"x {secret}"}}}) if name != "README.md" else f"line\n{secret}\n"

    found = list(problems(name, text.encode()))

    assert 1 == len(found)
    assert "looks like a key or a password" in found[0]
    assert ("options.model" in found[0]) or "line 2" in found[0]
    assert secret not in found[0]


def test_a_value_that_the_environment_keeps_as_a_secret_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of any form is known by the variable that holds it."""
    monkeypatch.setenv("MY_API_KEY", "correct horse battery")
    content = json.dumps({"a": ["correct horse battery staple"]}).encode()

    assert ["verbalizer/config.json, a holds what looks like a key or a password"] == list(
        problems("verbalizer/config.json", content)
    )
    monkeypatch.delenv("MY_API_KEY")
    assert [] == list(problems("verbalizer/config.json", content))


def test_a_path_of_this_machine_in_settings_is_found(tmp_path) -> None:
    """One that begins with a folder that is here, and not a word that only begins with a bar."""
    content = json.dumps({"cache": str(tmp_path / "x"), "token": "/think/hard", "nested": {"list": ["~/y"]}}).encode()

    assert ["f.json, cache holds a path of this machine", "f.json, nested.list holds a path of this machine"] == list(
        problems("f.json", content)
    )


def test_settings_name_the_target_and_not_the_folder_it_was_loaded_from() -> None:
    """What transformers and peft write of a folder becomes the target's name; other content stays byte for byte."""
    content = b'{"_name_or_path": "/home/x/model", "hidden_size": 8}'

    assert {"_name_or_path": "owner/name", "hidden_size": 8} == json.loads(named_after(content, "owner/name"))
    for untouched in (b'{"_name_or_path":   "gpt2"}', b"[1,  2]"):
        assert untouched == named_after(untouched, "owner/name")
