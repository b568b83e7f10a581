"""The ``nlakit`` command: thin wrappers around functions of the library.

Heavy imports sit inside the commands, so that ``nlakit --help`` answers at once and without torch.
:func:`main` is the one place that decides how an error ends a command: a :class:`~nlakit.errors.UserError`
is a message and exit 2, an interrupt is exit 130, anything else a traceback and exit 1.

Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from nlakit.cli import doctor, inspect, layers, measure, pairs, plan, publish, serve, stages, terrarium
from nlakit.errors import UserError
from nlakit.storage import is_disk_full

INTERRUPTED = 130

app = typer.Typer(
    name="nlakit",
    help="Put a language model's activations into words, and check the words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Start with: nlakit read 'One morning, Mia put the key in the box.'",
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(version("nlakit"))
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            envvar="NLAKIT_DEVICE",
            metavar="cpu|cuda|cuda:N",
            help="Where models run; default: a GPU that PyTorch can use, else the processor.",
        ),
    ] = None,
) -> None:
    if device is not None:
        os.environ["NLAKIT_DEVICE"] = device  # read wherever a model is loaded, in worker processes too


stages.register(app)
measure.register(app)
pairs.register(app)
publish.register(app)
inspect.register(app)
plan.register(app)
layers.register(app)
doctor.register(app)
serve.register(app)
terrarium.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    try:
        get_command(app).main(args=arguments, prog_name="nlakit")
    except UserError as error:
        _complain(str(error))
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            typer.echo("interrupted: run it again to go on", err=True)
        raise
    except Exception as error:
        if is_disk_full(error):
            _complain(f"the disk is full ({error}); free some space and run the same command again")
        elif isinstance(error, OSError) and error.filename is not None:
            _complain(f"{error.filename} cannot be read or written: {error.strerror}")
        else:
            raise
        sys.exit(2)


def _complain(message: str) -> None:
    """Print an error in red where standard error is a terminal that wants colour."""
    color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    typer.secho(f"error: {message}", fg="red" if color else None, err=True)
