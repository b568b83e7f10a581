from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from torch import Tensor

from nlakit.config import ExtractConfig
from nlakit.data import extract
from nlakit.data.corpus import Document, Message
from nlakit.data.extract import extract_rows, read_vectors
from nlakit.data.sampling import split_of
from nlakit.data.store import ROW_SCHEMA, Store
from nlakit.errors import DamagedShardError, InputError, ModelError, RunError, StoreError
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.progress import Progress
from nlakit.runs import RunFolder
from nlakit.testing import SENTENCES, tiny_recipe, tiny_target

SITE = Site.parse("resid.1")
CONFIG = ExtractConfig(rows_per_document=3, min_position=4, max_tokens=64, batch_tokens=200)


@pytest.fixture(scope="module")
def target() -> Target:
    return tiny_target()


def documents(count: int = 12) -> list[Document]:
    """Make texts of different lengths whose truth is what was read."""
    texts = [" ".join(SENTENCES[(i + j) % len(SENTENCES)] for j in range(1 + i % 4)) for i in range(count)]
    return [
        Document(f"d{i}", f"{i}: {text}", truth_at=lambda end, t=f"{i}: {text}": {"read": t[:end]})
        for i, text in enumerate(texts)
    ]


def by_row(vectors_ND: Tensor, rows: pa.Table) -> dict[tuple[str, int], Tensor]:
    keys = zip(rows["document_id"].to_pylist(), rows["position"].to_pylist(), strict=True)
    return dict(zip(keys, vectors_ND, strict=True))


def test_vectors_are_those_of_a_document_read_alone(target: Target) -> None:
    """Batches, padding and stopping early change nothing: each vector is hidden_states[K+1] of its document alone."""
    vectors_ND, rows = extract_rows(target, SITE, documents(), CONFIG, seed=0)

    assert 36 == len(rows) == len(vectors_ND)
    for document in documents():
        ids = target.encode(document.text, literal=True, max_tokens=64).ids
        with torch.no_grad():
            states = target.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        for (owner, position), vector_D in by_row(vectors_ND, rows).items():
            if owner == document.id:
                torch.testing.assert_close(vector_D, states[2][0, position], rtol=1e-4, atol=1e-4)


def test_rows_say_what_was_read(target: Target) -> None:
    """Token, context, truth, norm, site and split belong to the position of the row."""
    vectors_ND, table = extract_rows(target, SITE, documents(), CONFIG, seed=0)

    assert ROW_SCHEMA == table.schema
    assert list(range(36)) == table["row_id"].to_pylist()
    texts = {document.id: document.text for document in documents()}
    for row, vector_D in zip(table.to_pylist(), vectors_ND, strict=True):
        encoded = target.encode(texts[row["document_id"]], literal=True)
        end = encoded.offsets[row["position"]][1]
        assert texts[row["document_id"]][:end] == row["context"]
        assert {"read": row["context"]} == json.loads(row["truth"])
        assert (encoded.ids[row["position"]], encoded.tokens[row["position"]]) == (row["token_id"], row["token"])
        assert ("resid.1", split_of(0, row["document_id"], CONFIG.split)) == (row["site"], row["split"])
        assert float(vector_D.norm()) == pytest.approx(row["norm"], rel=1e-5)


def test_order_and_company_change_nothing(target: Target) -> None:
    """A document gives the same rows whatever comes before it, however it is sharded and batched."""
    whole = by_row(*extract_rows(target, SITE, documents(), CONFIG, seed=0))
    other = CONFIG.model_copy(update={"batch_tokens": 64})
    parts: dict[tuple[str, int], Tensor] = {}
    for part in (documents()[7:][::-1], documents()[:7]):
        parts |= by_row(*extract_rows(target, SITE, part, other, seed=0))

    assert whole.keys() == parts.keys()
    for key, vector_D in whole.items():
        torch.testing.assert_close(parts[key], vector_D, rtol=1e-4, atol=1e-4)


def test_no_document_is_in_two_splits(target: Target) -> None:
    """All rows of a document are in one split."""
    _, table = extract_rows(target, SITE, documents(40), CONFIG, seed=0)
    owners: dict[str, set[str]] = {}
    for document, split in zip(table["document_id"].to_pylist(), table["split"].to_pylist(), strict=True):
        owners.setdefault(document, set()).add(split)

    assert 40 == len(owners)
    assert all(len(splits) == 1 for splits in owners.values())
    assert 1 < len(set().union(*owners.values()))


