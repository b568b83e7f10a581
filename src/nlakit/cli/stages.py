"""Commands that make a pair: the whole recipe, each stage alone, and the measuring of a finished pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlakit.cli.options import (
    JsonOption,
    QuietOption,
    RecipeArgument,
    ReportOption,
    RunOption,
    SetOption,
    YesOption,
    file_option,
)
from nlakit.cli.output import print_json, print_measures
from nlakit.errors import ConfigError
from nlakit.evaluate.suite import PARTS
from nlakit.plugins import DEFAULT_PAIR

if TYPE_CHECKING:
    from nlakit.evaluate.evaluation import Evaluation
    from nlakit.progress import Progress

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
    app.command()(evaluate)


def _help(name: str, about: str) -> str:
    text = "real-text --set corpus.path=book.txt --out runs/book"
    examples = {
        "grow": (text, "--out runs/book"),
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
    from nlakit.config import override_settings
    from nlakit.pipeline import run_stages
    from nlakit.progress import Progress
    from nlakit.recipe import load_recipe
    from nlakit.runs import RunFolder

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


def evaluate(
    pair: Annotated[
        str,
        typer.Argument(
            metavar="PAIR", help="Name of an installed pair, a folder with one, a run folder, or OWNER/NAME on the Hub."
        ),
    ] = DEFAULT_PAIR,
    rows: Annotated[
        int | None,
        typer.Option("--rows", min=1, help="Held-out rows to measure on.", show_default="1000"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            help="Seed of the choice of rows, of sampling and of the bootstrap.",
            show_default="0",
        ),
    ] = None,
    parts: Annotated[
        str | None,
        typer.Option(
            "--parts",
            metavar="PART,...",
            help=f"What to measure: {', '.join(PARTS)}; standard for those of minutes, all for all (docs/evaluation.md).",
            show_default="standard",
        ),
    ] = None,
    as_json: JsonOption = False,
    out: Annotated[Path | None, file_option("--out", "FILE.json", "Write the measures to this file as well.")] = None,
    report: ReportOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure a pair on held-out rows.

    Prints variance explained, its controls and the truth of claims, each with a bootstrap interval over
    documents. docs/metrics.md defines every measure. For a run folder, without --rows, --seed and --parts, this runs
    its stage evaluate: what is found is kept there for the report.

    \b
    Examples:
      nlakit evaluate
      nlakit evaluate runs/demo
      nlakit evaluate runs/demo/pair --rows 200 --json
      nlakit evaluate --parts support,words
      nlakit evaluate --parts all --report shipped
      nlakit evaluate me/my-pair
    """
    from nlakit.config import plain
    from nlakit.evaluate.charts import require_matplotlib
    from nlakit.evaluate.contents import ReportData
    from nlakit.evaluate.evaluation import by_reason
    from nlakit.evaluate.report import write_report
    from nlakit.progress import Progress
    from nlakit.storage import write_json

    if report is not None:
        require_matplotlib("the report")
    progress = Progress(silent=quiet or as_json)
    given = {"rows": rows, "seed": seed, "parts": None if parts is None else tuple(parts.replace(" ", "").split(","))}
    given = {name: value for name, value in given.items() if value is not None}
    measure = _measure_run if (Path(pair) / "config.json").is_file() else _measure_pair
    evaluation = measure(pair, given, progress)
    measures = {name: plain(found) for name, found in evaluation.measures.items()}
    if out is not None:
        write_json(out, measures)
    if report is not None:
        typer.echo(f"wrote {write_report(ReportData(evaluation.pair, evaluation), report)}", err=True)
    if as_json:
        print_json(measures)
    else:
        print_measures(measures)
        for reason, names in by_reason(evaluation.left_out):
            typer.echo(f"not measured: {', '.join(names)}: {reason}", err=True)


def _measure_pair(pair: str, given: Mapping[str, Any], progress: Progress) -> Evaluation:
    from nlakit.config import EvaluateConfig
    from nlakit.evaluate.runner import evaluate

    return evaluate(pair, EvaluateConfig(**given), progress)


def _measure_run(path: str, given: Mapping[str, Any], progress: Progress) -> Evaluation:
    """Do the stage evaluate of a run; with settings of its own, measure the run's pair and keep nothing."""
    from nlakit.evaluate.evaluation import Evaluation
    from nlakit.evaluate.runner import pair_of
    from nlakit.pipeline import run_stages
    from nlakit.runs import RunFolder

    folder = RunFolder.existing(path)
    if given:
        return _measure_pair(str(pair_of(folder)), given, progress)
    written = run_stages(folder.recipe(), folder, progress, ["evaluate"])["evaluate"]
    return Evaluation.load(written.parent)
