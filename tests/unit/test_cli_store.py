"""Tests of the commands ``store import`` and ``store export``: data sets of the reference pipeline, good and bad."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from tests.unit.data.test_reference import SIDE, D, K, vectors, write

from nlakit.cli import main
from nlakit.data.store import Store
from nlakit.testing import tiny_pair_folder

LAYERLESS = {key: value for key, value in SIDE["extraction"].items() if key != "layer_index"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_pair_folder(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of five rows of the split rl."""
    folder = tmp_path / "source"
    folder.mkdir()
    assert 0 == ended(["store", "import", str(write(folder)), "--out", str(tmp_path / "store"), "--split", "rl"])
    return tmp_path / "store"


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with 2 and one sentence, and return that."""
    capsys.readouterr()
    assert 2 == ended(arguments)
    out, err = capsys.readouterr()
    assert ("", 1) == (out, len(err.splitlines()))
    assert err.startswith("error: ")
    return err


def annotated(folder: Path, texts: dict[int, str]) -> Path:
    """Explanations of rows of the split av, as the stage annotate writes them."""
    folder.mkdir()
    columns = {
        "row_id": list(texts),
        "split": ["av"] * len(texts),
        "text": list(texts.values()),
        "outcome": ["ok"] * len(texts),
    }
    schema = pa.schema(
        [pa.field(name, pa.int64() if name == "row_id" else pa.string(), nullable=False) for name in columns]
    )
    pq.write_table(pa.table(columns, schema=schema), folder / "shard-00000.parquet")
    (folder / "done.json").write_text("{}")
    return folder


def test_a_data_set_becomes_a_store_and_a_data_set_again(
    tmp_path: Path, pair: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both commands say what they wrote; vectors come back bit for bit, with the explanations that are given."""
    (tmp_path / "in").mkdir()
    file = write(tmp_path / "in")
    explanations = annotated(tmp_path / "annotate", {0: "a cat", 3: "a door"})

    assert 0 == ended(["store", "import", str(file), "--out", str(tmp_path / "store"), "--json"])
    assert {"store": str(tmp_path / "store"), "rows": 5, "width": D} == json.loads(capsys.readouterr().out)
    out = tmp_path / "new" / "av.parquet"
    arguments = ["store", "export", str(tmp_path / "store"), "--pair", pair, "--out", str(out), "--split", "av"]
    assert 0 == ended([*arguments, "--explanations", str(explanations), "--json"])
    assert {"file": str(out), "split": "av"} == json.loads(capsys.readouterr().out)

    table = pq.read_table(out)
    assert ["<explanation>\na cat\n</explanation>", "<explanation>\na door\n</explanation>"] == table[
        "response"
    ].to_pylist()
    assert torch.equal(vectors(5)[[0, 3]], torch.tensor(table["activation_vector"].to_pylist()))
    assert 0 == ended(["store", "import", str(out), "--out", str(tmp_path / "again")])
    assert "again: 2 rows of width 32" in capsys.readouterr().out
    assert torch.equal(vectors(5)[[0, 3]], Store(tmp_path / "again").vectors())
    rows = Store(tmp_path / "again").rows().to_pylist()
    assert [(None, None, -1, "av")] * 2 == [
        tuple(row[k] for k in ("role", "section", "token_id", "split")) for row in rows
    ]


def missing(file: Path) -> None:
    file.unlink()


def without_side(file: Path) -> None:
    file.with_name("av.parquet.nla_meta.yaml").unlink()


def no_yaml(file: Path) -> None:
    file.with_name("av.parquet.nla_meta.yaml").write_text("a: [")


def no_parquet(file: Path) -> None:
    file.write_bytes(b"hello")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


