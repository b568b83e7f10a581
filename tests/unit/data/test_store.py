from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from torch import Tensor

from nlakit.data.manifest import FileRecord, Manifest, ShardRecord
from nlakit.data.store import ROW_SCHEMA, Store, StoreWriter, number_rows
from nlakit.errors import DamagedShardError, InputError, StorageFullError, StoreError

WIDTH = 4
SPLITS = ("av", "ar", "rl", "heldout")


def rows(*splits: str, start: int = 0) -> pa.Table:
    lines = [
        {
            "row_id": 0,
            "document_id": f"d{start + i}",
            "position": i,
            "token_id": i,
            "token": f"t{i}",
            "context": f"text t{i}",
            "role": None,
            "section": "text",
            "site": "resid.1",
            "norm": 1.0,
            "split": split,
            "truth": json.dumps({"facts": {}}) if i % 2 else None,
        }
        for i, split in enumerate(splits)
    ]
    return pa.Table.from_pylist(lines, schema=ROW_SCHEMA)


def vectors(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def writer(folder: Path, dtype: str = "float32", **settings: Any) -> StoreWriter:
    return StoreWriter(folder, width=WIDTH, dtype=dtype, settings={"seed": 0, **settings})


def filled(folder: Path, dtype: str = "float32") -> tuple[Store, Tensor]:
    """Write a store of three shards with 4, 0 and 3 rows."""
    made = writer(folder, dtype)
    parts = [vectors(4, 1), vectors(0), vectors(3, 2)]
    made.append(parts[0], rows(*SPLITS), {"short": 1})
    made.append(parts[1], rows())
    made.append(parts[2], rows("rl", "rl", "av", start=4), {"short": 2})
    made.finish({"documents": 9})
    return Store(folder), torch.cat(parts)


def test_vectors_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    """Rows are fetched by number across shards, repeated and unordered ones included; all without numbers."""
    store, stored_ND = filled(tmp_path)

    for wanted in ([6, 0, 3, 4, 0], np.array([5, 1]), torch.tensor([2]), range(7), []):
        torch.testing.assert_close(store.vectors(wanted), stored_ND[[int(row) for row in wanted]], rtol=0, atol=0)
    torch.testing.assert_close(store.vectors(), stored_ND, rtol=0, atol=0)
    assert (7, WIDTH) == (len(store), store.width)


def test_bfloat16_on_disk(tmp_path: Path) -> None:
    """bfloat16 halves the file, and values come back as float32, rounded once and to nothing else."""
    store, stored_ND = filled(tmp_path, "bfloat16")
    header = safetensors.torch.load_file(tmp_path / "shard-00000.safetensors")["vectors"]

    assert torch.bfloat16 == header.dtype
    assert torch.float32 == store.vectors([0]).dtype
    torch.testing.assert_close(store.vectors(), stored_ND.bfloat16().float(), rtol=0, atol=0)


def test_files_are_readable_without_nlakit(tmp_path: Path) -> None:
    """Each shard is one safetensors tensor called "vectors" beside a Parquet file with as many lines."""
    _, stored_ND = filled(tmp_path)
    tensors = safetensors.torch.load_file(tmp_path / "shard-00002.safetensors")

    assert ["vectors"] == list(tensors)
    torch.testing.assert_close(tensors["vectors"], stored_ND[4:])


def test_rows_by_split_and_column(tmp_path: Path) -> None:
    """Row numbers run through all shards; a split and columns can be chosen."""
    store, _ = filled(tmp_path)

    assert list(range(7)) == store.rows()["row_id"].to_pylist()
    assert ROW_SCHEMA == store.rows().schema.remove_metadata()
    assert {"row_id": [2, 4, 5], "document_id": ["d2", "d4", "d5"]} == store.rows(
        "rl", ["row_id", "document_id"]
    ).to_pydict()
    assert ["document_id"] == store.rows("av", ["document_id"]).column_names
    assert 0 == len(store.rows("ar", ["row_id"]).slice(1))


def test_counts_add_up(tmp_path: Path) -> None:
    """The manifest counts rows by split and what was left out, over all shards."""
    store, _ = filled(tmp_path)

    assert {
        "documents": 9, "rows_ar": 1, "rows_av": 2, "rows_heldout": 1, "rows_rl": 3, "short": 3,
    } == store.counts  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda store: store.vectors([7]), "row_id 7 is not in the store .* rows 0 to 6"),
        (lambda store: store.vectors([-1]), "row_id -1"),
        (lambda store: store.vectors([0.5]), "expected whole numbers"),
        (lambda store: store.vectors(torch.zeros(1, 1, dtype=torch.long)), "expected whole numbers in one list"),
        (lambda store: store.rows("test"), "split is 'test'"),
        (lambda store: store.rows(columns=["rowid"]), "no column rowid"),
    ],
)
def test_wrong_questions(tmp_path: Path, ask: Any, message: str) -> None:
    """A row, split or column that does not exist is an error that says which do."""
    with pytest.raises(InputError, match=message):
        ask(filled(tmp_path)[0])


