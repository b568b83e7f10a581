"""Data sets of the reference pipeline: one Parquet file with raw vectors, and a side file ``FILE.nla_meta.yaml``.

==============================  ================================================================================
column                          meaning
==============================  ================================================================================
``prompt``                      chat messages with a literal ``<INJECT>``, or the finished reconstructor prompt
``response``                    the explanation in its tags (verbalizer's warm start only)
``activation_vector``           the raw vector
``n_raw_tokens``                position + 1
``activation_layer``            K
``doc_id``                      the document
``detokenized_text_truncated``  optional: the text up to the position
==============================  ================================================================================

Axes: N rows, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from nlakit.card import Card
from nlakit.config import SPLITS
from nlakit.data.store import ROW_SCHEMA, Store, StoreWriter
from nlakit.errors import CardError, InputError
from nlakit.models.reference.meta import MarkerTokens, SideFile
from nlakit.models.sites import Site
from nlakit.storage import atomic_folder
from nlakit.vectors import check_vectors

SUFFIX = ".nla_meta.yaml"
INJECT = "<INJECT>"
UNKNOWN_TOKEN = -1
"""Token id of imported rows: the files do not say which token was read."""
BATCH_ROWS = 8192
STAGES = {"av": "av_sft", "ar": "ar_sft", "rl": "rl", "heldout": "rl"}
"""The reference pipeline's name for what a split is used for; it has none of its own for held-out rows."""
_COLUMNS = ("activation_vector", "n_raw_tokens", "doc_id")
_TEXT = "detokenized_text_truncated"
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def import_dataset(file: str | Path, out: str | Path, *, split: str | None = None) -> Path:
    """Make a store of a data set, whole or not at all; returns the folder ``out``.

    Rows have the ``split`` that is given, or the one that the side file's stage says. Vectors stay float32. Token ids are
    ``UNKNOWN_TOKEN`` and tokens empty, because the file does not say them. Explanations are not part of a store.
    Raises ``InputError`` for a file that is not there, damaged, lacks a column or has values that cannot be used, and
    ``CardError`` for a side file that cannot be used.
    """
    file, out = Path(file), Path(out)
    if out.exists():
        raise InputError(f"{out} exists already; choose another --out.")
    if not file.is_file():
        raise InputError(f"there is no file {file}; give a data set of the reference pipeline, in Parquet.")
    side = _dataset_side(file)
    stage = side.carried.get("stage")
    chosen = split or next((name for name, known in STAGES.items() if known == stage), None)
    if chosen not in SPLITS:
        raise InputError(f"split is {chosen!r} (the stage of {file} is {stage!r}); give one of {', '.join(SPLITS)}.")
    try:
        source = pq.ParquetFile(file, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} cannot be read as Parquet: {_said(error)}.") from error
    names = source.schema_arrow.names
    if missing := [name for name in _COLUMNS if name not in names]:
        raise InputError(f"{file} lacks the columns {', '.join(missing)}; it has {', '.join(names)}.")
    wanted = [name for name in (*_COLUMNS, "activation_layer", _TEXT) if name in names]
    settings = {"target": {"model": side.base_checkpoint}, "site": f"resid.{side.layer}", "imported": side.content()}
    with atomic_folder(out) as work:
        writer = StoreWriter(work, width=side.d_model, dtype="float32", settings=settings)
        first = 0
        for batch in _batches(source, wanted, file):
            where = f"rows {first} and later of {file}"
            vectors_ND = _vectors(batch.column("activation_vector"), side.d_model, where)
            writer.append(vectors_ND, _rows(pa.table(batch), vectors_ND, side, chosen, where))
            first += len(batch)
        if not first:
            raise InputError(f"{file} has no rows.")
        writer.finish()
    return out


def export_dataset(
    store: Store,
    card: Card,
    file: str | Path,
    *,
    split: str,
    explanations: tuple[Sequence[int] | np.ndarray, Sequence[str]] | None = None,
) -> Path:
    """Write one split of a store as a data set of the reference pipeline, with raw vectors; returns ``file``.

    ``card`` gives the prompts. ``explanations`` are (row ids, texts), as
    :func:`~nlakit.data.annotate.load_explanations` returns them; the splits ``av`` and ``ar`` need them, and rows without
    one are left out. Raises ``InputError`` when there is nothing to write, the file is there already, or the store is of
    another width or site than the card.
    """
    file = Path(file)
    site = Site.parse(card.site)
    for path in (file, file.with_name(file.name + SUFFIX)):
        if path.exists():
            raise InputError(f"{path} exists already; choose another --out.")
    rows = store.rows(split)
    if store.width != card.target.d_model or set(rows["site"].to_pylist()) - {str(site)}:
        raise InputError(
            f"the store {store.folder} has vectors of width {store.width} at {', '.join(sorted(set(rows['site'].to_pylist())))}, "
            f"and the pair reads {card.target.d_model} at {site}."
        )
    texts: Mapping[int, str] | None = None
    if split in ("av", "ar"):
        if explanations is None:
            raise InputError(f"the split {split!r} is for learning from explanations, and none were given.")
        texts = dict(zip((int(row) for row in explanations[0]), explanations[1], strict=True))
        rows = rows.filter(pa.array([row in texts for row in rows["row_id"].to_pylist()], pa.bool_()))
    if not len(rows):
        raise InputError(f"the split {split!r} of {store.folder} has no row to write.")
    table = _table(rows, store.vectors(rows["row_id"].to_numpy()), card, split, texts)
    side = _side_file(card, split, len(rows))
    with atomic_folder(file.with_name(f".{file.name}.parts")) as work:
        pq.write_table(table, work / file.name, compression="zstd", write_page_checksum=True)
        (work / (file.name + SUFFIX)).write_text(side.to_yaml(), encoding="utf-8")
    # The side file first: a data set without one is of no use, a side file without its data set does no harm.
    parts = file.with_name(f".{file.name}.parts")
    for name in (file.name + SUFFIX, file.name):
        (parts / name).replace(file.with_name(name))
    parts.rmdir()
    return file


