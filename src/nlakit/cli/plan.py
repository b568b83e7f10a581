"""What a run will take, before anything is downloaded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from nlakit.cli.options import JsonOption, SetOption
from nlakit.cli.output import print_json, print_table
from nlakit.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plan)


def plan(
    model: Annotated[str, typer.Option("--model", help="A model's folder or its name on the hub.")],
    gpu: Annotated[str, typer.Option("--gpu", metavar="KIND:COUNT", help="For example H100:8.")] = "H100:1",
    layer: Annotated[
        int | None, typer.Option("--layer", min=0, help="Block that is read, from 0.", show_default="two-thirds depth")
    ] = None,
    documents: Annotated[int, typer.Option("--docs", min=1, help="Documents of the corpus.")] = 100_000,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="Tokens of a document, on average.")] = 1000,
    price: Annotated[
        str | None,
        typer.Option("--price", metavar="IN,OUT", help="The teacher's price of a million tokens read and written."),
    ] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", help="Take batch sizes and steps from this recipe.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what training a pair would take.

    Prints memory of a GPU, disk, the teacher's tokens and hours of each stage, without downloading weights.

    \b
    Examples:
      nlakit plan --model Qwen/Qwen2.5-7B-Instruct --gpu H100:2
      nlakit plan --model models/mine --layer 20 --docs 50000 --gpu A100:8 --price 3,15 --set adapters.mode=full
    """
    from nlakit.models.adapters import LARGE
    from nlakit.models.sizes import sizes_of
    from nlakit.plan import GPUS, PUBLISHED, make_plan, parse_gpus
    from nlakit.recipe import load_recipe, recipe_from
    from nlakit.validation import override_settings

    kind, count = parse_gpus(gpu)
    known = load_recipe(recipe) if recipe is not None else recipe_from(PUBLISHED, "the published settings")
    known = override_settings(known, [f"corpus.documents={documents}", *(overrides or ())], "nlakit plan")
    sizes = sizes_of(model, layer)
    mode = known.adapters.mode
    lora = mode == "lora" or (mode == "auto" and sizes.parameters >= LARGE)
    found = make_plan(sizes, known, kind, count, lora=lora, tokens_per_document=tokens)
    cost = _price(price, found.teacher_tokens_in, found.teacher_tokens_out)
    if as_json:
        print_json({**asdict(found), "parameters": sizes.parameters, "teacher_price": cost})
        return
    per_gpu = GPUS[gpu.partition(":")[0].upper()].memory_gib
    typer.echo(f"{model}: {sizes.parameters / 1e9:.2f} B parameters, {sizes.n_layers} blocks of width {sizes.d_model}")
    print_table(
        ["what", "takes"],
        [
            *([f"memory of one GPU, {stage}", _memory(size, per_gpu)] for stage, size in found.memory_gib.items()),
            *([f"disk, {what}", f"{size:.1f} GiB"] for what, size in found.disk_gib.items()),
            ["rows", f"{found.rows:,}"],
            ["teacher", f"{found.teacher_calls:,} calls, {found.teacher_tokens_in / 1e6:.0f} M tokens in, "
             f"{found.teacher_tokens_out / 1e6:.0f} M out" + ("" if cost is None else f", {cost:,.0f} in your currency")],
            *([f"hours, {stage}", f"{hours:.1f}"] for stage, hours in found.hours.items()),
            *([f"seconds a step, {stage}", f"{seconds:.1f}"] for stage, seconds in found.seconds_per_step.items()),
        ],
    )  # fmt: skip
    typer.echo(
        f"{'Adapters on one frozen base' if lora else 'Whole models'}, {known.train.steps} steps. How: docs/plan.md"
    )
    if count > 1:
        typer.echo(f"nlakit trains on one GPU so far; for {count} the work is taken as shared evenly.")


def _memory(needed: float, there: float) -> str:
    return f"{needed:.1f} GiB" + ("" if needed <= there else f", more than the {there:.0f} GiB there are")


def _price(text: str | None, tokens_in: int, tokens_out: int) -> float | None:
    """Price of the teacher's work; InputError for anything but two numbers."""
    if text is None:
        return None
    try:
        per_million_in, per_million_out = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--price {text!r} must be two numbers, of a million tokens in and out, such as 3,15"
        ) from None
    return (tokens_in * per_million_in + tokens_out * per_million_out) / 1e6