def test_another_seed_draws_other_positions(target: Target) -> None:
    """Positions follow the seed."""
    _, a = extract_rows(target, SITE, documents(), CONFIG, seed=0)
    _, b = extract_rows(target, SITE, documents(), CONFIG, seed=1)

    assert a["position"].to_pylist() != b["position"].to_pylist()


def test_short_documents_are_counted(target: Target) -> None:
    """A document without a token at min_position gives no row and is counted; one that is cut is counted too."""
    counts: Counter[str] = Counter()
    found = [Document("short", "one"), *documents(2), Document("long", "The cat sat. " * 90)]
    _, table = extract_rows(target, SITE, found, CONFIG, 0, counts)

    assert {"short": 1, "cut": 1, "escaped": 0} == counts
    assert "short" not in table["document_id"].to_pylist()


def test_nothing_to_read(target: Target) -> None:
    """No document, or only short ones, give an empty tensor of the right width and an empty table."""
    for none in ([], [Document("a", "one")]):
        vectors_ND, table = extract_rows(target, SITE, none, CONFIG, 0)
        assert (0, target.d_model) == tuple(vectors_ND.shape)
        assert ROW_SCHEMA == table.schema


def test_bfloat16_rounds_as_the_store_does(target: Target) -> None:
    """With extract.dtype bfloat16 fresh rows have the very numbers that a store would give back."""
    config = CONFIG.model_copy(update={"dtype": "bfloat16"})
    exact_ND, _ = extract_rows(target, SITE, documents(), CONFIG, 0)
    rounded_ND, table = extract_rows(target, SITE, documents(), config, 0)

    torch.testing.assert_close(rounded_ND, exact_ND.bfloat16().float(), rtol=0, atol=0)
    assert rounded_ND.norm(dim=1).tolist() == pytest.approx(table["norm"].to_pylist(), rel=1e-5)


def test_chats_are_read_through_the_template(target: Target) -> None:
    """A chat is read as the target's template renders it."""
    messages = [Message("user", "Where is the key of the old box?"), Message("assistant", "By the window.")]
    _, table = extract_rows(target, SITE, [Document.chat("c", messages)], CONFIG, 0)
    rendered = target.render([{"role": m.role, "content": m.content} for m in messages])

    assert 3 == len(table)
    assert all(rendered.startswith(context) for context in table["context"].to_pylist())


def test_control_tokens_give_no_row(target: Target) -> None:
    """Turn markers and other special tokens are never drawn, however many rows are asked for."""
    messages = [Message("user", "Where is the key?"), Message("assistant", "By the window.")]
    config = CONFIG.model_copy(update={"rows_per_document": 100, "min_position": 0})
    _, table = extract_rows(target, SITE, [Document.chat("c", messages)], config, 0)

    assert set(table["token_id"].to_pylist()).isdisjoint(target.tokenizer.all_special_ids)
    assert "key" in "".join(table["token"].to_pylist())


