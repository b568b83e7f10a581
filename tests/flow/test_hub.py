"""A pair from its run to the Hub and back to somebody else, through the commands alone."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.flow.test_evaluate import save_pair
from tests.hub import TOKEN, Hub
from tests.unit.evaluate import toy
from tests.unit.models.reference import layout as layouts

from nlakit.card import Card
from nlakit.cli import main
from nlakit.evaluate import runner
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.testing import tiny_corpus_file, tiny_recipe

TEXT = "The cat sat on the mat near the red door."


@pytest.fixture
def writer(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The Hub, for somebody who may write there as ``me``."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command that must end well and return the JSON it prints."""
    assert 0 == ended([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def measured_pair(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pair of a run of the toy world, measured by the run's own stage."""
    toy.install(monkeypatch)
    recipe = toy.toy_recipe(folder / "world")
    run = RunFolder(folder / "run")
    run.write_config(recipe)
    pair = save_pair(recipe, run.path / "pair")
    train = run.stage("train")
    train.begin({})
    train.finish({}, {"pair": "x"})
    runner.run(recipe, run, Progress(silent=True))
    return pair


def test_a_measured_pair_is_published_read_and_measured_again_by_name(
    writer: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page on the Hub has the run's numbers with rows and seed, and the name gives the same readings and measures."""
    pair = measured_pair(tmp_path, monkeypatch)
    writer.put("me/base", tmp_path / "world" / "target").files["README.md"] = b"---\nlicense: mit\n---\n"
    capsys.readouterr()

    sent = printed(["push", str(pair), "me/tiny", "--target", "me/base", "--public", "--yes"], capsys)

    repo = writer.repos["me/tiny"]
    assert (f"{writer.url}/me/tiny/commit/{repo.branches['main']}", False) == (sent["url"], sent["private"])
    assert set(sent["files"]) == set(repo.files) - {".gitattributes"}
    page = repo.files["README.md"].decode()
    fve = Card.load(pair).results["fve"]
    assert fve.value == yaml.safe_load(page.split("---\n")[1])["model-index"][0]["results"][0]["metrics"][0]["value"]
    assert "On 12 rows of " in page
    assert "seed 0, by nlakit" in page
    assert "license: mit" in page

    read = ["read", TEXT, "--positions", "2,5", "--seed", "4", "--pair"]
    assert printed([*read, str(pair)], capsys)["readings"] == printed([*read, "me/tiny"], capsys)["readings"]
    evaluate = ["evaluate", "--rows", "12", "--seed", "0"]
    assert printed([*evaluate, str(pair)], capsys) == printed([*evaluate, "me/tiny"], capsys)
    assert "me/base" == printed(["card", "me/tiny@main"], capsys)["target"]["model"]


def test_whoever_has_the_corpus_measures_the_pair_again(
    writer: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The corpus' path is not published, its name is; with the file in place the same rows come out, else one sentence."""
    recipe = tiny_recipe(tmp_path / "world")
    pair = save_pair(recipe, tmp_path / "pair")
    writer.put("me/base", tmp_path / "world" / "target")
    assert 0 == ended(["push", str(pair), "me/tiny", "--target", "me/base", "--license", "mit", "--yes", "--quiet"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    capsys.readouterr()

    assert 2 == ended(["evaluate", "me/tiny", "--rows", "12"])
    assert "corpus.jsonl" in capsys.readouterr().err
    shutil.copy(str(recipe.corpus.path), elsewhere / "corpus.jsonl")
    evaluate = ["evaluate", "--rows", "12"]
    assert printed([*evaluate, str(pair)], capsys) == printed([*evaluate, "me/tiny"], capsys)


def test_what_a_released_pair_cannot_be_asked_is_one_sentence(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``evaluate`` says what cannot be measured and why, before any weights come."""
    layout = layouts.write(tmp_path, "qwen2")
    for half in ("av", "ar"):
        hub.put(f"someone/tiny-{half}", layout.half(half))

    assert 2 == ended(["evaluate", "someone/tiny"])

    out, err = capsys.readouterr()
    sentence = [line for line in err.splitlines() if line.startswith("error:")]
    assert ("", 1) == (out, len(sentence))
    assert "'someone/tiny' cannot be measured: a released pair records neither the corpus" in sentence[0]
    assert "nor the mean and variance" in sentence[0]
    assert (
        "nlakit evaluate someone/tiny --set evaluate.corpus.name=jsonl --set evaluate.corpus.path=FILE" in sentence[0]
    )
    assert not [path for path in hub.fetched() if path.endswith(".safetensors")]


def test_a_released_pair_on_the_hub_is_measured_on_a_named_corpus(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a corpus named, its weights are fetched and its FVE is printed, with what that is measured against."""
    layout = layouts.write(tmp_path, "qwen2")
    for half in ("av", "ar"):
        hub.put(f"someone/tiny-{half}", layout.half(half))
    corpus = tiny_corpus_file(tmp_path / "notes.jsonl", 40)
    sets = ("name=jsonl", f"path={corpus}")
    settings = [part for name in sets for part in ("--set", f"evaluate.corpus.{name}")]
    few = ["--rows", "4", "--parts", "outputs", "--set", "evaluate.max_new_tokens=4", *settings]

    assert 0 == ended(["evaluate", "someone/tiny", *few])

    out, err = capsys.readouterr()
    assert "fve " in out
    assert "FVE is measured against the mean and variance of " in err


def test_pushing_asks_first(
    writer: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the plan is shown and only a yes goes on; elsewhere nothing goes without --yes."""
    pair = save_pair(tiny_recipe(tmp_path / "world"), tmp_path / "pair")
    writer.put("me/base", tmp_path / "world" / "target")
    arguments = ["push", str(pair), "me/tiny", "--target", "me/base"]

    assert 2 == ended(arguments)
    assert (
        "nothing was published as 'me/tiny', because nobody approved it; answer yes, or give --yes"
        in capsys.readouterr().err
    )

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for answer, code in (("n\n", 2), ("\n", 2), ("y\n", 0)):
        assert "me/tiny" not in writer.repos
        shown = Terminal()
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        monkeypatch.setattr("sys.stderr", shown)
        assert code == ended(arguments)
        assert "me/tiny (private), a new repository" in shown.getvalue()
        assert "corpus.path: only the name 'corpus.jsonl' of a path" in shown.getvalue()
    assert writer.repos["me/tiny"].private


def test_a_dry_run_needs_neither_token_nor_network(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder can be looked at and read; a second time it is one sentence, and what was there stays."""
    pair = save_pair(tiny_recipe(tmp_path / "world"), tmp_path / "pair")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    arguments = ["push", str(pair), "me/tiny", "--target", "me/base", "--dry-run", str(tmp_path / "dry")]

    assert 0 == ended(arguments)
    out, err = capsys.readouterr()
    assert str(tmp_path / "dry") == out.strip()
    err = " ".join(err.split())
    assert "note: the licence of me/base is not known here: look it up, and give it with --license" in err
    assert "license: unknown" in (tmp_path / "dry" / "README.md").read_text()
    assert 2 == ended(arguments)
    assert "dry exists already" in capsys.readouterr().err
    assert [] == hub.asked


def test_the_shipped_pair_can_be_published(writer: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its target comes with nlakit, so that nothing has to be named, and the licence is nlakit's own."""
    record = printed(["push", "terrarium", "me/terrarium", "--dry-run", str(tmp_path / "dry")], capsys)

    assert [] == record["remarks"]
    page = (tmp_path / "dry" / "README.md").read_text()
    assert "license: apache-2.0" in page
    assert "base_model" not in page
    assert "warm-start/verbalizer/model.safetensors" in record["files"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["terarium", "me/x"], "Did you mean 'terrarium'"),
        (["terrarium", "x"], "'x' is no name of a repository; give it as OWNER/NAME"),
        (["terrarium", "me/x", "--target", "base"], "--target 'base' is no repository"),
        (["no-such/folder", "me/x"], "there is no pair 'no-such/folder'"),
    ],
)
def test_a_push_that_cannot_be_is_one_sentence(
    hub: Hub, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong names end with 2 before anything is asked of anybody."""
    assert 2 == ended(["push", *arguments])

    out, err = capsys.readouterr()
    assert ("", 1) == (out, len(err.splitlines()))
    assert message in err
