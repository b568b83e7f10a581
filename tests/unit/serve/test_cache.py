"""The cache of explanations: by content, bounded, and alive after a kill."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys

import pytest
import torch

from nlakit.errors import ConfigError
from nlakit.explanations import Outcome
from nlakit.models.readings import Score, ScoredExplanation
from nlakit.models.sampler import Wish
from nlakit.serve.cache import ReadingCache, content_key, pair_fingerprint
from nlakit.testing import tiny_pair

FOUND = ScoredExplanation("A place: the park.", Outcome.OK, Score(0.25, 0.875, None))
FAILED = ScoredExplanation("A pla", Outcome.CUT_OFF)


def test_what_was_put_comes_back():
    """Text, outcome and score survive; what was never put is None."""
    with ReadingCache(None, 10) as cache:
        cache.put({b"1": FOUND, b"2": FAILED})
        assert cache.get([b"2", b"3", b"1"]) == [FAILED, None, FOUND]


def test_the_key_is_the_content():
    """Equal content has one key; another pair, vector, temperature, length or seed has another."""
    vector_D = torch.randn(8, generator=torch.Generator().manual_seed(0))
    same = content_key("p", vector_D, Wish(1.0, 8, 0))
    others = {
        content_key("q", vector_D, Wish(1.0, 8, 0)),
        content_key("p", vector_D + 1e-6, Wish(1.0, 8, 0)),
        content_key("p", vector_D, Wish(0.5, 8, 0)),
        content_key("p", vector_D, Wish(1.0, 9, 0)),
        content_key("p", vector_D, Wish(1.0, 8, 1)),
    }

    assert same == content_key("p", vector_D.double(), Wish(1.0, 8, 0))
    assert len(others | {same}) == 6


def test_the_least_recently_used_goes_first():
    """Over the capacity the one goes that nobody asked for longest."""
    with ReadingCache(None, 2) as cache:
        cache.put({b"1": FOUND})
        cache.put({b"2": FOUND})
        cache.get([b"1"])
        cache.put({b"3": FOUND})
        assert [item is not None for item in cache.get([b"1", b"2", b"3"])] == [True, False, True]
        assert len(cache) == 2


def test_it_survives_a_kill(tmp_path):
    """A process that is killed right after a put leaves what it put."""
    path = tmp_path / "cache.sqlite"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom nlakit.serve.cache import ReadingCache\n"
        "from nlakit.models.readings import ScoredExplanation\nfrom nlakit.explanations import Outcome\n"
        "cache = ReadingCache(Path(sys.argv[1]), 10)\n"
        "cache.put({b'1': ScoredExplanation('kept', Outcome.OK)})\nprint('put', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "put\n"
        os.kill(process.pid, signal.SIGKILL)
    with ReadingCache(path, 10) as cache:
        assert cache.get([b"1"]) == [ScoredExplanation("kept", Outcome.OK)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_file_is_set_aside(tmp_path):
    """A file that is no database does not keep the server from starting, and is not thrown away."""
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with ReadingCache(path, 10) as cache:
        cache.put({b"1": FOUND})
        assert cache.get([b"1"]) == [FOUND]
    assert (tmp_path / "cache.sqlite.damaged").read_bytes().startswith(b"no database")


def test_a_folder_is_no_cache_and_stays_where_it_is(tmp_path):
    """A wrong path is refused with the option to change, and nothing is moved."""
    folder = tmp_path / "runs"
    folder.mkdir()
    with pytest.raises(ConfigError, match="--cache"):
        ReadingCache(folder, 10)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_another_head_or_scale_is_another_pair():
    """Whatever an explanation or its score depends on is part of the pair's fingerprint."""
    pair = tiny_pair()
    first = pair_fingerprint(pair)
    assert pair_fingerprint(tiny_pair()) == first
    pair.card = pair.card.model_copy(update={"injection_scale": 2 * pair.card.injection_scale})
    second = pair_fingerprint(pair)
    with torch.no_grad():
        pair.reconstructor.value_head.weight.neg_()
    assert len({first, second, pair_fingerprint(pair)}) == 3
