"""Tests of nlakit.cli and nlakit.pipeline: what commands print, and how they end."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from scripts.docs import commands
from typer.testing import CliRunner

from nlakit import pipeline
from nlakit.cli import app, main
from nlakit.cli.options import load_vectors, parse_positions, read_messages
from nlakit.cli.output import print_json, print_measures, write_lines
from nlakit.config import Recipe
from nlakit.errors import InputError, InternalError, RunError, StorageFullError
from nlakit.progress import Progress
from nlakit.recipe import load_recipe
from nlakit.runs import RunFolder

LEAVES = [path[1:] for path, command in commands() if not hasattr(command, "commands")]
Stages = list[str]


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Replace every stage by one that only marks itself done; returns the names of those that worked."""
    worked: Stages = []

    def fake(name: str) -> Callable[[Recipe, RunFolder, Progress], Path]:
        def stage(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
            settings = {"steps": recipe.train.steps}
            if folder.check_stage(name, settings, folder.path / name) != "done":
                worked.append(name)
                folder.stage(name).finish(settings)
            return folder.path / name

        return stage

    monkeypatch.setattr(pipeline, "load_stage", fake)
    return worked


def ended(arguments: list[str]) -> int:
    """Run the real entry point and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    """The help of a command says what it does and shows how it is called."""
    result = CliRunner().invoke(app, [*path, "--help"])

    assert 0 == result.exit_code
    assert f"  nlakit {' '.join(path)}" in result.output.split("Example", 1)[1]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_offers_json(path: tuple[str, ...]) -> None:
    """Every command offers --json in its help."""
    assert "--json" in CliRunner().invoke(app, [*path, "--help"]).output


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_short_help_fits_the_overview(path: tuple[str, ...]) -> None:
    """No command's first sentence is cut off in the overview."""
    overview = CliRunner().invoke(app, [*path[:-1], "--help"]).output.split("Commands:")[1]

    assert "..." not in overview


def test_help_does_not_import_torch() -> None:
    """Help answers without the libraries that take seconds to load."""
    heavy = ("torch", "transformers", "pyarrow", "sklearn", "matplotlib")
    code = (
        "import sys\nfrom nlakit.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert "[]" == shown.splitlines()[-1]


def test_python_dash_m_runs_the_command() -> None:
    """``python -m nlakit`` is ``nlakit``, for machines whose scripts are not on the path."""
    shown = subprocess.run(
        [sys.executable, "-m", "nlakit", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert shown == CliRunner().invoke(app, ["--version"]).stdout


def test_the_version_is_printed() -> None:
    """``nlakit --version`` prints the version and nothing else."""
    result = CliRunner().invoke(app, ["--version"])

    assert (0, 3) == (result.exit_code, len(result.output.strip().split(".")))


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "terrarium-quik"],
        ["run", "terrarium-quick", "--set", "train.stepz=3"],
        ["train", "--out", "no-such-run"],
        ["train"],
        ["read"],
        ["read", "text", "--messages", "chat.json"],
        ["read", "--messages", "no-such-file.json"],
        ["read", "text", "--positions", "b"],
        ["read", "text", "--pair", "no-such-pair"],
        ["recipes", "show", "no-such-recipe"],
        ["store", "verify", "no-such-store"],
        ["card", "no-such-pair"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_one_message_and_exit_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user's mistake gives a message without a traceback, exit 2, and no new file."""
    monkeypatch.chdir(tmp_path)

    assert 2 == ended(arguments)
    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert [] == list(tmp_path.iterdir())


def test_an_unknown_command_exits_2() -> None:
    """A misspelt command is the user's mistake as well."""
    assert 2 == ended(["raed"])


def failing(error: BaseException) -> Callable[[str], object]:
    def stage(*_: object) -> Path:
        raise error

    return lambda _: stage


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (RunError("the folder is in use"), 2, "error: the folder is in use\n"),
        (StorageFullError("the disk is full"), 2, "error: the disk is full\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 2, "error: /a/b cannot be read or written"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/a"), 2, "error: /a cannot be read or written"),
        (KeyboardInterrupt(), 130, "run it again to go on"),
    ],
    ids=["user error", "full disk", "full disk in a library", "forbidden file", "impossible name", "interrupt"],
)
def test_how_an_error_ends_a_command(
    error: BaseException,
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A user's problem is a message and 2, an interrupt is 130 and how to go on; neither shows a traceback."""
    monkeypatch.setattr(pipeline, "load_stage", failing(error))

    assert code == ended(["extract", "terrarium-quick", "--out", str(tmp_path / "run")])
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("error", [InternalError("a bug"), ZeroDivisionError(), OSError(errno.EIO, "broken disk")])
def test_our_fault_keeps_its_traceback(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else goes on to Python, which prints the traceback and exits with 1."""
    monkeypatch.setattr(pipeline, "load_stage", failing(error))

    with pytest.raises(type(error)):
        main(["extract", "terrarium-quick", "--out", str(tmp_path / "run")])


def test_a_traceback_exits_with_1() -> None:
    """A bug, seen from the shell, is a traceback on standard error and exit code 1."""
    code = (
        "import nlakit.pipeline as pipeline\nfrom nlakit.cli import main\nfrom nlakit.errors import InternalError\n"
        "def stage(name):\n    raise InternalError('a bug')\n"
        "pipeline.load_stage = stage\nimport tempfile\nmain(['extract', 'terrarium-quick', '--out', tempfile.mkdtemp()])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert 1 == result.returncode
    assert "Traceback" in result.stderr


def test_a_recipe_runs_all_stages_in_order_and_skips_those_that_are_done(
    stages: Stages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second run does nothing and says so, a line a stage."""
    folder = tmp_path / "run"
    command = ["run", "terrarium-quick", "--out", str(folder)]
    assert 0 == ended(command)
    assert pipeline.stages_of(load_recipe("terrarium-quick")) == stages
    assert f"{folder}/report\n" == capsys.readouterr().out.replace("\n/", "/")

    assert 0 == ended(command)
    assert ["extract", "annotate", "warm-start", "train", "evaluate", "report"] == stages
    err = capsys.readouterr().err
    assert len(stages) == err.count("was done")


def test_a_stage_takes_the_recipe_of_its_run(stages: Stages, tmp_path: Path) -> None:
    """After the first command, --out alone says what to do, overrides of the first time included."""
    folder = str(tmp_path / "run")
    ended(["extract", "terrarium-quick", "--out", folder, "--set", "train.steps=3"])
    assert 0 == ended(["train", "--out", folder])

    assert ["extract", "train"] == stages
    assert 3 == RunFolder.existing(folder).recipe().train.steps


def test_other_settings_name_the_stage_and_the_setting(
    stages: Stages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage that was made with other settings is not overwritten."""
    folder = str(tmp_path / "run")
    ended(["extract", "terrarium-quick", "--out", folder])

    assert 2 == ended(["extract", "--out", folder, "--set", "train.steps=3"])
    assert "steps: was" in capsys.readouterr().err


def test_a_folder_in_use_by_another_process_is_left_alone(
    stages: Stages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second process ends with 2 before it writes anything."""
    folder = tmp_path / "run"
    with RunFolder(folder).lock():
        assert 2 == ended(["run", "terrarium-quick", "--out", str(folder)])

    assert "is in use by process" in capsys.readouterr().err
    assert [] == stages
    assert not (folder / "config.json").exists()


def test_json_output_of_a_run_is_json_alone(stages: Stages, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json standard output parses and standard error is silent."""
    assert 0 == ended(["run", "terrarium-quick", "--out", str(tmp_path / "run"), "--json"])
    out, err = capsys.readouterr()

    assert stages == list(json.loads(out)["outputs"])
    assert "" == err


def test_every_stage_exists() -> None:
    """Each name in the table of stages leads to a function."""
    for name in pipeline.STAGES:
        assert callable(pipeline.load_stage(name))


def test_run_recipe_returns_the_report(stages: Stages, tmp_path: Path) -> None:
    """The library's own entrance does the same as the command."""
    expected = tmp_path / "run" / "report"

    assert expected == pipeline.run_recipe(load_recipe("terrarium-quick"), tmp_path / "run", Progress(silent=True))


def test_recipes_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The listing has every recipe; showing one has every setting, overrides included."""
    ended(["recipes", "list", "--json"])
    assert {"terrarium-quick", "terrarium-full", "real-text"} <= set(json.loads(capsys.readouterr().out))

    ended(["recipes", "show", "terrarium-quick", "--set", "train.steps=3", "--json"])
    assert 3 == json.loads(capsys.readouterr().out)["train"]["steps"]

    ended(["recipes", "show", "terrarium-quick"])
    shown = capsys.readouterr().out
    assert "train.kl_coefficient" in shown
    assert "evaluate.corpus.name" in shown

    ended(["recipes", "show", "terrarium-quick", "--set", "evaluate.corpus.name=text", "--json"])
    assert json.loads(capsys.readouterr().out)["evaluate"]["corpus"]["name"] == "text"


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("3", [3]), ("3,8-10", [3, 8, 9, 10]), (" 4 , 4,3-5", [4, 3, 5]), ("0-0", [0]), ("-1", [-1])],
)
def test_positions_are_numbers_and_ranges(text: str | None, expected: list[int] | None) -> None:
    """Ranges include both ends, and a position given twice is read once."""
    assert expected == parse_positions(text)


@pytest.mark.parametrize("text", ["", "a", "5-", "5-3", "1,,2", "1.5", "0-99999999", "9" * 5000])
def test_other_positions_are_refused(text: str) -> None:
    """The message repeats what came and shows the form."""
    with pytest.raises(InputError, match="neither a position .* nor a range like 8-12"):
        parse_positions(text)


@pytest.mark.parametrize("words", [["terrarium", "One morning"], ["One", "morning,", "Mia"]])
def test_a_text_without_quotes_or_behind_a_pair_is_told_how(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Several arguments to read end in a sentence that shows the quotes and --pair."""
    assert ended(["read", *words]) == 2
    assert f"came {len(words)} arguments" in (err := capsys.readouterr().err)
    assert 'nlakit read --pair PAIR "TEXT"' in err


def test_a_chat_is_read_from_a_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways give the same messages."""
    chat = [{"role": "user", "content": "Hello"}]
    (tmp_path / "chat.json").write_text(json.dumps(chat))
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(chat)))

    assert chat == read_messages(tmp_path / "chat.json") == read_messages(Path("-"))


@pytest.mark.parametrize("content", ["", "{}", "[]", '["hi"]', '[{"role": "user"}]'])
def test_what_is_no_chat_is_refused(content: str, tmp_path: Path) -> None:
    """The message shows the form that is expected."""
    (tmp_path / "chat.json").write_text(content)

    with pytest.raises(InputError, match="--messages"):
        read_messages(tmp_path / "chat.json")


def test_vectors_are_loaded_by_name_or_as_the_only_tensor(tmp_path: Path) -> None:
    """A file with one tensor needs no name; one with two lists them."""
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    save_file({"v": torch.ones(2, 3)}, one)
    save_file({"a": torch.ones(2, 3), "b": torch.zeros(1, 3) + 2}, two)

    assert (2, 3) == tuple(load_vectors(one, None, 3).shape)
    assert (1, 3) == tuple(load_vectors(two, "b").shape)
    with pytest.raises(InputError, match="holds the tensors a, b; choose one with --tensor"):
        load_vectors(two, None)
    with pytest.raises(InputError, match="holds the tensors v"):
        load_vectors(one, "w")


def test_vectors_that_cannot_be_used_are_refused_with_the_file(tmp_path: Path) -> None:
    """A wrong width, NaN, no file and a file of another kind each name the file."""
    path = tmp_path / "v.safetensors"
    save_file({"v": torch.full((2, 3), float("nan"))}, path)
    (tmp_path / "text").write_text("no tensors")

    with pytest.raises(InputError, match=r"v\.safetensors hold NaN"):
        load_vectors(path, None)
    with pytest.raises(InputError, match=r"v\.safetensors are 3 wide, expected 4"):
        load_vectors(path, None, 4)
    for missing in ("text", "absent"):
        with pytest.raises(InputError, match=f"{missing} cannot be read as safetensors"):
            load_vectors(tmp_path / missing, None)


def test_numbers_that_json_does_not_have_are_null(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """NaN and infinity never reach a JSON parser."""
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": True})
    assert {"a": None, "b": [None, 1.5], "c": True} == json.loads(capsys.readouterr().out)

    write_lines(tmp_path / "a.jsonl", [{"a": float("nan")}, {"a": 1}])
    assert '{"a": null}\n{"a": 1}\n' == (tmp_path / "a.jsonl").read_text()


def test_measures_are_printed_with_interval_count_and_split(capsys: pytest.CaptureFixture[str]) -> None:
    """A number never stands alone, and one that could not be measured is a dash."""
    print_measures(
        {
            "fve": {"value": 0.5, "low": 0.4, "high": 0.61, "n": 20, "split": "heldout"},
            "claims_true": {"value": None, "low": None, "high": None, "n": 0, "split": "heldout"},
        }
    )

    assert [
        "measure      value  95 % interval   n   split",
        "fve          0.500  0.400 to 0.610  20  heldout",
        "claims_true  -      -               0   heldout",
    ] == capsys.readouterr().out.splitlines()


def test_a_device_that_is_not_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--device names where models run; one that PyTorch does not have ends with a message that says what to give."""
    monkeypatch.setenv("NLAKIT_DEVICE", "auto")  # put back afterwards

    assert ended(["--device", "cuda:99", "read", "hello"]) == 2

    assert "the device 'cuda:99' cannot be used" in capsys.readouterr().err
