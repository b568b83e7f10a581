"""The store: rows on disk, vectors apart from what is known about them.

::

    extract/
      manifest.json            schema, settings with their fingerprints, counts, and a hash of every file
      shard-00000.safetensors  one tensor "vectors" [N, D], bfloat16 or float32, raw as the target made them
      shard-00000.parquet      N lines of row data (ROW_SCHEMA)
      ...

Vectors are read through a memory map at the tensor's offset, row data with any Parquet reader. A
shard counts once the manifest names it, and the manifest is replaced atomically after the shard's
files are in place: kill -9 loses at most the shard being written. Nothing in the files depends on
when or in how many attempts they were written.

float16 is refused: activations of current models exceed its largest number, 65504.

Axes: N rows, D width of a vector.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import safetensors.torch
import torch
from torch import Tensor

from nlakit.config import SPLITS, fingerprint
from nlakit.data.manifest import (
    MANIFEST,
    FileRecord,
    Manifest,
    ShardRecord,
    check_dtype,
    damaged_error,
    file_names,
    read_manifest,
    require_same,
    shard_problems,
)
from nlakit.errors import InputError, StoreError
from nlakit.storage import atomic_write_bytes, require_free_space, write_json

TENSOR = "vectors"

ROW_SCHEMA = pa.schema(
    [
        pa.field("row_id", pa.int64(), nullable=False),  # number of the row in the store, from 0
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),  # token index in the document, special tokens included
        pa.field("token_id", pa.int32(), nullable=False),
        pa.field("token", pa.string(), nullable=False),  # the token's text
        pa.field("context", pa.string(), nullable=False),  # end of the text up to and including the token
        pa.field("role", pa.string(), nullable=True),  # of the message it lies in; null in plain text, or if unknown
        pa.field("section", pa.string(), nullable=True),  # text, content, reasoning or template; null if unknown
        pa.field("site", pa.string(), nullable=False),
        pa.field("norm", pa.float32(), nullable=False),  # Euclidean norm of the raw vector
        pa.field("split", pa.string(), nullable=False),  # av, ar, rl or heldout
        pa.field("truth", pa.string(), nullable=True),  # what is true here, as JSON; null where nobody knows
    ]
)

_SINCE_VERSION_2 = ("role", "section")
TORCH_DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_HEADER_DTYPES = {"F32": "float32", "BF16": "bfloat16"}
# numpy has no bfloat16: its bits travel as int16 and torch reinterprets them.
_DISK_DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "bfloat16": np.dtype("<i2")}


def number_rows(rows: pa.Table, first: int = 0) -> pa.Table:
    """Set the column ``row_id`` to ``first``, ``first + 1``, ..."""
    row_ids = pa.array(np.arange(first, first + len(rows)), pa.int64())
    return rows.set_column(0, ROW_SCHEMA.field("row_id"), row_ids)


class StoreWriter:
    """Adds shards to a new store, or to one that was interrupted.

    ``settings`` must be what the store was begun with: :class:`~nlakit.errors.StoreError` names the
    entries that differ. Files that no manifest names, left by an interrupted write, are removed.
    """

    def __init__(self, folder: Path, *, width: int, dtype: str, settings: Mapping[str, Any]) -> None:
        check_dtype(dtype, f"the store {folder}")
        self.folder = folder
        wanted = Manifest(width=width, dtype=dtype, settings=dict(settings))
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / MANIFEST).exists():
            self.manifest = read_manifest(folder)
            require_same(folder, self.manifest, wanted)
        else:
            self._save(wanted)
        self._sweep()

    def append(self, vectors_ND: Tensor, rows: pa.Table, counts: Mapping[str, int] | None = None) -> None:
        """Write one shard; ``row_id`` continues from the last shard whatever the table says.

        ``counts`` are kept with the shard, and the rows by split are added to them. Raises
        :class:`~nlakit.errors.InputError` for float16, a wrong width, or lengths that differ.
        """
        record, files = self._prepare(len(self.manifest.shards), vectors_ND, rows, counts)
        self._write(record, files)
        self._save(self.manifest.model_copy(update={"shards": (*self.manifest.shards, record)}))

    def replace(self, index: int, vectors_ND: Tensor, rows: pa.Table, counts: Mapping[str, int] | None = None) -> None:
        """Write a damaged shard again; StoreError when it does not have the hashes that the manifest records."""
        record, files = self._prepare(index, vectors_ND, rows, counts)
        if record != self.manifest.shards[index]:
            raise StoreError(
                f"{self.folder / record.name} is damaged, and extracting it again gives other rows than the manifest "
                "records: the libraries, the machine or its number of threads differ. Delete the store and extract it whole."
            )
        self._write(record, files)

    def finish(self, counts: Mapping[str, int] | None = None) -> None:
        """Mark the store complete; ``counts`` are those that belong to no single shard."""
        self._save(self.manifest.model_copy(update={"complete": True, "corpus_counts": dict(counts or {})}))

    def damaged(self) -> list[int]:
        """Return the numbers of the shards whose bytes are not those that were written."""
        return [index for index, shard in enumerate(self.manifest.shards) if shard_problems(self.folder, shard)]

    def _prepare(
        self, index: int, vectors_ND: Tensor, rows: pa.Table, counts: Mapping[str, int] | None
    ) -> tuple[ShardRecord, tuple[bytes, bytes]]:
        """Return a shard's record and the bytes of its two files."""
        self._check(vectors_ND, rows)
        first = sum(shard.rows for shard in self.manifest.shards[:index])
        stored_ND = vectors_ND.detach().cpu().to(TORCH_DTYPES[self.manifest.dtype]).contiguous()
        files = (safetensors.torch.save({TENSOR: stored_ND}), _parquet_bytes(number_rows(rows, first)))
        by_split = Counter(rows.column("split").to_pylist())
        record = ShardRecord(
            name=f"shard-{index:05d}",
            rows=len(rows),
            vectors=FileRecord.of(files[0]),
            table=FileRecord.of(files[1]),
            counts={**(counts or {}), **{f"rows_{split}": by_split[split] for split in SPLITS}},
        )
        return record, files

    def _write(self, record: ShardRecord, files: tuple[bytes, bytes]) -> None:
        require_free_space(self.folder, sum(map(len, files)))
        for name, data in zip(file_names(record), files, strict=True):
            atomic_write_bytes(self.folder / name, data)

    def _check(self, vectors_ND: Tensor, rows: pa.Table) -> None:
        if vectors_ND.dtype == torch.float16:
            raise InputError(
                "vectors came as float16, whose largest number (65504) activations exceed. "
                "Read the target in float32 or bfloat16."
            )
        if vectors_ND.ndim != 2 or vectors_ND.shape[1] != self.manifest.width or len(vectors_ND) != len(rows):
            raise InputError(
                f"vectors have the shape {tuple(vectors_ND.shape)}; the store {self.folder} takes "
                f"({len(rows)}, {self.manifest.width}): one for each of the {len(rows)} rows."
            )
        if not rows.schema.equals(ROW_SCHEMA):
            raise InputError(
                f"rows have the columns {rows.schema.names}; expected {ROW_SCHEMA.names} with their types."
            )

    def _save(self, manifest: Manifest) -> None:
        write_json(self.folder / MANIFEST, manifest)
        self.manifest = manifest

    def _sweep(self) -> None:
        """Remove what an interrupted write left: hidden temporary files, and shards that no manifest names."""
        known = {name for shard in self.manifest.shards for name in file_names(shard)}
        for path in self.folder.iterdir():
            temporary = path.name.startswith((".shard-", f".{MANIFEST}"))
            if temporary or (path.name.startswith("shard-") and path.name not in known):
                path.unlink()


