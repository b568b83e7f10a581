"""Commands around Terrarium, the generated world whose every fact is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nlakit.cli.options import JsonOption, QuietOption, SeedOption, SetOption
from nlakit.cli.output import print_json, print_measures

group = typer.Typer(
    help="Look into Terrarium, the world with known truth.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the command group of this module."""
    app.add_typer(group, name="terrarium")


@group.command()
def show(
    documents: Annotated[int, typer.Option("--documents", min=1, help="Documents to show.")] = 2,
    family: Annotated[str | None, typer.Option("--family", help="Only this family; default: all in turn.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Show documents with what is true at their end.

    \b
    Example:
      nlakit terrarium show --documents 2
    """
    from nlakit import terrarium

    shown: list[dict[str, Any]] = [
        {"id": document.id, "text": document.text, "truth": document.truth(len(document.text))}
        for document in terrarium.sample_documents(documents, family=family, seed=seed)
    ]
    if as_json:
        print_json(shown)
        return
    for document in shown:
        typer.echo(f"# {document['id']}\n{document['text']}")
        for kind in ("facts", "planned"):
            for slot, value in dict(document["truth"][kind]).items():
                typer.echo(f"  {kind}: {slot} = {value}")
        typer.echo()


@group.command()
def grow(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the model and its checkpoints.")],
    overrides: SetOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the small target model of this world.

    Killed in the middle, the same command goes on where it was.

    \b
    Examples:
      nlakit terrarium grow --out runs/target
      nlakit terrarium grow --out runs/tiny --set steps=100 --set width=64
    """
    from nlakit import terrarium
    from nlakit.progress import Progress
    from nlakit.terrarium.target import GrowConfig
    from nlakit.validation import override_settings

    config = override_settings(GrowConfig(), overrides or (), "the settings of terrarium grow")
    folder = terrarium.grow(out, config, Progress(silent=quiet or as_json))
    if as_json:
        print_json({"model": str(folder)})
    else:
        typer.echo(str(folder))


@group.command()
def behaviour(
    model: Annotated[str, typer.Option("--model", help="The shipped target, or a folder with another.")] = "terrarium",
    documents: Annotated[int, typer.Option("--documents", min=1, help="Held-out documents of each family.")] = 200,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure what the target model can do.

    Prints its loss beside the world's entropy, and how often it does each family's task right.

    \b
    Example:
      nlakit terrarium behaviour --json
    """
    from nlakit import terrarium
    from nlakit.config import plain

    found = terrarium.measure_target(model, documents=documents, seed=seed)
    measures = {name: plain(measure) for name, measure in found.items()}
    if as_json:
        print_json(measures)
    else:
        print_measures(measures)
