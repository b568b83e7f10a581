"""Commands around files: recipes shown, stores verified, data sets of the reference pipeline taken in and given out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlakit.cli.options import JsonOption, PairOption, SetOption
from nlakit.cli.output import print_json, print_table
from nlakit.plugins import DEFAULT_PAIR

recipes = typer.Typer(help="Show the recipes that are installed.", no_args_is_help=True, rich_markup_mode=None)
store = typer.Typer(help="Look after a store of rows.", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the command groups of this module."""
    app.add_typer(recipes, name="recipes")
    app.add_typer(store, name="store")


@recipes.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List the installed recipes.

    \b
    Example:
      nlakit recipes list
    """
    from nlakit.recipe import list_recipes

    known = list_recipes()
    if as_json:
        print_json(known)
    else:
        print_table(("recipe", "description"), list(known.items()))


@recipes.command("show")
def show(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of an installed recipe, or a TOML file.")],
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every setting of a recipe.

    Defaults are included; a recipe file of your own is checked.

    \b
    Examples:
      nlakit recipes show terrarium-quick
      nlakit recipes show mine.toml --set train.steps=10 --json
    """
    from nlakit.config import plain, recipe_fields
    from nlakit.recipe import load_recipe

    data = plain(load_recipe(recipe, overrides or ()))
    if as_json:
        print_json(data)
        return
    rows = []
    for key, _, _ in recipe_fields():
        value = data
        for part in key.split("."):
            value = None if value is None else value[part]
        rows.append((key, "none" if value is None else value))
    print_table(("setting", "value"), rows)


@store.command("verify")
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A store, for example runs/demo/extract.")],
    as_json: JsonOption = False,
) -> None:
    """Find damaged files of a store.

    Compares every file with the hash that was recorded when it was written; exit 2 on damage.

    \b
    Example:
      nlakit store verify runs/demo/extract
    """
    from nlakit.data.store import Store
    from nlakit.errors import DamagedShardError

    opened = Store(folder)
    problems = [str(problem) for problem in opened.verify()]
    if as_json:
        print_json({"store": str(folder), "rows": len(opened), "problems": problems})
        if problems:
            raise typer.Exit(2)
        return
    if problems:
        raise DamagedShardError(f"{folder} is damaged:\n" + "\n".join(f"  {problem}" for problem in problems))
    typer.echo(f"{folder}: {len(opened)} rows, every file is as it was written")


@store.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.parquet", help="A data set; FILE.parquet.nla_meta.yaml lies beside it.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the new store; it must not exist.")],
    split: Annotated[
        str | None,
        typer.Option("--split", help="av, ar, rl or heldout; default: what the side file's stage says."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a store of a data set of the reference pipeline.

    \b
    Example:
      nlakit store import rl.parquet --out store
    """
    from nlakit.data.reference import import_dataset
    from nlakit.data.store import Store

    opened = Store(import_dataset(file, out, split=split))
    if as_json:
        print_json({"store": str(out), "rows": len(opened), "width": opened.width})
    else:
        typer.echo(f"{out}: {len(opened)} rows of width {opened.width}")


@store.command("export")
def export_file(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A store, for example runs/demo/extract.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.parquet", help="File to write; it must not exist.")],
    pair: PairOption = DEFAULT_PAIR,
    split: Annotated[str, typer.Option("--split", help="av, ar, rl or heldout.")] = "rl",
    explanations: Annotated[
        Path | None,
        typer.Option("--explanations", metavar="DIR", help="Folder annotate of a run, for the splits av and ar."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a split of a store as a data set of the reference pipeline.

    The prompts are those of the pair.

    \b
    Example:
      nlakit store export runs/demo/extract --pair runs/demo/pair --split av --explanations runs/demo/annotate --out av.parquet
    """
    from nlakit.data.annotate import load_explanations
    from nlakit.data.reference import export_dataset
    from nlakit.data.store import Store
    from nlakit.models.pair import load_card

    texts = None if explanations is None else load_explanations(explanations, split)
    written = export_dataset(Store(folder), load_card(pair), out, split=split, explanations=texts)
    if as_json:
        print_json({"file": str(written), "split": split})
    else:
        typer.echo(str(written))
