"""Commands that make a pair: the whole recipe, and each stage alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

from nlakit.cli.options import JsonOption, QuietOption, RecipeArgument, RunOption, SetOption, YesOption
from nlakit.cli.output import print_json
from nlakit.errors import ConfigError

_RUN = (
    "Do every stage of a recipe.\n\nThey are extract, annotate, warm-start, train, evaluate and report; grow before them where "
    "the recipe grows its target, and ground before warm-start where it grounds its explanations."
)
_STAGES = {
    "grow": "Train a small target from nothing on the corpus.\n\nFor a recipe with target.model = grown.",
    "extract": "Read the target's activations into a store.",
    "annotate": "Let the teacher write explanations.",
    "ground": "Take out of the explanations what the vectors do not hold.\n\nFor a recipe with ground.by other than nothing.",
    "warm-start": "Train both halves on the explanations.",
    "train": "Improve the pair by reinforcement learning.",
    "report": "Draw the measures of a run into report.html.",
}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("run", help=_help("run", _RUN))(_command(None))
    for stage, about in _STAGES.items():
        app.command(stage, help=_help(stage, about))(_command(stage))


def _help(name: str, about: str) -> str:
    text = "real-text --set corpus.path=book.txt --out runs/book"
    examples = {
        "grow": (text, "--out runs/book"),
        "ground": ("terrarium-full --out runs/full", "--out runs/full"),
        "run": ("terrarium-quick --out runs/demo", text, "--out runs/demo"),
    }.get(name, ("terrarium-quick --out runs/demo", "--out runs/demo"))
    return (
        f"{about}\n\nKilled in the middle, the same command goes on where it was; what is finished is not done again.\n\n"
        "\b\nExamples:\n" + "\n".join(f"  nlakit {name} {example}" for example in examples)
    )


def _command(stage: str | None) -> Callable[..., None]:
    """Make the command of one stage, or of all; only those that may ask a teacher have ``--yes``."""

    def paying(
        recipe: RecipeArgument = None,
        out: RunOption = None,
        overrides: SetOption = None,
        yes: YesOption = False,
        quiet: QuietOption = False,
        as_json: JsonOption = False,
    ) -> None:
        _run(stage, recipe, out, overrides, quiet, as_json, yes)

    def command(
        recipe: RecipeArgument = None,
        out: RunOption = None,
        overrides: SetOption = None,
        quiet: QuietOption = False,
        as_json: JsonOption = False,
    ) -> None:
        _run(stage, recipe, out, overrides, quiet, as_json, False)

    return paying if stage in (None, "annotate") else command


def _run(
    stage: str | None,
    name: str | None,
    out: Path | None,
    overrides: list[str] | None,
    quiet: bool,
    as_json: bool,
    yes: bool,
) -> None:
    """Resolve recipe and folder, run one stage or all, and print where the result is."""
    from nlakit.pipeline import run_stages
    from nlakit.progress import Progress
    from nlakit.recipe import load_recipe
    from nlakit.runs import RunFolder
    from nlakit.validation import override_settings

    if name is not None:
        recipe = load_recipe(name, overrides or ())
        folder = RunFolder(out if out is not None else Path("runs") / recipe.name)
    elif out is not None:
        folder = RunFolder.existing(out)
        recipe = override_settings(folder.recipe(), overrides or (), str(out))
    else:
        raise ConfigError(
            "neither a recipe nor a run folder was given; name a recipe (nlakit recipes list) or give --out DIR"
        )
    progress = Progress(silent=quiet or as_json, yes=yes)
    outputs = run_stages(recipe, folder, progress, stages=None if stage is None else [stage])
    if as_json:
        print_json({"run": str(folder.path), "outputs": {key: str(path) for key, path in outputs.items()}})
    else:
        typer.echo(str(list(outputs.values())[-1]))
