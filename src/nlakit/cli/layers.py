"""Which layer of a target to read: a sweep without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlakit.cli.options import (
    CorpusOption,
    JsonOption,
    QuietOption,
    SetOption,
    file_option,
    parse_corpus,
    parse_ranges,
    picture_option,
)
from nlakit.cli.output import print_json, print_table
from nlakit.errors import ConfigError

if TYPE_CHECKING:
    from nlakit.card import Measure
    from nlakit.config import Recipe
    from nlakit.evaluate.layers.sweep import Sweep

TERRARIUM = "terrarium"
"""The target and the corpus that ship."""
_SHARES = ("earlier", "later", "next", "topic", "token")
"""Measures whose intervals stand in the JSON alone."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(layers)


def layers(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Name of an installed target, a model's folder or its name on the hub; default: terrarium.",
        ),
    ] = None,
    corpus: CorpusOption = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", metavar="RECIPE", help="Take target, corpus, rows and teacher from this recipe."),
    ] = None,
    documents: Annotated[
        int | None,
        typer.Option(
            "--documents", min=4, help="Documents to measure on; as many more for the truth.", show_default="800"
        ),
    ] = None,
    wanted: Annotated[
        str, typer.Option("--layers", metavar="LAYERS", help="Blocks to compare, such as 3,8-12; all for every one.")
    ] = "all",
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed of everything that is drawn.", show_default="the recipe's, or 0")
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
    out: Annotated[Path | None, file_option("--out", "FILE.json", "Write the JSON to this file as well.")] = None,
    picture: Annotated[Path | None, picture_option("Draw the layers into this file.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Compare a target's layers and recommend one.

    Nothing is trained. For each layer it measures what linear probes find in the vectors, how much of them a text can carry,
    and their norms. Where the corpus knows its truth, the recommendation is compared with it. How to read it: docs/layers.md.

    \b
    Examples:
      nlakit layers
      nlakit layers models/mine --corpus notes.jsonl --documents 400 --picture layers.svg
      nlakit layers --recipe mine.toml --layers 8-20 --json
    """
    from nlakit.evaluate.charts import require_matplotlib, standalone
    from nlakit.evaluate.layers.drawing import draw_sweep
    from nlakit.evaluate.layers.sweep import DOCUMENTS, sweep_layers
    from nlakit.progress import Progress
    from nlakit.storage import atomic_write_text, write_json

    if picture is not None:
        require_matplotlib("the picture")
    chosen = _recipe(model, corpus, recipe, seed, overrides or [])
    found = sweep_layers(
        chosen,
        documents=DOCUMENTS if documents is None else documents,
        layers=None if wanted == "all" else parse_ranges(wanted, "--layers", "a layer (0 is the first block)"),
        progress=Progress(silent=quiet or as_json),
    )
    if picture is not None:
        atomic_write_text(picture, standalone(draw_sweep(found)))
        typer.echo(f"wrote {picture}", err=True)
    if out is not None:
        write_json(out, found.to_json())
        typer.echo(f"wrote {out}", err=True)
    for remark in found.remarks:
        typer.echo(remark, err=True)
    if as_json:
        print_json(found.to_json())
        return
    _show(found)


def _show(found: Sweep) -> None:
    """Print the table, the recommendation and what the truth says of it."""
    from nlakit.evaluate.layers.choice import number

    typer.echo(
        f"{found.target} on {found.corpus}: {found.documents['asked']} documents asked, {found.documents['fit']} fitted; "
        f"text by {found.teacher}"
    )
    spans = {"FVE from text": "fve_text", "around the token": "context"}
    if found.truth is not None:
        spans["known facts"] = "facts"
    print_table(
        ("layer", "depth", *spans),
        [
            (line.layer, f"{line.depth:.2f}", *(_with_interval(line.measures[name]) for name in spans.values()))
            for line in found.lines
        ],
    )
    typer.echo()
    print_table(
        ("layer", *_SHARES, "median norm", "95th/5th", "outliers", "shared direction"),
        [
            (
                line.layer,
                *(number(line.measures[name].value) for name in _SHARES),
                f"{line.measures['norm'].value:.4g}",
                f"{line.measures['norm_spread'].value:.1f}",
                number(line.measures["norm_outliers"].value),
                number(line.measures["mean_share"].value),
            )
            for line in found.lines
        ],
    )
    typer.echo(f"\nrecommended: layer {found.recommendation.layer} (target.site = resid.{found.recommendation.layer})")
    typer.echo(found.recommendation.reason)
    if found.truth is not None:
        typer.echo(found.truth.verdict)


def _with_interval(measure: Measure) -> str:
    from nlakit.evaluate.layers.choice import interval, number

    return f"{number(measure.value)} ({interval(measure)})"


def _recipe(
    model: str | None, corpus: str | None, recipe: str | None, seed: int | None, overrides: list[str]
) -> Recipe:
    """Put a recipe together from the options; ConfigError when no text is named for a target of one's own."""
    from nlakit.recipe import load_recipe
    from nlakit.validation import override_settings

    if recipe is None and corpus is None and model not in (None, TERRARIUM):
        raise ConfigError(
            f"which text should {model!r} read? Give --corpus with a file, a folder or the name of a corpus, or a --recipe."
        )
    base = load_recipe(recipe) if recipe is not None else _default(corpus or TERRARIUM)
    changes: dict[str, Any] = {}
    if model is not None:
        changes["target"] = base.target.model_copy(update={"model": model, "revision": None})
    if corpus is not None:
        name, path = parse_corpus(corpus)
        changes["corpus"] = base.corpus.model_copy(update={"name": name, "path": path, "options": {}})
    if seed is not None:
        changes["seed"] = seed
    return override_settings(base.model_copy(update=changes), overrides, "nlakit layers")


def _default(corpus: str) -> Recipe:
    """The settings without a recipe: Terrarium's for Terrarium, else the defaults with quotations for text."""
    from nlakit.recipe import load_recipe, recipe_from

    if corpus == TERRARIUM:
        return load_recipe("terrarium-quick")
    plain = {"name": "layers", "description": "A sweep without a recipe.", "annotate": {"teacher": "extractive"}}
    return recipe_from(plain, "nlakit layers")
