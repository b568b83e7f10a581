"""Where a server may listen."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from nlakit.errors import ConfigError, MissingExtraError
from nlakit.serve import running
from nlakit.serve.limits import Limits
from nlakit.serve.running import TOKEN_VARIABLE, door
from nlakit.testing import tiny_pair


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.1"])
def test_this_machine_alone_needs_no_token(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback nobody else comes in; then only its own names are answered."""
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    found = door(host, 8321)

    assert found.token is None
    assert found.names is not None
    assert "localhost" in found.names


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org"])  # noqa: S104 - what is refused
def test_other_machines_need_a_token(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lets others in without a token is told how to set one; with one, any name is answered."""
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=f"{TOKEN_VARIABLE}"):
        door(host, 8321)
    monkeypatch.setenv(TOKEN_VARIABLE, "sixteen letters and more")
    assert door(host, 8321).names is None


def test_a_token_that_can_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short token is no token; the message does not repeat it."""
    monkeypatch.setenv(TOKEN_VARIABLE, "hunter2")
    with pytest.raises(ConfigError, match="7 characters") as caught:
        door("127.0.0.1", 8321)
    assert "hunter2" not in str(caught.value)


def test_missing_packages_are_named_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the command that installs it is said."""
    monkeypatch.setattr(running, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(MissingExtraError, match=r"'uvicorn'.*pip install 'nlakit\[serve\]'"):
        running.require_packages()


def test_a_taken_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port on which somebody listens is a sentence that names it and the option."""
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port}: .*--port"):
            running.serve(tiny_pair(), door("127.0.0.1", port), Limits(), running.Kept(), lambda _address: None)


def test_the_command_serves_says_where_and_ends(tmp_path: Path) -> None:
    """Started on a free port it prints its address, answers there, keeps explanations, and ends quietly when it is interrupted."""
    command = [
        sys.executable,
        "-m",
        "nlakit",
        "serve",
        "--port",
        "0",
        "--cache",
        str(tmp_path / "kept.sqlite"),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["address"]
        body = {"text": "Mia put the key in the box.", "positions": [-1]}
        assert httpx.post(f"{address}/explain", json=body, timeout=60).status_code == 200
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert (tmp_path / "kept.sqlite").stat().st_size > 0