@pytest.mark.parametrize("dtype", ["float16", "fp16", "half"])
def test_fp16_is_refused(tmp_path: Path, dtype: str) -> None:
    """No store of float16 can be made, and the message names what holds the numbers."""
    with pytest.raises(StoreError, match=r"cannot hold float16.*65504.*bfloat16"):
        writer(tmp_path, dtype)


def test_fp16_vectors_are_refused(tmp_path: Path) -> None:
    """Vectors that already went through float16 are not taken into any store."""
    with pytest.raises(InputError, match="came as float16"):
        writer(tmp_path).append(vectors(1).half(), rows("av"))


def test_a_store_of_fp16_is_not_opened(tmp_path: Path) -> None:
    """A manifest that claims float16 is refused on reading too."""
    filled(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "dtype": "float16"}))

    with pytest.raises(StoreError, match="cannot hold float16"):
        Store(tmp_path)


@pytest.mark.parametrize(
    ("part_ND", "table", "message"),
    [
        (vectors(2), rows("av"), r"shape \(2, 4\).*takes \(1, 4\)"),
        (torch.zeros(1, 5), rows("av"), r"shape \(1, 5\)"),
        (torch.zeros(4), rows("av"), r"shape \(4,\)"),
        (vectors(1), rows("av").drop_columns(["norm"]), "rows have the columns"),
    ],
)
def test_shards_must_fit(tmp_path: Path, part_ND: Tensor, table: pa.Table, message: str) -> None:
    """Vectors and rows of unequal number, width or columns are refused before anything is written."""
    made = writer(tmp_path)
    with pytest.raises(InputError, match=message):
        made.append(part_ND, table)

    assert ["manifest.json"] == [path.name for path in tmp_path.iterdir()]


def test_interrupted_store_goes_on(tmp_path: Path) -> None:
    """A writer takes up an unfinished store, sweeps what no manifest names, and ends with the same bytes."""
    filled(tmp_path / "whole")
    first = writer(tmp_path / "cut")
    first.append(vectors(4, 1), rows(*SPLITS), {"short": 1})
    for stray in ("shard-00001.safetensors", ".shard-00001.parquet.tmp-77", ".manifest.json.tmp-77"):
        (tmp_path / "cut" / stray).write_bytes(b"half")
    second = writer(tmp_path / "cut")
    second.append(vectors(0), rows())
    second.append(vectors(3, 2), rows("rl", "rl", "av", start=4), {"short": 2})
    second.finish({"documents": 9})

    assert digests(tmp_path / "whole") == digests(tmp_path / "cut")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_unfinished_store_is_not_read(tmp_path: Path) -> None:
    """Rows of an unfinished store are not given out as if they were all."""
    writer(tmp_path).append(vectors(1), rows("av"))

    with pytest.raises(StoreError, match="is unfinished: 1 shards are written"):
        Store(tmp_path)


def test_no_store(tmp_path: Path) -> None:
    """A folder without a manifest, or with a broken or newer one, is refused with the reason."""
    with pytest.raises(StoreError, match=r"holds no store: manifest\.json is missing"):
        Store(tmp_path)
    for content, message in (("{", "cannot be read"), ("[]", "schema_version None"), ('{"schema_version": 9}', "9")):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(StoreError, match=message):
            Store(tmp_path)


