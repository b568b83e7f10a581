"""Stage 2, annotate: let the teacher write explanations for the rows that the warm start learns from.

::

    annotate/
      shard-00000.parquet  one line for each annotated row of that shard (ANNOTATION_SCHEMA)
      ...

The splits ``av`` and ``ar`` are annotated, and ``heldout`` to measure how much of a vector the
teacher's own words carry; ``rl`` needs no explanation. A failed explanation keeps its line and its
outcome, and no reader is given its text. A shard's file is written once it is whole: kill -9 loses
at most the answers for one shard.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nlakit.config import Recipe
from nlakit.data import extract
from nlakit.data.store import Store
from nlakit.data.teachers import Context, Teacher, load_teacher
from nlakit.errors import DamagedShardError, InputError, StoreError
from nlakit.explanations import Explanation, Outcome
from nlakit.progress import Progress
from nlakit.runs import RunFolder, require_same
from nlakit.storage import atomic_write_bytes

STAGE = "annotate"

ANNOTATED_SPLITS = ("av", "ar", "heldout")

TEACHER_BATCH = 256
"""Contexts given to a teacher at once."""

ANNOTATION_SCHEMA = pa.schema(
    [
        pa.field("row_id", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),  # an Outcome; only "ok" may be used as an explanation
    ]
)

_CONTEXT_COLUMNS = ("row_id", "document_id", "position", "token", "context", "split", "truth")


def run(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
    """Annotate the store of a run into ``folder/annotate``, or go on where an earlier attempt stopped.

    Returns the folder of the annotations; ``done.json`` in it counts the outcomes of each split.
    Raises :class:`~nlakit.errors.RunError` when the store is missing or what is there was made with other
    settings, and :class:`~nlakit.errors.InputError` when a split to learn from got no explanation.
    """
    store = extract.open_store(folder)
    teacher = load_teacher(recipe.annotate)
    settings = {
        "store": store.fingerprint,
        "teacher": {**recipe.annotate.model_dump(mode="json"), "fingerprint": teacher.fingerprint()},
    }
    stage = folder.stage(STAGE)
    if folder.check_stage(STAGE, settings, stage.path) == "done":
        return stage.path
    stage.begin(settings)
    counts: dict[str, Counter[str]] = {split: Counter() for split in ANNOTATED_SPLITS}
    with progress.task("annotate", total=sum(store.counts[f"rows_{split}"] for split in ANNOTATED_SPLITS)) as task:
        for index, shard in enumerate(store.manifest.shards):
            path = stage.path / f"{shard.name}.parquet"
            if not path.exists():
                atomic_write_bytes(path, _parquet_bytes(_annotate_shard(store, index, teacher)))
            written = _read(path)
            for split, outcome in zip(written["split"].to_pylist(), written["outcome"].to_pylist(), strict=True):
                counts[split][outcome] += 1
            task.advance(len(written), _summary(counts))
    _require_explanations(counts, teacher)
    stage.finish(settings, {split: dict(sorted(count.items())) for split, count in counts.items()})
    return stage.path


def require_teacher_of(recipe: Recipe, folder: RunFolder) -> None:
    """Raise RunError unless the explanations of a run were written by the teacher that this recipe names."""
    stage = folder.stage(STAGE)
    written = {key: value for key, value in stage.settings["teacher"].items() if key != "fingerprint"}
    remedy = "Give the settings it was made with, or annotate in another --out."
    require_same({"annotate": written}, {"annotate": recipe.annotate}, stage.path, remedy)


def load_explanations(folder: Path, split: str) -> tuple[np.ndarray, list[str]]:
    """Return (row ids, texts) of a split's explanations whose outcome is ``ok``, ascending by row id.

    ``folder`` is the folder ``annotate`` of a run. Raises :class:`~nlakit.errors.InputError` for a
    split that is not annotated, :class:`~nlakit.errors.StoreError` for a folder without annotations and
    :class:`~nlakit.errors.DamagedShardError` for a file that cannot be read as it was written.
    """
    if split not in ANNOTATED_SPLITS:
        raise InputError(f"split is {split!r}; explanations are written for {', '.join(ANNOTATED_SPLITS)} only.")
    paths = sorted(Path(folder).glob("shard-*.parquet"))
    if not paths or not (Path(folder) / "done.json").exists():
        raise StoreError(f"{folder} holds no finished annotations. Run the stage 'annotate' on this run first.")
    table = pa.concat_tables([_read(path) for path in paths])
    wanted = pc.and_(pc.equal(table["split"], split), pc.equal(table["outcome"], Outcome.OK.value))
    table = table.filter(wanted)
    return table["row_id"].to_numpy(), table["text"].to_pylist()


def _annotate_shard(store: Store, index: int, teacher: Teacher) -> pa.Table:
    rows = store.shard_rows(index, _CONTEXT_COLUMNS)
    rows = rows.filter(pc.is_in(rows["split"], pa.array(ANNOTATED_SPLITS)))
    written = ask(teacher, [_context(row) for row in rows.to_pylist()])
    columns = {
        "row_id": rows["row_id"].combine_chunks(),
        "split": rows["split"].combine_chunks(),
        "text": [explanation.text for explanation in written],
        "outcome": [explanation.outcome.value for explanation in written],
    }
    return pa.table(columns, schema=ANNOTATION_SCHEMA)


def _context(row: Mapping[str, Any]) -> Context:
    return Context(
        row_id=row["row_id"],
        document_id=row["document_id"],
        position=row["position"],
        token=row["token"],
        text=row["context"],
        truth=None if row["truth"] is None else json.loads(row["truth"]),
    )


def ask(teacher: Teacher, contexts: Sequence[Context]) -> list[Explanation]:
    """Let a teacher explain contexts, in batches; blank text comes back as a failure.

    Raises InputError when the teacher does not return one explanation for each context.
    """
    batches = (contexts[start : start + TEACHER_BATCH] for start in range(0, len(contexts), TEACHER_BATCH))
    return [explanation for batch in batches for explanation in _ask_batch(teacher, batch)]


def _ask_batch(teacher: Teacher, contexts: Sequence[Context]) -> list[Explanation]:
    written = teacher.explain(contexts)
    if len(written) != len(contexts):
        raise InputError(
            f"the teacher {teacher.name!r} returned {len(written)} explanations for {len(contexts)} contexts. "
            "A teacher must return one for each, with an outcome other than ok where it has none."
        )
    # Blank text would otherwise be learnt as an explanation.
    return [Explanation("", Outcome.EMPTY) if e.ok and not e.text.strip() else e for e in written]


def _require_explanations(counts: Mapping[str, Counter[str]], teacher: Teacher) -> None:
    for split in ("av", "ar"):
        if not counts[split][Outcome.OK]:
            found = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts[split].items())) or "it has no row"
            raise InputError(
                f"the split {split!r} has no explanation to learn from ({found}). "
                f"Take more documents, give extract.split.{split} a larger share, or use another teacher than {teacher.name!r}."
            )


def _summary(counts: Mapping[str, Counter[str]]) -> str:
    total: Counter[str] = sum(counts.values(), Counter())
    failed = total.total() - total[Outcome.OK]
    return f"{total[Outcome.OK]:,} ok, {failed:,} failed"


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def _read(path: Path) -> pa.Table:
    remedy = f"Delete it and {path.parent / 'done.json'}, and annotate again: only this file is made anew."
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DamagedShardError(f"{path} cannot be read: {error}. {remedy}") from error
    if not table.schema.equals(ANNOTATION_SCHEMA):
        raise DamagedShardError(f"{path} has the columns {table.schema.names}, not {ANNOTATION_SCHEMA.names}. {remedy}")
    return table
