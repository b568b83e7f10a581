"""Options that several commands share, written once, and how their values are read."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlakit.errors import ConfigError, InputError
from nlakit.storage import require_writable

if TYPE_CHECKING:
    from torch import Tensor

CORPUS_KINDS = {".txt": "text", ".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv"}
"""Corpora of files by the ending of their files."""
PairOption = Annotated[
    str,
    typer.Option(
        "--pair",
        metavar="PAIR",
        help="Name of an installed pair, a folder with one, or OWNER/NAME[@REVISION] on the Hub.",
    ),
]
PairArgument = Annotated[
    str,
    typer.Argument(
        metavar="PAIR", help="Name of an installed pair, a folder with one, or OWNER/NAME[@REVISION] on the Hub."
    ),
]
RecipeArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE", help="Name of an installed recipe or a TOML file; default: that of the run folder."
    ),
]
RunOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Run folder; default: runs/NAME-OF-THE-RECIPE.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, for example train.steps=10; may be repeated."),
]
CorpusOption = Annotated[
    str | None,
    typer.Option(
        "--corpus",
        metavar="CORPUS",
        help="An installed corpus, or a file or folder of .txt, .jsonl, .parquet or .csv.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Approve what asking models costs, without being asked.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of everything that is drawn.")]
SamplesOption = Annotated[int, typer.Option("--samples", min=1, max=1000, help="Explanations for each vector.")]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", min=0.0, help="Sampling temperature; 0 takes the likeliest token every time.")
]


def _writable(path: Path | None) -> Path | None:
    """Refuse a file that cannot be written before anything is computed for it."""
    if path is not None:
        require_writable(path)
    return path


def file_option(name: str, metavar: str, text: str) -> Any:
    """Declare an option that names a file to write."""
    return typer.Option(name, metavar=metavar, help=text, callback=_writable)


def picture_option(text: str) -> Any:
    """Declare the option that names a picture to draw."""
    return typer.Option("--picture", metavar="FILE.svg", help=text, callback=_drawable)


def _drawable(path: Path | None) -> Path | None:
    """Refuse a picture of another kind than those that are drawn, or one that cannot be written."""
    if path is not None and path.suffix.lower() != ".svg":
        raise InputError(f"--picture got {str(path)!r}; pictures are drawn as SVG, so give it a name that ends in .svg")
    return _writable(path)


def _writable_report(folder: Path | None) -> Path | None:
    """Refuse a folder that no report can be written to before anything is measured for it."""
    if folder is not None:
        require_writable(folder / "report.html")
    return folder


ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="DIR",
        help="Draw report.html, report.md and report.json into this folder as well.",
        callback=_writable_report,
    ),
]
LinesOption = Annotated[Path | None, file_option("--out", "FILE.jsonl", "Write JSON lines to this file as well.")]
TensorOption = Annotated[
    str | None, typer.Option("--tensor", help="Which tensor of the file; needed when it holds several.")
]
VectorsArgument = Annotated[
    Path, typer.Argument(metavar="VECTORS.safetensors", help="File with one vector a row, (rows, width).")
]


def parse_corpus(name: str) -> tuple[str, str | None]:
    """Return kind and path of ``--corpus``: the name of an installed corpus, or files whose ending says their kind.

    Raises ConfigError for what is neither.
    """
    from nlakit import plugins
    from nlakit.errors import nearest

    path = Path(name)
    if name in plugins.names(plugins.CORPORA) and not path.exists():
        return name, None
    found = {path.suffix} if path.is_file() else {file.suffix for file in path.rglob("*")} if path.is_dir() else set()
    kinds = sorted(CORPUS_KINDS[suffix] for suffix in found & CORPUS_KINDS.keys())
    if len(kinds) == 1:
        return kinds[0], name
    known = f"{', '.join(CORPUS_KINDS)} (a folder: of one of these kinds)"
    said = (
        f"it holds {' and '.join(kinds)}"
        if kinds
        else "there is no such file, folder or corpus"
        if not found
        else "its ending says no kind"
    )
    raise ConfigError(
        f"--corpus {name!r}: {said}.{nearest(name, plugins.names(plugins.CORPORA))} Give a file or folder of {known}, or one of "
        f"the installed corpora ({', '.join(plugins.names(plugins.CORPORA))})."
    )


def read_text(argument: str) -> str:
    """Return the text of an argument, or standard input for ``-``; InputError when that is not UTF-8."""
    if argument != "-":
        return argument
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InputError(f"standard input is not UTF-8: {error}; convert it first") from error


def read_messages(path: Path) -> list[dict[str, str]]:
    """Read a chat, ``[{"role": ..., "content": ...}, ...]``, from a JSON file or standard input (``-``)."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        messages = json.loads(text)
    except (OSError, ValueError) as error:
        raise InputError(f"--messages {path} cannot be read as JSON: {error}") from error
    usable = isinstance(messages, list) and all(
        isinstance(message, dict) and {"role", "content"} <= message.keys() for message in messages
    )
    if not usable or not messages:
        raise InputError(f'--messages {path} must hold a list like [{{"role": "user", "content": "Hello"}}]')
    return messages


def parse_positions(text: str | None) -> list[int] | None:
    """Read ``"3,8-10,-1"`` as ``[3, 8, 9, 10, -1]``; none stays none, which means every position."""
    if text is None:
        return None
    return parse_ranges(text, "--positions", "a position (0 is the first token, -1 the last)")


def parse_ranges(text: str, option: str, noun: str) -> list[int]:
    """Read numbers and ranges, each number once; InputError names the ``option`` and says what a number there is."""
    numbers: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(?:(-?\d{1,6})|(\d{1,6})-(\d{1,6}))\s*", part)
        if match is None or (match[3] is not None and int(match[3]) < int(match[2])):
            raise InputError(
                f"{option} {text[:60]!r}: {part[:20]!r} is neither {noun} nor a range like 8-12, of six digits at most"
            )
        chosen = [int(match[1])] if match[1] is not None else range(int(match[2]), int(match[3]) + 1)
        numbers.update(dict.fromkeys(chosen))
    return list(numbers)


def load_vectors(path: Path, tensor: str | None, width: int | None = None) -> Tensor:
    """Read vectors (N, D) from a safetensors file; InputError for a file, tensor or shape that will not do."""
    from safetensors import SafetensorError, safe_open

    from nlakit.vectors import check_vectors

    try:
        with safe_open(str(path), framework="pt") as file:
            names = sorted(file.keys())
            name = tensor if tensor is not None else (names[0] if len(names) == 1 else None)
            if name is None or name not in names:
                held = f"the tensors {', '.join(names)}; choose one with --tensor NAME" if names else "no tensor"
                raise InputError(f"{path} holds {held}")
            vectors: Any = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as safetensors: {error}") from error
    return check_vectors(vectors, width, name=f"the vectors in {path}")
