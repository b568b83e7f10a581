"""Stage 2, annotate: let the teacher write explanations for the rows that the warm start learns from.

::

    annotate/
      shard-00000.parquet  one line for each annotated row of that shard (ANNOTATION_SCHEMA)
      ...

The splits ``av`` and ``ar`` are annotated, and ``heldout`` to measure how much of a vector the
teacher's own words carry; ``rl`` needs no explanation. A failed explanation keeps its line and its
outcome, and no reader is given its text. A shard's file is written once it is whole: kill -9 loses
at most the answers for one shard, and none of a teacher that is paid for: those are kept one by one in
``run/answers``, which may be deleted when no stage will ask again.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nlakit.config import AnnotateConfig, Recipe
from nlakit.data import extract
from nlakit.data.store import Store
from nlakit.data.teachers import Context, Plan, Priced, Source, Teacher, card_record, load_teacher
from nlakit.errors import DamagedShardError, InputError, SpendingError, StoreError, UserError
from nlakit.explanations import Explanation, Outcome
from nlakit.progress import Progress, Task
from nlakit.runs import RunFolder, require_same
from nlakit.storage import atomic_write_bytes

STAGE = "annotate"
ANSWERS = "answers"
"""Folder of a run in which a teacher that is paid for keeps what it answered; outside the stage, which may be redone."""

ANNOTATED_SPLITS = ("av", "ar", "heldout")

TEACHER_BATCH = 256
"""Contexts given at once to a teacher that does not say how many it wants."""

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
    settings, :class:`~nlakit.errors.InputError` when a split to learn from got no explanation, and
    :class:`~nlakit.errors.SpendingError` when a cost was not approved or a cap is reached. A stage that ends
    with an error before its first shard leaves no folder.
    """
    store = extract.open_store(folder)
    made = store.settings
    source = Source(recipe.target, made["target"]["fingerprint"], made["site"])
    teacher = load_teacher(recipe.annotate, source)
    said = {"fingerprint": teacher.fingerprint(), **({"record": record} if (record := card_record(teacher)) else {})}
    settings = {"store": store.fingerprint, "teacher": {**teacher_settings(recipe.annotate), **said}}
    stage = folder.stage(STAGE)
    if folder.check_stage(STAGE, settings, stage.path) == "done":
        return stage.path
    if isinstance(teacher, Priced):
        plan = teacher.plan(_missing_contexts(store, stage.path), folder.path / ANSWERS)
        require_approval(plan, teacher.check, progress)
    stage.begin(settings)
    counts: dict[str, Counter[str]] = {split: Counter() for split in ANNOTATED_SPLITS}
    try:
        with progress.task("annotate", total=sum(store.counts[f"rows_{split}"] for split in ANNOTATED_SPLITS)) as task:
            for index, shard in enumerate(store.manifest.shards):
                path = stage.path / f"{shard.name}.parquet"
                if not path.exists():
                    write_table(path, _annotate_shard(store, index, teacher, task))
                written = read_annotations(path)
                for split, outcome in zip(written["split"].to_pylist(), written["outcome"].to_pylist(), strict=True):
                    counts[split][outcome] += 1
                task.update(sum(count.total() for count in counts.values()), _summary(counts))
    except UserError:
        if not any(stage.path.glob("shard-*.parquet")):
            shutil.rmtree(stage.path)  # or settings that gave nothing would stand in the way of better ones
        raise
    finally:
        if isinstance(teacher, Priced) and (receipt := teacher.receipt()):
            progress.say(receipt)
    _require_explanations(counts, teacher)
    stage.finish(settings, {split: dict(sorted(count.items())) for split, count in counts.items()})
    return stage.path


def teacher_settings(config: AnnotateConfig) -> dict[str, Any]:
    """Return the settings that decide what a teacher writes; how it is called and paid for is left out."""
    return config.model_dump(mode="json", exclude={"calls"})


def require_teacher_of(recipe: Recipe, folder: RunFolder) -> None:
    """Raise RunError unless the explanations of a run were written by the teacher that this recipe names."""
    stage = folder.stage(STAGE)
    written = {key: value for key, value in stage.settings["teacher"].items() if key not in ("fingerprint", "record")}
    remedy = "Give the settings it was made with, or annotate in another --out."
    require_same({"annotate": written}, {"annotate": teacher_settings(recipe.annotate)}, stage.path, remedy)


