"""Commands that measure a finished pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlakit.cli.options import (
    CorpusOption,
    JsonOption,
    QuietOption,
    ReportOption,
    YesOption,
    file_option,
    parse_corpus,
)
from nlakit.cli.output import print_json, print_measures, print_table
from nlakit.errors import ConfigError, InputError
from nlakit.evaluate.suite import PARTS
from nlakit.plugins import DEFAULT_PAIR

if TYPE_CHECKING:
    from nlakit.config import EvaluateConfig
    from nlakit.evaluate.evaluation import Evaluation
    from nlakit.progress import Progress


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(evaluate)
    app.command()(calibrate)


RowsOption = Annotated[
    int | None, typer.Option("--rows", min=1, help="Held-out rows to measure on.", show_default="1000")
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", help="Seed of the choice of rows, of sampling and of the bootstrap.", show_default="0"),
]
PartsOption = Annotated[
    str | None,
    typer.Option(
        "--parts",
        metavar="PART,...",
        help=f"What to measure: {', '.join(PARTS)}; standard for those of minutes, all for all (docs/evaluation.md).",
        show_default="standard",
    ),
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="PAIR",
        help="Another pair of the same target and layer to hold it against on the same rows, with the differences.",
    ),
]
EvaluateSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any setting of the table evaluate, for example evaluate.judge.teacher=openai; may be repeated.",
    ),
]
AnswersOption = Annotated[
    Path | None,
    typer.Option(
        "--answers",
        metavar="DIR",
        help="Folder that keeps the answers that are paid for; default: that of the pair's run, if it has one.",
    ),
]


def evaluate(
    pair: Annotated[
        str,
        typer.Argument(
            metavar="PAIR", help="Name of an installed pair, a folder with one, a run folder, or OWNER/NAME on the Hub."
        ),
    ] = DEFAULT_PAIR,
    rows: RowsOption = None,
    seed: SeedOption = None,
    parts: PartsOption = None,
    against: AgainstOption = None,
    overrides: EvaluateSetOption = None,
    yes: YesOption = False,
    answers: AnswersOption = None,
    as_json: JsonOption = False,
    out: Annotated[Path | None, file_option("--out", "FILE.json", "Write the measures to this file as well.")] = None,
    report: ReportOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure a pair on held-out rows.

    Prints variance explained, its controls and the truth of claims, each with a bootstrap interval over
    documents. docs/metrics.md defines every measure. For a run folder this runs its stage evaluate, and what is
    found is kept there for the report; settings given here are put over those of its recipe, and then nothing is
    kept. A model is asked to judge or to paraphrase only where the settings name one, and its cost has to be
    approved (docs/real-text.md).

    \b
    Examples:
      nlakit evaluate
      nlakit evaluate runs/demo
      nlakit evaluate runs/demo/pair --rows 200 --json
      nlakit evaluate --parts support,words
      nlakit evaluate --parts all --report shipped
      nlakit evaluate runs/new/pair --against runs/old/pair --parts truth
      nlakit evaluate runs/book --set evaluate.judge.teacher=openai --set evaluate.judge.options.model=MODEL
      nlakit evaluate runs/book --set evaluate.corpus.name=text --set evaluate.corpus.path=another.txt
      nlakit evaluate me/my-pair
      nlakit evaluate kitft/nla-qwen2.5-7b-L20 --set evaluate.corpus.name=jsonl --set evaluate.corpus.path=notes.jsonl
    """
    from nlakit.config import plain
    from nlakit.evaluate.charts import require_matplotlib
    from nlakit.evaluate.contents import ReportData
    from nlakit.evaluate.evaluation import by_reason
    from nlakit.evaluate.report import write_report
    from nlakit.evaluate.verdict import few_sentence, unread_sentence
    from nlakit.progress import Progress
    from nlakit.storage import write_json

    if report is not None:
        require_matplotlib("the report")
    progress = Progress(silent=quiet or as_json, yes=yes)
    chosen = None if parts is None else tuple(parts.replace(" ", "").split(","))
    given = {"rows": rows, "seed": seed, "parts": chosen, "against": against}
    given = {name: value for name, value in given.items() if value is not None}
    if (Path(pair) / "config.json").is_file():
        evaluation = _measure_run(pair, given, overrides or (), progress, answers)
    else:
        evaluation = _measure_pair(pair, _settings(given, overrides or ()), progress, answers)
    measures = {name: plain(found) for name, found in evaluation.measures.items()}
    if out is not None:
        write_json(out, measures)
    if report is not None:
        typer.echo(f"wrote {write_report(ReportData(evaluation.pair, evaluation), report)}", err=True)
    if as_json:
        print_json(measures)
    else:
        print_measures(measures)
    if evaluation.statistics:
        typer.echo(evaluation.statistics, err=True)
    for reason, names in by_reason(evaluation.left_out):
        typer.echo(f"not measured: {', '.join(names)}: {reason}", err=True)
    for warning in filter(None, (few_sentence(evaluation.documents), unread_sentence(evaluation.numbers))):
        typer.echo(warning, err=True)


def _settings(given: Mapping[str, Any], overrides: Sequence[str], base: EvaluateConfig | None = None) -> EvaluateConfig:
    """Return ``base``, or what holds without settings, with what is given; overrides name settings as a recipe does."""
    from nlakit.config import EvaluateConfig
    from nlakit.validation import apply_override, validated

    data: dict[str, Any] = {
        "evaluate": {**(base or EvaluateConfig()).model_dump(mode="json", exclude_none=True), **given}
    }
    for override in overrides:
        apply_override(data, override)
    if others := sorted(set(data) - {"evaluate"}):
        raise ConfigError(
            f"--set names {others[0]!r}; only settings of the table evaluate can be set here, such as evaluate.judge.teacher. How "
            "a pair was made is on its card."
        )
    return validated(EvaluateConfig, data["evaluate"], "the table evaluate with --set")