class Store:
    """A finished store, open for reading. Opening reads the manifest and checks the length of every file.

    Raises :class:`~nlakit.errors.StoreError` where there is none or an unfinished one, and
    :class:`~nlakit.errors.DamagedShardError` for a file that is missing or has another length.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if not self.manifest.complete:
            raise StoreError(
                f"the store {self.folder} is unfinished: {len(self.manifest.shards)} shards are written. "
                "Run the same extraction again; it goes on where it stopped."
            )
        problems = [p for shard in self.manifest.shards for p in shard_problems(self.folder, shard, contents=False)]
        if problems:
            raise damaged_error(self.folder, problems)
        self._starts = np.cumsum([0, *(shard.rows for shard in self.manifest.shards)])
        self._maps: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._starts[-1])

    @property
    def width(self) -> int:
        """Width D of a vector."""
        return self.manifest.width

    @property
    def counts(self) -> dict[str, int]:
        """Documents, those left out and why, and rows by split."""
        return self.manifest.counts

    @property
    def settings(self) -> dict[str, Any]:
        """What decided the rows: fingerprints of target, tokenizer and corpus, and the options of the extraction."""
        return self.manifest.settings

    @property
    def fingerprint(self) -> str:
        """Hash of every byte of every row; stages that read the store record it."""
        return fingerprint([[shard.vectors.sha256, shard.table.sha256] for shard in self.manifest.shards])

    def rows(self, split: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return row data as a table, ascending by ``row_id``, of one split or of all.

        ``columns`` names those wanted (all, see ``ROW_SCHEMA``, when None). Take the column
        ``row_id`` along to fetch the vectors that belong to them.
        """
        if split is not None and split not in SPLITS:
            raise InputError(f"split is {split!r}; it must be one of {', '.join(SPLITS)}, or None for all rows.")
        wanted = list(ROW_SCHEMA.names if columns is None else columns)
        unknown = sorted(set(wanted) - set(ROW_SCHEMA.names))
        if unknown:
            raise InputError(f"rows have no column {', '.join(unknown)}. They have {', '.join(ROW_SCHEMA.names)}.")
        read = wanted if split is None else sorted({*wanted, "split"})
        schema = pa.schema([ROW_SCHEMA.field(name) for name in wanted])
        parts = []
        for index in range(len(self.manifest.shards)):
            table = self.shard_rows(index, read)
            if split is not None:
                table = table.filter(pc.equal(table.column("split"), split))
            parts.append(table.select(wanted))
        return pa.concat_tables(parts) if parts else schema.empty_table()

    def shard_rows(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the row data of one shard; what a store of an older version does not hold is null."""
        path = self.folder / f"{self.manifest.shards[index].name}.parquet"
        wanted = list(ROW_SCHEMA.names if columns is None else columns)
        absent = _SINCE_VERSION_2 if self.manifest.schema_version < 2 else ()
        try:
            table = pq.read_table(path, columns=[name for name in wanted if name not in absent] or ["row_id"])
        except (OSError, pa.ArrowException) as error:
            raise damaged_error(self.folder, [f"{path.name} cannot be read: {error}"]) from error
        for name in absent:
            table = table.append_column(ROW_SCHEMA.field(name), pa.nulls(len(table), pa.string()))
        return table.select(wanted)

    def vectors(self, indices: Iterable[int] | np.ndarray | Tensor | None = None) -> Tensor:
        """Return the raw vectors of rows by ``row_id``, in that order, as float32 [N, D]; all when None."""
        if indices is None:
            return torch.cat([self._read(i, slice(None)) for i in range(len(self.manifest.shards))] or [self._empty()])
        wanted_N = _as_indices(indices)
        outside = wanted_N[(wanted_N < 0) | (wanted_N >= len(self))]
        if outside.size:
            raise InputError(
                f"row_id {outside[0]} is not in the store {self.folder}, which has rows 0 to {len(self) - 1}."
            )
        shard_N = np.searchsorted(self._starts, wanted_N, side="right") - 1
        out_ND = torch.empty(len(wanted_N), self.width)
        for shard in np.unique(shard_N):
            here = np.flatnonzero(shard_N == shard)
            out_ND[torch.from_numpy(here)] = self._read(int(shard), wanted_N[here] - self._starts[shard])
        return out_ND

    def verify(self) -> list[str]:
        """Hash every file and return what is wrong, a sentence each; an empty list when all is well."""
        return [problem for shard in self.manifest.shards for problem in shard_problems(self.folder, shard)]

    def require_sound(self) -> None:
        """Hash every file; DamagedShardError names the damaged ones."""
        problems = self.verify()
        if problems:
            raise damaged_error(self.folder, problems)

    def _read(self, shard: int, rows: np.ndarray | slice) -> Tensor:
        if shard not in self._maps:
            self._maps[shard] = self._map(self.manifest.shards[shard])
        part_ND = torch.from_numpy(np.array(self._maps[shard][rows]))
        if self.manifest.dtype == "bfloat16":
            part_ND = part_ND.view(torch.bfloat16)
        return part_ND.float()

    def _map(self, shard: ShardRecord) -> np.ndarray:
        path = self.folder / f"{shard.name}.safetensors"
        shape, dtype = (shard.rows, self.width), self.manifest.dtype
        if not shard.rows:
            return np.empty(shape, _DISK_DTYPES[dtype])
        try:
            with path.open("rb") as file:
                header_bytes = int.from_bytes(file.read(8), "little")
                tensor = json.loads(file.read(header_bytes))[TENSOR]
            found = (_HEADER_DTYPES.get(tensor["dtype"]), tuple(tensor["shape"]))
            start = 8 + header_bytes + int(tensor["data_offsets"][0])
        except (OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
            problem = f"{path.name} has no readable header: {error!r}"
            raise damaged_error(self.folder, [problem]) from error
        if found != (dtype, shape):
            problem = f"{path.name} holds {tensor['dtype']} {tensor['shape']}, the manifest says {dtype} {list(shape)}"
            raise damaged_error(self.folder, [problem])
        return np.memmap(path, dtype=_DISK_DTYPES[dtype], mode="r", offset=start, shape=shape)

    def _empty(self) -> Tensor:
        return torch.empty(0, self.width)


def _parquet_bytes(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _as_indices(indices: Iterable[int] | np.ndarray | Tensor) -> np.ndarray:
    if isinstance(indices, Tensor):
        indices = indices.cpu().numpy()
    found_N = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
    if found_N.ndim != 1 or (found_N.size and found_N.dtype.kind not in "iu"):
        raise InputError(
            f"row ids came as {found_N.dtype} of shape {found_N.shape}; expected whole numbers in one list."
        )
    return found_N.astype(np.int64)
