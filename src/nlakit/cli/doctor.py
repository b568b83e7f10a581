"""The command that looks for known mistakes in a model, a pair, a run or a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nlakit.cli.options import JsonOption, QuietOption
from nlakit.cli.output import print_json
from nlakit.plugins import DEFAULT_PAIR

if TYPE_CHECKING:
    from nlakit.doctor import Finding

MARKS = {"pass": "ok", "warning": "WARNING", "failure": "FAILURE"}
STYLES = {"pass": "green", "warning": "yellow", "failure": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="An installed pair or model, a folder with a pair, model, run or store, or a name on the Hub.",
        ),
    ] = DEFAULT_PAIR,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Look for the mistakes that break such pairs.

    Measures layers, tokens, injection, sampling, scores, splits, checkpoints and metrics of what is there, and says below
    each warning or failure what to do. Ends with exit code 2 when a check fails; docs/doctor.md explains each one.

    \b
    Examples:
      nlakit doctor
      nlakit doctor runs/demo
      nlakit doctor models/my-small-model --json
    """
    from nlakit.doctor import counted, examine
    from nlakit.progress import Progress

    findings = examine(what, progress=Progress(silent=quiet or as_json))
    if as_json:
        from dataclasses import asdict

        print_json([asdict(found) for found in findings])
    else:
        _print(findings)
        counts = {status: count for status, count in counted(findings).items() if count}
        typer.echo(f"{what}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    if any(found.status == "failure" for found in findings):
        raise typer.Exit(2)


def _print(findings: list[Finding]) -> None:
    """Print a table of what was looked at, and one line for what was not."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=False)
    table.add_column("", no_wrap=True)
    table.add_column("no.", justify="right")
    table.add_column("what must hold", ratio=2, overflow="fold")
    table.add_column("what was found", ratio=3, overflow="fold")
    for found in findings:
        if found.status == "not applicable":
            continue
        words = Text(found.found)
        if found.cure:
            words.append(f"\nCure: {found.cure}", style="italic")
        mark = Text(MARKS[found.status], style=STYLES[found.status])
        table.add_row(mark, str(found.number), found.title, words)
    Console().print(table)
    absent = [f"{found.number} {found.check}" for found in findings if found.status == "not applicable"]
    if absent:
        typer.echo(f"nothing to look at here: {', '.join(absent)}")