def test_only_what_is_needed_is_computed(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches hold texts of one length up to their last position, within batch_tokens; no block after the site runs."""
    shapes: list[tuple[int, int]] = []
    real = Site.read

    def spy(self: Site, on: Target, tokens_BT: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        shapes.append((tokens_BT.shape[0], tokens_BT.shape[1]))
        return real(self, on, tokens_BT, mask_BT)

    later: list[Any] = []
    hook = target.blocks[2].register_forward_hook(lambda *_: later.append(1))
    monkeypatch.setattr(Site, "read", spy)
    texts = [([5] * 40, [3, 9]), ([6] * 40, [30]), ([7] * 40, [8]), ([8] * 40, [29])]
    vectors_ND = read_vectors(target, SITE, texts, batch_tokens=64)
    hook.remove()

    assert [(2, 10), (2, 31)] == shapes
    assert [] == later
    assert (5, target.d_model) == tuple(vectors_ND.shape)


def test_one_long_text_still_fits(target: Target) -> None:
    """A text longer than batch_tokens is read alone."""
    assert 1 == len(read_vectors(target, SITE, [([5] * 40, [39])], batch_tokens=8))


def test_broken_numbers_are_named(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that gives NaN is refused with document and position; nothing reaches a store."""
    monkeypatch.setattr(Site, "read", lambda self, on, tokens_BT: torch.full((*tokens_BT.shape, 32), torch.nan))

    with pytest.raises(ModelError, match=r"not finite at resid\.1, document 'd0', position \d+ \(36 of 36"):
        extract_rows(target, SITE, documents(), CONFIG, 0)


def run(folder: Path, **changes: Any) -> Path:
    recipe = tiny_recipe(folder / "inputs", documents=20, **changes)
    run_folder = RunFolder(folder / "run")
    run_folder.write_config(recipe)
    return extract.run(recipe, run_folder, Progress(silent=True))


def test_run_makes_a_store(tmp_path: Path) -> None:
    """The stage writes shards, records what decided them, and counts documents and duplicates."""
    store = Store(run(tmp_path, extract={"shard_rows": 12}))

    assert (60, 5) == (len(store), len(store.manifest.shards))
    assert [] == store.verify()
    assert {"documents": 20, "duplicates": 0, "short": 0}.items() <= store.counts.items()
    assert {"target", "tokenizer", "corpus", "site", "extract", "seed"} == store.settings.keys()
    done = json.loads((store.folder / "done.json").read_text())
    assert (store.counts, store.settings) == (done["outputs"], done["settings"])
    assert 60 == len(extract.open_store(RunFolder(tmp_path / "run")))


def test_sharding_changes_no_row(tmp_path: Path) -> None:
    """Other shards, same rows: only their grouping differs."""
    few, many = (Store(run(tmp_path / str(n), extract={"shard_rows": n})) for n in (60, 7))

    columns = [name for name in ROW_SCHEMA.names if name != "norm"]  # other batches, other last bits
    assert few.rows(columns=columns).equals(many.rows(columns=columns))
    torch.testing.assert_close(few.vectors(), many.vectors(), rtol=1e-4, atol=1e-4)


def test_duplicates_are_left_out(tmp_path: Path) -> None:
    """A text that comes twice gives its rows once, also when the copy is the last line."""
    recipe = tiny_recipe(tmp_path / "inputs", documents=4)
    corpus = Path(str(recipe.corpus.path))
    lines = corpus.read_text().splitlines()
    corpus.write_text("\n".join([*lines, lines[0].replace("tiny-0", "copy")]) + "\n")
    recipe = recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update={"documents": 5})})
    store = Store(extract.run(recipe, RunFolder(tmp_path / "run"), Progress(silent=True)))

    assert (4, 1) == (store.counts["documents"], store.counts["duplicates"])


def test_finished_stage_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run with the same settings touches nothing; with others it is refused by name."""
    folder = run(tmp_path)
    monkeypatch.setattr(extract, "extract_rows", lambda *_: pytest.fail("extracted again"))

    assert folder == run(tmp_path)
    with pytest.raises(RunError, match=r"extract\.min_position: was 4, now 5"):
        run(tmp_path, extract={"min_position": 5})


def test_damaged_shard_is_made_anew(tmp_path: Path) -> None:
    """Without its done marker a store with a damaged shard is repaired to the very bytes it had."""
    folder = run(tmp_path, extract={"shard_rows": 12})
    path = folder / "shard-00002.safetensors"
    before = path.read_bytes()
    path.write_bytes(before[:-3] + b"xyz")
    assert [True] == ["shard-00002" in problem for problem in Store(folder).verify()]
    (folder / "done.json").unlink()
    run(tmp_path, extract={"shard_rows": 12})

    assert before == path.read_bytes()


def test_all_documents_too_short(tmp_path: Path) -> None:
    """When no document is long enough the message names the option to lower."""
    with pytest.raises(InputError, match=r"none of the 20 documents.*Lower extract\.min_position \(now 90\)"):
        run(tmp_path, extract={"min_position": 90, "max_tokens": 80})


def test_empty_corpus(tmp_path: Path) -> None:
    """A corpus without a document is refused by name."""
    recipe = tiny_recipe(tmp_path / "inputs", documents=4)
    Path(str(recipe.corpus.path)).write_text("\n")

    with pytest.raises(InputError, match="the corpus 'jsonl' holds no document"):
        extract.run(recipe, RunFolder(tmp_path / "run"), Progress(silent=True))


def test_a_changed_byte_stops_the_next_stage(tmp_path: Path) -> None:
    """A shard that still has its size and header, but other numbers, is found before anything is trained on it."""
    folder = run(tmp_path)
    shard = folder / "shard-00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)

    with pytest.raises(DamagedShardError, match=r"shard-00000.safetensors"):
        extract.open_store(RunFolder(tmp_path / "run"))


def test_store_of_an_unfinished_stage(tmp_path: Path) -> None:
    """Later stages are told to run this one first."""
    with pytest.raises(RunError, match="no finished stage 'extract'"):
        extract.open_store(RunFolder(tmp_path))
    with pytest.raises(StoreError, match="holds no store"):
        Store(tmp_path)
