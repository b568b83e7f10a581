"""Data sets of the reference pipeline: into a store and out of one, with raw vectors."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from nlakit.data.reference import export_dataset, import_dataset
from nlakit.data.store import Store
from nlakit.errors import CardError, InputError
from nlakit.testing import tiny_pair

D, K = 32, 1
SIDE = {
    "kind": "nla_dataset",
    "schema_version": 1,
    "stage": "av_sft",
    "extraction": {"base_model": "some/model", "d_model": D, "layer_index": K, "norm": "none"},
    "prompt_templates": {"actor": "What is <concept>{injection_char}</concept>?"},
}


def vectors(n):
    return 50 * torch.randn((n, D), generator=torch.Generator().manual_seed(0))


def write(folder, n=5, side=SIDE, **changes):
    """A data set as the pipeline writes it; ``changes`` replace columns, or drop those that are None."""
    columns = {
        "prompt": [[{"role": "user", "content": "What is <concept><INJECT></concept>?"}]] * n,
        "response": [f"<explanation>\nrow {i}\n</explanation>" for i in range(n)],
        "activation_vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors(n).numpy().reshape(-1)), D),
        "n_raw_tokens": [51 + i for i in range(n)],
        "activation_layer": [K] * n,
        "doc_id": [f"doc-{i // 2}" for i in range(n)],
        "detokenized_text_truncated": [f"text {i}" for i in range(n)],
    } | changes
    file = folder / "av.parquet"
    pq.write_table(pa.table({name: column for name, column in columns.items() if column is not None}), file)
    (folder / "av.parquet.nla_meta.yaml").write_text(yaml.safe_dump(side))
    return file


def test_a_data_set_becomes_a_store_with_the_same_vectors(tmp_path):
    """Vectors come bit for bit, positions are one less than the tokens, and the stage decides the split."""
    store = Store(import_dataset(write(tmp_path), tmp_path / "store"))
    rows = store.rows("av").to_pylist()

    assert torch.equal(vectors(5), store.vectors())
    assert [50, 51, 52, 53, 54] == [row["position"] for row in rows]
    assert ("doc-2", "text 4", "resid.1", -1) == tuple(
        rows[4][k] for k in ("document_id", "context", "site", "token_id")
    )
    assert "some/model" == store.settings["target"]["model"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doc_id": None}, "lacks the columns doc_id"),
        ({"activation_layer": [K, K, K, K, K + 1]}, r"of the layers \['1', '2'\]"),
        ({"activation_vector": [[1.0] * 8] * 5}, "are not 32 wide"),
        ({"activation_vector": ["x"] * 5}, "lists of float32 were expected"),
        ({"activation_vector": [[float("nan")] * D] * 5}, "NaN or infinity in 5 of 5 rows"),
        ({"side": {**SIDE, "stage": "base"}}, "split is None"),
        ({"side": {**SIDE, "extraction": {**SIDE["extraction"], "norm": "l2"}}}, "not raw"),
    ],
)
def test_a_data_set_that_does_not_fit_is_refused(tmp_path, changes, message):
    """One sentence says what is wrong, and no store is left behind."""
    file = write(tmp_path, **changes)

    with pytest.raises((InputError, CardError), match=message):
        import_dataset(file, tmp_path / "store")
    assert {"av.parquet", "av.parquet.nla_meta.yaml"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("split", ["av", "ar", "rl"])
def test_a_store_becomes_a_data_set_and_comes_back(tmp_path, split):
    """Each split has the columns of its stage, and importing it again gives the same rows and vectors."""
    card = tiny_pair().card
    store = Store(import_dataset(write(tmp_path), tmp_path / "store", split=split))
    explanations = None if split == "rl" else ([0, 2, 3], ["a", "b", "c"])
    kept = [0, 1, 2, 3, 4] if split == "rl" else [0, 2, 3]

    file = export_dataset(store, card, tmp_path / "out.parquet", split=split, explanations=explanations)
    table = pq.read_table(file)
    again = Store(import_dataset(file, tmp_path / "again"))

    assert (split == "av") == ("response" in table.column_names)
    prompt = table["prompt"].to_pylist()[0]
    if split == "ar":
        assert card.prompts.reconstructor.replace("{explanation}", "a") == prompt
    else:
        assert [{"role": "user", "content": card.prompts.verbalizer.replace("{marker}", "<INJECT>")}] == prompt
    assert pa.list_(pa.float32(), D) == table.schema.field("activation_vector").type
    assert torch.equal(store.vectors(kept), again.vectors())
    columns = ("document_id", "position", "context", "site", "split")
    assert store.rows().take(kept).select(columns).to_pylist() == again.rows().select(columns).to_pylist()


def test_nothing_is_overwritten_and_explanations_are_asked_for(tmp_path):
    """A file or folder that is there stays, and a split to learn from needs explanations."""
    file = write(tmp_path)
    store = Store(import_dataset(file, tmp_path / "store"))
    card = tiny_pair().card

    with pytest.raises(InputError, match="store exists already"):
        import_dataset(file, tmp_path / "store")
    with pytest.raises(InputError, match="exists already"):
        export_dataset(store, card, file, split="av")
    with pytest.raises(InputError, match="none were given"):
        export_dataset(store, card, tmp_path / "new.parquet", split="av")
    with pytest.raises(InputError, match="no row to write"):
        export_dataset(store, card, tmp_path / "new.parquet", split="rl")
    other = card.model_copy(update={"site": "resid.2"})
    with pytest.raises(InputError, match="at resid.1, and the pair reads 32 at resid.2"):
        export_dataset(store, other, tmp_path / "new.parquet", split="av", explanations=([0], ["a"]))
