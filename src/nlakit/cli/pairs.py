"""Commands that use a pair: read a text, describe and reconstruct vectors, score, show the card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlakit.cli.options import (
    JsonOption,
    LinesOption,
    PairArgument,
    PairOption,
    SamplesOption,
    SeedOption,
    TemperatureOption,
    TensorOption,
    VectorsArgument,
    file_option,
    load_vectors,
    parse_positions,
    picture_option,
    read_messages,
    read_text,
)
from nlakit.cli.output import print_json, print_measures, print_table, save_picture, write_lines
from nlakit.errors import InputError
from nlakit.plugins import DEFAULT_PAIR


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(read)
    app.command()(describe)
    app.command()(reconstruct)
    app.command()(score)
    app.command()(card)
    app.command()(export)


def read(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT", help="What the target reads, in quotes; - for standard input.", show_default=False
        ),
    ] = None,
    messages: Annotated[
        Path | None,
        typer.Option("--messages", metavar="FILE.json", help="A chat instead of a text; - for standard input."),
    ] = None,
    pair: PairOption = DEFAULT_PAIR,
    positions: Annotated[
        str | None,
        typer.Option(
            "--positions", metavar="3,8-12", help="Token positions; 0 is the first, -1 the last; default: all."
        ),
    ] = None,
    samples: SamplesOption = 1,
    temperature: TemperatureOption = 1.0,
    seed: SeedOption = 0,
    support: Annotated[
        bool,
        typer.Option(
            "--support",
            help="Say of each claim how far to believe it; samples more, and takes about ten times as long.",
        ),
    ] = False,
    as_json: JsonOption = False,
    out: LinesOption = None,
    picture: Annotated[Path | None, picture_option("Also draw the table into a file.")] = None,
) -> None:
    """Read a model's activations token by token.

    Shows what each vector says, and how well the words rebuild it. With --support the claims are coloured by
    how far they can be believed, from 0 to 1, without knowing the truth (docs/reading.md).

    \b
    Examples:
      nlakit read "One morning, Mia put the key in the box. Where was the key?"
      nlakit read --support --positions -1 "One morning, Mia put the key in the box. Where was the key? In that"
      nlakit read --positions 8-12 --samples 3 - < story.txt
      nlakit read --messages chat.json --pair runs/demo/pair --json
    """
    if texts and len(texts) > 1:
        raise InputError(
            f"came {len(texts)} arguments, {texts[0][:40]!r} and {texts[1][:40]!r} first; expected one TEXT. Put it in quotes; "
            'a pair is named by --pair: nlakit read --pair PAIR "TEXT"'
        )
    if bool(texts) == (messages is not None):
        raise InputError("give either a TEXT (- for standard input) or --messages FILE.json, not both and not neither")
    content = read_text(texts[0]) if texts else read_messages(messages or Path("-"))
    chosen = parse_positions(positions)
    from nlakit.models.pair import Pair
    from nlakit.models.readings import render_table

    readings = Pair.from_pretrained(pair).read(
        content, positions=chosen, samples=samples, temperature=temperature, seed=seed, support=support
    )
    if out is not None:
        write_lines(out, [reading.to_json() for reading in readings])
    if picture is not None:
        save_picture(picture, render_table(readings), title=f"nlakit read, pair {pair}")
    if as_json:
        print_json({"pair": pair, "readings": [reading.to_json() for reading in readings]})
    else:
        from rich.console import Console

        Console().print(render_table(readings))


def describe(
    vectors: VectorsArgument,
    pair: PairOption = DEFAULT_PAIR,
    tensor: TensorOption = None,
    samples: SamplesOption = 1,
    temperature: TemperatureOption = 1.0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    out: LinesOption = None,
) -> None:
    """Put vectors from a file into words.

    \b
    Example:
      nlakit describe directions.safetensors --samples 3 --json
    """
    from nlakit.models.pair import Pair

    loaded = Pair.from_pretrained(pair, load_target=False)
    vectors_ND = load_vectors(vectors, tensor, loaded.card.target.d_model)
    explanations = loaded.describe(vectors_ND, samples=samples, temperature=temperature, seed=seed)
    records = [
        {"row": index // samples, "text": explanation.text, "outcome": explanation.outcome.value}
        for index, explanation in enumerate(explanations)
    ]
    if out is not None:
        write_lines(out, records)
    if as_json:
        print_json({"pair": pair, "explanations": records})
    else:
        print_table(("row", "outcome", "explanation"), [(r["row"], r["outcome"], r["text"]) for r in records])


def reconstruct(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="Explanations, one argument each.")],
    pair: PairOption = DEFAULT_PAIR,
    as_json: JsonOption = False,
    out: Annotated[
        Path | None,
        file_option("--out", "FILE.safetensors", 'Write the vectors here, as tensor "vectors".'),
    ] = None,
) -> None:
    """Turn explanations back into vectors.

    \b
    Example:
      nlakit reconstruct "a key in a box" "a lamp in a chest" --out vectors.safetensors
    """
    from nlakit.models.pair import Pair

    vectors_ND = Pair.from_pretrained(pair, load_target=False).reconstruct(texts)
    if out is not None:
        from safetensors.torch import save

        from nlakit.storage import atomic_write_bytes

        atomic_write_bytes(out, save({"vectors": vectors_ND.contiguous()}))
        typer.echo(f"wrote {out}", err=True)
    if as_json:
        print_json({"pair": pair, "vectors": vectors_ND.tolist()})
    else:
        print_table(
            ("norm", "width", "text"), [(f"{v.norm():.2f}", len(v), t) for v, t in zip(vectors_ND, texts, strict=True)]
        )


def score(
    vectors: VectorsArgument,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="One explanation for each vector, in order.")],
    pair: PairOption = DEFAULT_PAIR,
    tensor: TensorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score how well explanations rebuild vectors.

    \b
    Example:
      nlakit score vectors.safetensors "a key in a box" "a lamp in a chest"
    """
    from nlakit.models.pair import Pair

    loaded = Pair.from_pretrained(pair, load_target=False)
    vectors_ND = load_vectors(vectors, tensor, loaded.card.target.d_model)
    scores = loaded.score(texts, vectors_ND)
    records = [
        {"text": text, "error": s.error, "cosine": s.cosine, "explained": s.explained}
        for text, s in zip(texts, scores, strict=True)
    ]
    if as_json:
        print_json({"pair": pair, "scores": records})
    else:
        print_table(
            ("error", "cosine", "explained", "text"),
            [
                (f"{s.error:.3f}", f"{s.cosine:.3f}", "-" if s.explained is None else f"{s.explained:.3f}", t)
                for s, t in zip(scores, texts, strict=True)
            ],
        )


