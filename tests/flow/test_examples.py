"""The examples run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys

from scripts.docs import ROOT
from tests.serving import served

from nlakit.models.pair import Pair


def output(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested() -> None:
    """A new file among the examples is run here."""
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == {"believe.py", "live.py"}


def test_claims_come_with_a_verdict() -> None:
    """Three tokens, each with claims, their support and what to make of it."""
    lines = output("examples/believe.py").splitlines()
    assert len([line for line in lines if re.match(r"\d+ '", line)]) == 3
    claims = [line for line in lines if line.startswith("    ")]
    assert len(claims) >= 6
    assert all(re.match(r"    [01]\.\d\d (believe|check|a guess) ", line) for line in claims)


def test_an_answer_has_readings_between_its_words() -> None:
    """The words of the answer are printed and, between them, what the target holds."""
    with served(Pair.from_pretrained("terrarium")) as address:
        shown = output("examples/live.py", address)
    assert re.search(r"\n    \[\d+ '.*': .+\]\n", shown)
    assert re.sub(r"\n    \[.*\]\n", "", shown).strip()
