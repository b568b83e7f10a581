"""The command that serves a pair over HTTP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nlakit.cli.options import JsonOption, file_option
from nlakit.cli.output import print_json
from nlakit.plugins import DEFAULT_PAIR


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    pair: Annotated[
        str,
        typer.Argument(metavar="PAIR", help="Name of an installed pair, a folder with one, or OWNER/NAME on the Hub."),
    ] = DEFAULT_PAIR,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; any but this machine's wants a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Port to listen at; 0 takes a free one.")
    ] = 8321,
    cache: Annotated[
        Path | None, file_option("--cache", "FILE.sqlite", "Keep explanations and links in this file; default: memory.")
    ] = None,
    waiting: Annotated[
        int, typer.Option("--waiting", min=16, help="Explanations that may wait; more are refused with 429.")
    ] = 4_096,
    rate: Annotated[
        int, typer.Option("--rate", min=1, help="Requests a minute that a client may send; more are refused with 429.")
    ] = 600,
    audit: Annotated[
        Path | None, file_option("--audit", "FILE.jsonl", "Write down who read what, texts as hashes, in this file.")
    ] = None,
    redact: Annotated[
        bool,
        typer.Option(
            "--redact",
            help="Mask addresses and numbers in links and exports; the audit log then has the texts, so masked.",
        ),
    ] = False,
    runs: Annotated[
        Path | None, typer.Option("--runs", metavar="DIR", help="A folder of runs that clients may list.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a pair over HTTP.

    Answers the routes of the released NLA server (docs/serving.md). Needs the extra serve. Whoever lets other
    machines in with --host sets a token in the variable NLAKIT_TOKEN, which clients send in the header X-SECRET-KEY.

    \b
    Examples:
      nlakit serve
      nlakit serve runs/demo --port 9000 --cache readings.sqlite
      nlakit serve --audit audit.jsonl --redact
      NLAKIT_TOKEN=... nlakit serve --host 0.0.0.0
    """
    from nlakit.serve.running import door

    where = door(host, port)  # refused before anything is loaded
    from nlakit.models.pair import Pair
    from nlakit.serve import running
    from nlakit.serve.limits import Limits

    running.require_packages()
    limits = Limits(waiting=waiting, requests_per_minute=rate)

    def announce(address: str) -> None:
        if as_json:
            print_json({"pair": pair, "address": address})
            sys.stdout.flush()  # whoever waits for this line may read it through a pipe
        else:
            typer.echo(f"serving {pair} at {address}; stop with Ctrl-C", err=True)

    running.serve(Pair.from_pretrained(pair), where, limits, running.Kept(cache, audit, runs, redact), announce)