def _vectors(column: Any, width: int, where: str) -> Tensor:
    """Return a list column as float32 (N, D)."""
    kind = column.type.value_type if isinstance(column.type, pa.ListType | pa.FixedSizeListType) else None
    if kind not in (pa.float32(), pa.float64()):
        raise InputError(f"activation_vector holds {column.type} in {where}; lists of float32 were expected.")
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    if column.null_count or values.size != len(column) * width:
        raise InputError(f"the vectors of {where} are not {width} wide, as the side file says.")
    return check_vectors(torch.from_numpy(values.reshape(len(column), width).copy()), width, f"the vectors of {where}")


def _dataset_side(file: Path) -> SideFile:
    """Read the side file of a data set; CardError when it is another thing's or does not say which layer was read."""
    path = file.with_name(file.name + SUFFIX)
    side = SideFile.load(path)
    if side.kind != "nla_dataset":
        raise CardError(
            f"{path} describes a {side.kind!r}, and 'nla_dataset' was expected: it does not belong to a data set."
        )
    if side.layer is None:
        raise CardError(f"{path} does not say which layer its vectors were read at (extraction.layer_index).")
    return side


def _batches(source: pq.ParquetFile, columns: Sequence[str], file: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file in turn; InputError where its bytes are damaged."""
    try:
        yield from source.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} is damaged: {_said(error)}.") from error


def _said(error: Exception) -> str:
    """Return the words of a library's error as part of a sentence."""
    return " ".join(str(error).split()).rstrip(".")


def _rows(table: pa.Table, vectors_ND: Tensor, side: SideFile, split: str, where: str) -> pa.Table:
    """Build the row data of a store."""
    n = len(table)
    layers = set(table["activation_layer"].to_pylist()) if "activation_layer" in table.column_names else {side.layer}
    if layers != {side.layer}:
        raise InputError(
            f"{where} have vectors of the layers {sorted(map(str, layers))}, and the side file says {side.layer}."
        )
    counts, names = table["n_raw_tokens"].to_pylist(), table["doc_id"].to_pylist()
    if unusable := [count for count in counts if not isinstance(count, int) or count < 1]:
        raise InputError(f"n_raw_tokens is {unusable[0]!r} in {where}; a number of at least 1 was expected.")
    if None in names:
        raise InputError(f"doc_id is missing in {where}; without it rows cannot be told apart by document.")
    texts = table[_TEXT].to_pylist() if _TEXT in table.column_names else [""] * n
    if strange := [text for text in texts if not isinstance(text, str | None)]:
        raise InputError(f"{_TEXT} is {strange[0]!r} in {where}; a text was expected.")
    columns = {
        "row_id": list(range(n)),
        "document_id": [str(name) for name in names],
        "position": [count - 1 for count in counts],
        "token_id": [UNKNOWN_TOKEN] * n,
        "token": [""] * n,
        "context": [text or "" for text in texts],
        "role": [None] * n,
        "section": [None] * n,
        "site": [f"resid.{side.layer}"] * n,
        "norm": vectors_ND.norm(dim=1).tolist(),
        "split": [split] * n,
        "truth": [None] * n,
    }
    return pa.table(columns, schema=ROW_SCHEMA)


def _table(rows: pa.Table, vectors_ND: Tensor, card: Card, split: str, texts: Mapping[int, str] | None) -> pa.Table:
    """Build the data set's columns."""
    n, width = vectors_ND.shape
    prompts = card.prompts
    message = [{"role": "user", "content": prompts.verbalizer.replace("{marker}", INJECT)}]
    said = None if texts is None else [texts[row] for row in rows["row_id"].to_pylist()]
    columns: dict[str, Any] = {}
    if split == "ar" and said is not None:
        columns["prompt"] = pa.array([prompts.reconstructor_text(text) for text in said], pa.string())
    else:
        columns["prompt"] = pa.array([message] * n, _MESSAGES)
    if split == "av" and said is not None:
        columns["response"] = pa.array(
            [f"{prompts.open_tag}\n{text}\n{prompts.close_tag}" for text in said], pa.string()
        )
    flat = pa.array(vectors_ND.float().numpy().reshape(-1), pa.float32())
    columns["activation_vector"] = pa.FixedSizeListArray.from_arrays(flat, width)
    columns["n_raw_tokens"] = pa.array([position + 1 for position in rows["position"].to_pylist()], pa.int64())
    columns["activation_layer"] = pa.array([Site.parse(card.site).layer] * n, pa.int64())
    columns["doc_id"] = rows["document_id"]
    columns[_TEXT] = rows["context"]
    return pa.table(columns)


def _side_file(card: Card, split: str, rows: int) -> SideFile:
    """Build the side file of a data set."""
    prompts = card.prompts
    tokens = MarkerTokens(
        injection_char=prompts.marker,
        injection_token_id=prompts.marker_id,
        injection_left_neighbor_id=prompts.left_id,
        injection_right_neighbor_id=prompts.right_id,
    )
    return SideFile(
        kind="nla_dataset",
        d_model=card.target.d_model,
        base_checkpoint=card.target.model,
        layer=Site.parse(card.site).layer,
        tokens=tokens,
        verbalizer=prompts.verbalizer,
        reconstructor=prompts.reconstructor,
        carried={"stage": STAGES[split], "row_count": rows, "created_by": "nlakit", "extraction": {"norm": "none"}},
    )