def as_version_1(folder: Path) -> Path:
    """Rewrite a store as version 1 left it: no columns role and section."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in manifest["shards"]:
        path = folder / f"{shard['name']}.parquet"
        pq.write_table(pq.read_table(path).drop_columns(["role", "section"]), path)
        shard["table"] = FileRecord.of(path.read_bytes()).model_dump()
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 1}))
    return folder


def test_a_store_of_version_1_is_read(tmp_path: Path) -> None:
    """A store made before roles and sections were kept gives null for them, alone or among other columns."""
    before = filled(tmp_path)[0].rows()
    store = Store(as_version_1(tmp_path))

    assert [] == store.verify()
    assert ROW_SCHEMA.names == store.rows().schema.names
    known = [name for name in ROW_SCHEMA.names if name not in ("role", "section")]
    assert before.select(known).equals(store.rows(columns=known))
    assert [None] * 7 == store.rows(columns=["section"])["section"].to_pylist()
    assert {None} == set(store.rows("av", ["role", "row_id"])["role"].to_pylist())


def test_a_store_of_version_1_is_not_continued(tmp_path: Path) -> None:
    """Rows with more columns are not added to a store that was begun without them."""
    filled(tmp_path)

    with pytest.raises(
        StoreError, match=r"was begun with schema_version 1, and this nlakit writes 2.*delete the store"
    ):
        writer(as_version_1(tmp_path))


def test_other_settings_are_named(tmp_path: Path) -> None:
    """A store begun with other settings is not continued, and the difference is named."""
    writer(tmp_path)

    with pytest.raises(StoreError, match=r"settings\.seed: was 0, now 1"):
        writer(tmp_path, seed=1)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", ["safetensors", "parquet"])
def test_verify_finds_one_flipped_bit(tmp_path: Path, suffix: str) -> None:
    """A single changed bit in either file of a shard is found, and the shard is named."""
    store, _ = filled(tmp_path)
    assert [] == store.verify()
    flip(tmp_path / f"shard-00002.{suffix}")

    (problem,) = store.verify()
    assert problem.startswith(f"shard-00002.{suffix} has the SHA-256")


def test_missing_and_cut_files_are_found_on_opening(tmp_path: Path) -> None:
    """A file that is gone or has another length is reported before a row is read, all such files together."""
    filled(tmp_path)
    (tmp_path / "shard-00000.parquet").unlink()
    with (tmp_path / "shard-00002.safetensors").open("ab") as file:
        file.write(b"x")

    with pytest.raises(DamagedShardError, match=r"shard-00000\.parquet is missing; shard-00002\.safetensors has"):
        Store(tmp_path)


@pytest.mark.parametrize("keep", [4, 60])
def test_damaged_header(tmp_path: Path, keep: int) -> None:
    """A tensor file whose header is overwritten is reported as damage, not as a crash."""
    store, _ = filled(tmp_path)
    path = tmp_path / "shard-00000.safetensors"
    data = path.read_bytes()
    path.write_bytes(b"\xff" * keep + data[keep:])

    with pytest.raises(DamagedShardError, match=r"shard-00000\.safetensors has no readable header"):
        store.vectors([0])


def test_header_that_disagrees_with_the_manifest(tmp_path: Path) -> None:
    """A tensor of another shape under the right name is refused."""
    store, _ = filled(tmp_path)
    safetensors.torch.save_file({"vectors": torch.zeros(2, WIDTH)}, tmp_path / "shard-00000.safetensors")

    with pytest.raises(DamagedShardError, match=r"holds F32 \[2, 4\], the manifest says float32 \[4, 4\]"):
        store.vectors([0])


def test_unreadable_table(tmp_path: Path) -> None:
    """A Parquet file that cannot be parsed is reported as damage."""
    store, _ = filled(tmp_path)
    (tmp_path / "shard-00000.parquet").write_bytes(b"no table")

    with pytest.raises(DamagedShardError, match=r"shard-00000\.parquet cannot be read"):
        store.rows()


def test_replacing_a_damaged_shard(tmp_path: Path) -> None:
    """A damaged shard is written again with the same rows, and with other rows refused and left as it is."""
    filled(tmp_path)
    before = digests(tmp_path)
    flip(tmp_path / "shard-00002.safetensors")
    made = writer(tmp_path)

    assert [2] == made.damaged()
    with pytest.raises(StoreError, match="gives other rows than the manifest records"):
        made.replace(2, vectors(3, 9), rows("rl", "rl", "av", start=4), {"short": 2})
    assert [2] == made.damaged()
    made.replace(2, vectors(3, 2), rows("rl", "rl", "av", start=4), {"short": 2})
    assert [] == made.damaged()
    assert before == digests(tmp_path)


def test_fingerprint_follows_every_row(tmp_path: Path) -> None:
    """Stores of the same rows have one fingerprint, one changed number gives another."""
    a, _ = filled(tmp_path / "a")
    b, _ = filled(tmp_path / "b")
    made = writer(tmp_path / "c")
    made.append(vectors(4, 1) + torch.eye(4) * 1e-3, rows(*SPLITS))
    made.finish()

    assert a.fingerprint == b.fingerprint
    assert a.fingerprint != Store(tmp_path / "c").fingerprint


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room is noticed before the shard is written, and earlier shards stay."""
    made = writer(tmp_path)
    made.append(vectors(1), rows("av"))
    monkeypatch.setattr("nlakit.storage.shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())

    with pytest.raises(StorageFullError, match="Free some space"):
        made.append(vectors(1), rows("av"))
    assert [] == made.damaged()
    assert 1 == len(made.manifest.shards)


def test_manifest_layout() -> None:
    """The manifest's fields are frozen: stores on disk are read by them."""
    record = FileRecord.of(b"abc")
    shard = ShardRecord(name="shard-00000", rows=1, vectors=record, table=record, counts={"short": 0})
    manifest = Manifest(width=2, dtype="bfloat16", settings={"seed": 1}, shards=(shard,))

    assert {
        "size": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    } == record.model_dump()
    assert {"schema_version", "width", "dtype", "settings", "complete", "shards", "corpus_counts"} == set(
        manifest.model_dump()
    )
    assert {"name", "rows", "vectors", "table", "counts"} == set(shard.model_dump())


def test_number_rows() -> None:
    """Rows are numbered from where they are told to begin."""
    assert [5, 6] == number_rows(rows("av", "ar"), 5)["row_id"].to_pylist()