def recorded_teacher(folder: RunFolder) -> dict[str, Any]:
    """Return what the card says of the teacher of a run: its fingerprint, model and instruction; empty for most."""
    teacher = folder.stage(STAGE).settings["teacher"]
    return {"fingerprint": teacher["fingerprint"], **teacher["record"]} if "record" in teacher else {}


def ask_for_free(teacher: Teacher, contexts: Sequence[Context], answers: Path | None) -> list[Explanation]:
    """Let a teacher explain contexts, unless that costs money beyond the answers kept in a folder: SpendingError."""
    if isinstance(teacher, Priced) and (plan := teacher.plan(contexts, answers)).calls:
        raise SpendingError(f"it would have to be paid for: {plan.text}")
    return ask(teacher, contexts)


def kept_answers(pair: Path | None) -> Path | None:
    """Return where the run of a pair keeps the answers that were paid for; None for a pair outside its run."""
    parents = () if pair is None else pair.parents[:2]
    return next((place for parent in parents if (place := parent / ANSWERS).is_dir()), None)


def require_approval(plan: Plan, check: Callable[[], None], progress: Progress) -> None:
    """Raise SpendingError unless what is planned costs nothing or is approved, and what ``check`` finds missing before that."""
    if plan.calls:
        check()
    if plan.calls and not progress.confirm(plan.text):
        raise SpendingError(
            f"nothing was asked, because nobody approved it: {plan.text}. Answer the question with yes, or give --yes "
            "(in Python, Progress(yes=True))."
        )


def _missing_contexts(store: Store, folder: Path) -> Iterator[Context]:
    """Yield the contexts of all shards without a file."""
    for index, shard in enumerate(store.manifest.shards):
        if not (folder / f"{shard.name}.parquet").exists():
            yield from map(_context, _rows_to_annotate(store, index).to_pylist())


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
    table = pa.concat_tables([read_annotations(path) for path in paths])
    wanted = pc.and_(pc.equal(table["split"], split), pc.equal(table["outcome"], Outcome.OK.value))
    table = table.filter(wanted)
    return table["row_id"].to_numpy(), table["text"].to_pylist()


def _rows_to_annotate(store: Store, index: int) -> pa.Table:
    rows = store.shard_rows(index, _CONTEXT_COLUMNS)
    return rows.filter(pc.is_in(rows["split"], pa.array(ANNOTATED_SPLITS)))


def _annotate_shard(store: Store, index: int, teacher: Teacher, task: Task) -> pa.Table:
    rows = _rows_to_annotate(store, index)
    contexts = [_context(row) for row in rows.to_pylist()]
    if getattr(teacher, "wants_vectors", False):
        vectors_ND = store.vectors(rows["row_id"].to_pylist())
        contexts = [replace(context, vector=vector_D) for context, vector_D in zip(contexts, vectors_ND, strict=True)]
    before = task.completed
    written = ask(teacher, contexts, lambda done: task.update(before + done))
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


def ask(teacher: Teacher, contexts: Sequence[Context], on_batch: Callable[[int], object] = int) -> list[Explanation]:
    """Let a teacher explain contexts, in batches; blank text comes back as a failure.

    ``on_batch`` is called with the number of explanations so far. Raises InputError when the teacher does not return one
    explanation for each context.
    """
    size = getattr(teacher, "batch_rows", TEACHER_BATCH)
    written: list[Explanation] = []
    for start in range(0, len(contexts), size):
        written += _ask_batch(teacher, contexts[start : start + size])
        on_batch(len(written))
    return written


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


def write_table(path: Path, table: pa.Table) -> None:
    """Write what there is of one shard as one file that is there whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    atomic_write_bytes(path, sink.getvalue().to_pybytes())


def read_annotations(path: Path) -> pa.Table:
    """Read what :func:`write_table` wrote; DamagedShardError for a file that is not as it was written."""
    return read_table(path, ANNOTATION_SCHEMA)


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a table of a shard; DamagedShardError for a file that is not as it was written."""
    remedy = f"Delete it and {path.parent / 'done.json'}, and do the stage again: only this file is made anew."
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DamagedShardError(f"{path} cannot be read: {error}. {remedy}") from error
    if not table.schema.equals(schema):
        raise DamagedShardError(f"{path} has the columns {table.schema.names}, not {schema.names}. {remedy}")
    return table
