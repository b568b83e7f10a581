"""The command that publishes a pair on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlakit.cli.options import JsonOption, QuietOption
from nlakit.cli.output import print_json
from nlakit.errors import PublishError


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(push)


def push(
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="Name of an installed pair, or a folder with one.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hub; made if not there.")],
    public: Annotated[bool, typer.Option("--public", help="Let everybody see it; default: private.")] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="BRANCH", help="Branch to commit to; default: the main one.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="OWNER/NAME[@REVISION]",
            help="Where others find the target; needed when the card names a folder.",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", metavar="ID", help="Licence of the target, such as apache-2.0; default: looked up."),
    ] = None,
    warm_start: Annotated[
        bool,
        typer.Option(
            "--warm-start/--no-warm-start", help="Publish the weights from before reinforcement learning too."
        ),
    ] = True,
    dry_run: Annotated[
        Path | None,
        typer.Option("--dry-run", metavar="DIR", help="Write what would be published to DIR, and upload nothing."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Upload without being asked.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Publish a pair on the Hugging Face Hub.

    Shows what would be uploaded and asks, because what was published cannot be taken back. A model card is written from
    what the pair records: what it reads, what was measured, how far to trust it. Log in with 'hf auth login', or set HF_TOKEN.

    \b
    Examples:
      nlakit push runs/demo/pair me/my-pair --dry-run look-at-this
      nlakit push runs/demo/pair me/my-pair
      nlakit push runs/mine/pair me/my-pair --target Qwen/Qwen2.5-0.5B-Instruct --public --yes
    """
    from nlakit.models.pair import pair_folder
    from nlakit.progress import Progress
    from nlakit.publish.push import Publication, Upload

    publication = Publication.of(pair_folder(pair), repository, target=target, licence=licence, warm_start=warm_start)
    record = {"repository": repository, "files": publication.sizes(), "remarks": publication.remarks}
    progress = Progress(silent=quiet or as_json, yes=yes)
    if dry_run is not None:
        folder = publication.write(dry_run)
        for remark in publication.remarks:
            progress.say(f"note: {remark}")
        if as_json:
            print_json({**record, "folder": str(folder)})
        else:
            typer.echo(str(folder))
        return
    upload = Upload.prepare(publication, private=not public, revision=revision)
    if not progress.confirm(upload.plan()):
        raise PublishError(
            f"nothing was published as {repository!r}, because nobody approved it; answer yes, or give --yes."
        )
    if progress.silent:
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    url = upload.run()
    if as_json:
        print_json({**record, "private": not public, "url": url})
    else:
        typer.echo(url)