def _measure_pair(pair: str, config: EvaluateConfig, progress: Progress, answers: Path | None) -> Evaluation:
    from nlakit.evaluate.runner import evaluate

    return evaluate(pair, config, progress, answers)


def _measure_run(
    path: str, given: Mapping[str, Any], overrides: Sequence[str], progress: Progress, answers: Path | None
) -> Evaluation:
    """Do the stage evaluate of a run; with settings beside its recipe's, measure its pair and keep only what was paid for."""
    from nlakit.data.annotate import ANSWERS
    from nlakit.evaluate.evaluation import Evaluation
    from nlakit.evaluate.runner import pair_of
    from nlakit.pipeline import run_stages
    from nlakit.runs import RunFolder

    folder = RunFolder.existing(path)
    if given or overrides or answers:
        config = _settings(given, overrides, folder.recipe().evaluate)
        return _measure_pair(str(pair_of(folder)), config, progress, answers or folder.path / ANSWERS)
    written = run_stages(folder.recipe(), folder, progress, ["evaluate"])["evaluate"]
    return Evaluation.load(written.parent)


def calibrate(
    pair: Annotated[
        str, typer.Argument(metavar="PAIR", help="Folder of a pair, or of its run; with --corpus a released pair.")
    ],
    rows: Annotated[int, typer.Option("--rows", min=1, help="Training rows whose claims are fitted on.")] = 1000,
    corpus: CorpusOption = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a setting of the corpus, for example corpus.options.column=body; may be repeated.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the copy that --corpus makes; it must not exist."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit a pair's support score, or a released one's statistics.

    Explains rows of a training split, holds every claim against the truth, and notes on the pair's card how support follows from
    its signals; 'nlakit read --support' and the server use it from then on. Without it they use what was fitted on the pair that
    ships. 'nlakit evaluate PAIR --parts support' measures on held-out rows what it is worth.

    A released pair has no mean and variance of its vectors. With --corpus they are computed from rows of a training split of that
    corpus, and a copy of the pair whose card has them is written to --out: it can be read with support, served and evaluated.

    \b
    Examples:
      nlakit calibrate runs/demo
      nlakit calibrate runs/demo/pair --rows 2000 --json
      nlakit calibrate kitft/nla-qwen2.5-7b-L20 --corpus notes.jsonl --out qwen-L20
      nlakit calibrate OWNER/NAME --corpus datasets --set corpus.options.name=OWNER/DATASET --out pair
    """
    from nlakit.card import Card
    from nlakit.config import plain
    from nlakit.evaluate.calibrate import fit_support
    from nlakit.evaluate.runner import pair_of
    from nlakit.progress import Progress
    from nlakit.runs import RunFolder

    if corpus is not None or out is not None or overrides:
        _give_statistics(pair, corpus, overrides or (), out, as_json, Progress(silent=quiet or as_json))
        return
    folder = Path(pair)
    if not folder.is_dir():
        raise InputError(
            f"{pair!r} is not a folder; the card of an installed or published pair is not written to, so give the folder of "
            "a pair or of its run. A released pair takes --corpus and --out."
        )
    folder = pair_of(RunFolder.existing(folder)) if (folder / "config.json").is_file() else folder
    found = fit_support(folder, rows, Progress(silent=quiet or as_json))
    Card.load(folder).model_copy(update={"support": found}).save(folder)
    if as_json:
        print_json(plain(found))
        return
    fitted = found.fitted_on
    typer.echo(
        f"{fitted['pair']}: {fitted['claims']:,} claims of {fitted['rows']:,} rows, {100 * fitted['true']:.1f} % of them true"
    )
    weights = sorted(zip(found.signals, found.weights, strict=True), key=lambda item: -abs(item[1]))
    print_table(("signal", "weight of a standard deviation"), [(name, f"{weight:+.2f}") for name, weight in weights])
    typer.echo(f"written to {folder / 'card.yaml'}", err=True)


def _give_statistics(
    pair: str, corpus: str | None, overrides: Sequence[str], out: Path | None, as_json: bool, progress: Progress
) -> None:
    """Write a copy of a released pair with mean and variance on its card."""
    from nlakit.config import NewCorpusConfig
    from nlakit.evaluate.calibrate import save_with_statistics
    from nlakit.evaluate.released import NOTE, statistics_sentence
    from nlakit.validation import apply_override, validated

    if corpus is None or out is None:
        raise ConfigError(
            f"--corpus, --set and --out are for a released pair, whose card is not written to: give both a corpus and the folder "
            f"of the copy, as in: nlakit calibrate {pair} --corpus FILE --out DIR"
        )
    name, path = parse_corpus(corpus)
    data: dict[str, Any] = {"corpus": {"name": name, "path": path}}
    for override in overrides:
        apply_override(data, override)
    if others := sorted(set(data) - {"corpus"}):
        raise ConfigError(f"--set names {others[0]!r}; only settings of the table corpus can be set here.")
    settings = validated(NewCorpusConfig, data["corpus"], "the table corpus with --set")
    card = save_with_statistics(pair, settings, out, progress)
    if as_json:
        variance = card.require_stats().variance
        print_json({"pair": pair, "folder": str(out), "variance": variance, "statistics": card.data[NOTE]})
    else:
        typer.echo(statistics_sentence(card))
        typer.echo(f"written to {out}", err=True)