def card(pair: PairArgument = DEFAULT_PAIR, as_json: JsonOption = False) -> None:
    """Show a pair's card.

    It holds model, site, prompts, scales, the training record and the measured results.

    \b
    Examples:
      nlakit card
      nlakit card runs/demo/pair --json
    """
    from nlakit.config import plain
    from nlakit.models.pair import load_card

    record = plain(load_card(pair))
    if as_json:
        print_json(record)
        return
    import yaml

    results = record.pop("results", {})
    typer.echo(yaml.safe_dump(record, sort_keys=False, allow_unicode=True).rstrip())
    if results:
        typer.echo()
        print_measures(results)


def export(
    pair: PairArgument = DEFAULT_PAIR,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write; it must not exist.")] = Path(
        "exported"
    ),
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="Store weights as bfloat16 or float32; default: as they are loaded.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a pair in the layout of the released checkpoints.

    Two Hugging Face folders, av and ar, each with a side file nla_meta.yaml; other readers of that format can load them.

    \b
    Examples:
      nlakit export runs/demo/pair --out demo-released
      nlakit export kitft/nla-qwen2.5-7b-L20 --out copy --dtype bfloat16
    """
    from nlakit.models.pair import Pair
    from nlakit.models.reference.export import export_pair

    folder = export_pair(Pair.from_pretrained(pair, load_target=False), out, dtype=dtype)
    if as_json:
        print_json({"pair": pair, "folder": str(folder)})
    else:
        typer.echo(str(folder))