def damaged(file: Path) -> None:
    table = pq.read_table(file)
    pq.write_table(table, file, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(file.read_bytes())
    middle = content.find(vectors(5).numpy().tobytes()[:16])
    content[middle] ^= 0xFF
    file.write_bytes(bytes(content))


def of_a_model(file: Path) -> None:
    file.with_name("av.parquet.nla_meta.yaml").write_text(yaml.safe_dump({**SIDE, "kind": "nla_model"}))


def other_width(file: Path) -> None:
    side = {**SIDE, "extraction": {**SIDE["extraction"], "d_model": D + 1}}
    file.with_name("av.parquet.nla_meta.yaml").write_text(yaml.safe_dump(side))


def no_layer(file: Path) -> None:
    file.with_name("av.parquet.nla_meta.yaml").write_text(yaml.safe_dump({**SIDE, "extraction": LAYERLESS}))


def column(name: str, values: list[Any]) -> Callable[[Path], None]:
    def replace(file: Path) -> None:
        write(file.parent, **{name: values})

    return replace


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (missing, "there is no file"),
        (without_side, "there is no av.parquet.nla_meta.yaml"),
        (no_yaml, "cannot be read as YAML"),
        (no_parquet, "cannot be read as Parquet"),
        (cut, "cannot be read as Parquet"),
        (damaged, "is damaged"),
        (of_a_model, "describes a 'nla_model', and 'nla_dataset' was expected"),
        (other_width, "are not 33 wide, as the side file says"),
        (no_layer, "does not say which layer"),
        (column("doc_id", [None] * 5), "doc_id is missing"),
        (column("n_raw_tokens", [51, None, 51, 51, 51]), "n_raw_tokens is None"),
        (column("n_raw_tokens", ["51"] * 5), "n_raw_tokens is '51'"),
        (column("n_raw_tokens", [0] * 5), "n_raw_tokens is 0"),
        (column("detokenized_text_truncated", [7] * 5), "detokenized_text_truncated is 7"),
        (column("activation_layer", [K + 1] * 5), "of the layers ['2'], and the side file says 1"),
        (column("activation_vector", [[float("inf")] * D] * 5), "NaN or infinity"),
    ],
)
def test_what_is_no_data_set_of_the_pipeline_is_one_sentence(
    tmp_path: Path, spoil: Callable[[Path], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """``store import`` ends with 2 and leaves nothing of a store behind."""
    file = write(tmp_path)
    spoil(file)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert message in refused(["store", "import", str(file), "--out", str(tmp_path / "store")], capsys)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_import_replaces_nothing_and_knows_its_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is there stays as it is, and a split that is none is named."""
    file = write(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mine.txt").write_text("mine")

    assert "store exists already; choose another --out" in refused(
        ["store", "import", str(file), "--out", str(tmp_path / "store")], capsys
    )
    assert "split is 'test'" in refused(
        ["store", "import", str(file), "--out", str(tmp_path / "other"), "--split", "test"], capsys
    )
    assert ["mine.txt"] == [path.name for path in (tmp_path / "store").iterdir()]
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folder": "no-such-store"}, "no-such-store holds no store"),
        ({"--pair": "terrarium"}, "vectors of width 32 at resid.1, and the pair reads 192"),
        ({"--pair": "terarium"}, "Did you mean 'terrarium'"),
        ({"--split": "test"}, "split is 'test'"),
        ({"--split": "heldout"}, "has no row to write"),
        ({"--split": "av"}, "for learning from explanations, and none were given"),
        ({"--split": "av", "--explanations": "no-such-folder"}, "holds no finished annotations"),
    ],
)
def test_an_export_that_cannot_be_is_one_sentence(
    tmp_path: Path, store: Path, pair: str, changes: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """``store export`` ends with 2 and writes nothing."""
    options = {"folder": str(store), "--pair": pair, "--out": str(tmp_path / "out" / "rl.parquet")} | changes
    folder = options.pop("folder")

    said = refused(["store", "export", folder, *(word for option in options.items() for word in option)], capsys)

    assert message in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["rl.parquet", "rl.parquet.nla_meta.yaml"])
def test_export_replaces_nothing(
    tmp_path: Path, store: Path, pair: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a data set nor a side file that is there."""
    (tmp_path / name).write_text("mine")

    said = refused(["store", "export", str(store), "--pair", pair, "--out", str(tmp_path / "rl.parquet")], capsys)

    assert f"{name} exists already; choose another --out" in said
    assert "mine" == (tmp_path / name).read_text()
    assert {"source", "store", name} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", ["shard-00000.safetensors", "shard-00000.parquet"])
def test_a_damaged_store_is_not_exported(
    tmp_path: Path, store: Path, pair: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shard that lost bytes is found before anything is written."""
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    (copy / name).write_bytes((copy / name).read_bytes()[:-4])

    assert f"{name} has" in refused(
        ["store", "export", str(copy), "--pair", pair, "--out", str(tmp_path / "rl.parquet")], capsys
    )
    assert not list(tmp_path.glob("*rl.parquet*"))
