from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from torch import Tensor

from nlakit.config import CorpusConfig, ExtractConfig, Recipe
from nlakit.data import extract
from nlakit.data.corpus import Document, Message, load_corpus
from nlakit.data.extract import extract_rows, read_vectors
from nlakit.data.sampling import positions_for, split_of
from nlakit.data.store import ROW_SCHEMA, Store
from nlakit.data.tokens import tokenise
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


def test_short_documents_are_read_from_half_of_their_length(target: Target) -> None:
    """A document that ends before min_position gives rows from its half on, and one of a single token none; both are counted."""
    config = CONFIG.model_copy(update={"rows_per_document": 100, "min_position": 30})
    short = Document("short", "The cat sat on the mat.")
    length = len(target.encode(short.text, literal=True))
    counts: Counter[str] = Counter()
    _, table = extract_rows(target, SITE, [short, Document("a", "a"), Document("blank", "")], config, 0, counts)

    assert length < 30
    assert [("short", position) for position in range(length // 2, length)] == list(
        zip(table["document_id"].to_pylist(), table["position"].to_pylist(), strict=True)
    )
    assert {"lowered": 1, "short": 2, "tokens": length}.items() <= counts.items()


def test_long_documents_keep_the_minimum(target: Target) -> None:
    """A single token at min_position is enough for the minimum to hold, and cut documents are counted."""
    ids = target.encode(SENTENCES[0], literal=True).ids
    config = CONFIG.model_copy(update={"rows_per_document": 100, "min_position": len(ids) - 1})
    counts: Counter[str] = Counter()
    found = [Document("d", SENTENCES[0]), Document("long", "The cat sat. " * 90)]
    _, table = extract_rows(target, SITE, found, config, 0, counts)

    assert [len(ids) - 1] == [row["position"] for row in table.to_pylist() if row["document_id"] == "d"]
    assert {"lowered": 0, "short": 0, "cut": 1, "escaped": 0, "unplaced": 0}.items() <= counts.items()


def test_terrarium_rows_are_those_of_its_minimum() -> None:
    """Documents of the built-in world are longer than its recipes' minimum, so every position is drawn as from there on."""
    target = Target.load("terrarium")
    config = ExtractConfig(min_position=8)
    corpus = list(load_corpus(CorpusConfig(name="terrarium", documents=24)))
    counts: Counter[str] = Counter()
    _, table = extract_rows(target, Site.parse("resid.0"), corpus, config, 0, counts)
    special = set(target.tokenizer.all_special_ids)
    expected = []
    for document in corpus:
        (read,) = tokenise(target, [document], config.max_tokens)
        ordinary = [position for position in range(8, len(read)) if read.ids[position] not in special]
        expected += [(document.id, position) for position in positions_for(0, document.id, ordinary, 5)]

    assert (0, 0) == (counts["lowered"], counts["short"])
    assert expected == list(zip(table["document_id"].to_pylist(), table["position"].to_pylist(), strict=True))


def test_nothing_to_read(target: Target) -> None:
    """No document, or only blank ones, give an empty tensor of the right width and an empty table."""
    for none in ([], [Document("a", "")]):
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


def test_rows_keep_role_and_section(target: Target) -> None:
    """A row of a chat says whose words its token lies in; a row of plain text has no role."""
    messages = [Message("user", "Where is the key?"), Message("assistant", "By the window.")]
    config = CONFIG.model_copy(update={"rows_per_document": 100, "min_position": 0})
    _, table = extract_rows(target, SITE, [Document.chat("c", messages), Document("d", "The cat")], config, 0)
    said: dict[object, str] = {}
    for row in table.to_pylist():
        key = (row["document_id"], row["role"], row["section"])
        said[key] = said.get(key, "") + row["token"]

    assert {
        ("c", "user", "content"): "Where is the key?",
        ("c", "assistant", "content"): "By the window.",
        ("d", None, "text"): "The cat",
    } == said


def test_chats_that_a_template_changes_are_counted() -> None:
    """Where roles and sections cannot be told they are null, and the chat is counted."""
    target = tiny_target()
    target.tokenizer.chat_template = "{% for m in messages %}{{ m['content'][:9] }}{% endfor %}"
    counts: Counter[str] = Counter()
    _, table = extract_rows(target, SITE, [Document.chat("c", [Message("user", "The cat sat")])], CONFIG, 0, counts)

    assert 1 == counts["unplaced"]
    assert {(None, None)} == set(zip(table["role"].to_pylist(), table["section"].to_pylist(), strict=True))


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


@pytest.mark.slow
def test_workers_change_no_byte(tmp_path: Path) -> None:
    """Two processes make the very files that one makes, truth of chats and texts included."""
    whole = extract.run(world(1), RunFolder(tmp_path / "one"), Progress(silent=True))
    shared = extract.run(world(2), RunFolder(tmp_path / "two"), Progress(silent=True))
    names = sorted(path.name for path in whole.iterdir() if path.name != "done.json")

    assert names == sorted(path.name for path in shared.iterdir() if path.name != "done.json")
    assert [] == [name for name in names if (whole / name).read_bytes() != (shared / name).read_bytes()]
    assert all(Store(shared).rows()["truth"].to_pylist())
    assert 2 == json.loads((shared / "done.json").read_text())["measured"]["workers"]


def world(workers: int) -> Recipe:
    """Make a recipe of a few Terrarium documents in several shards."""
    return Recipe(
        name="world",
        description="Terrarium.",
        corpus=CorpusConfig(documents=24),
        extract=ExtractConfig(min_position=8, shard_rows=30, workers=workers),
    )


def test_the_number_of_workers_decides_nothing(tmp_path: Path) -> None:
    """A store that one process made is the finished stage of a recipe that asks for two."""
    folder = run(tmp_path)
    before = (folder / "done.json").read_bytes()
    run(tmp_path, extract={"workers": 2})

    assert before == (folder / "done.json").read_bytes()


@pytest.mark.slow
def test_an_error_in_a_worker_is_the_same_sentence(tmp_path: Path) -> None:
    """What is wrong with a document is said as without workers, and what came before it is kept."""
    said = []
    for workers in (1, 2):
        inputs, folder = tmp_path / f"inputs{workers}", tmp_path / f"run{workers}"
        recipe = tiny_recipe(inputs, documents=20, extract={"shard_rows": 12, "workers": workers})
        corpus = Path(str(recipe.corpus.path))
        lines = corpus.read_text().splitlines()
        chat = {"messages": [{"role": "user", "content": "Hi"}]}
        lines[10] = json.dumps(chat)
        corpus.write_text("\n".join(lines))
        template = Path(recipe.target.model) / "chat_template.jinja"
        assert template.exists()
        template.write_text("{{ raise_exception('no chats here') }}")
        with pytest.raises(InputError) as error:
            extract.run(recipe, RunFolder(folder), Progress(silent=True))
        said.append(str(error.value).replace(str(inputs), ""))
        assert 2 == len(list((folder / "extract").glob("shard-*.parquet")))

    assert "no chats here" in said[0]
    assert said[0] == said[1]


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


def test_lowered_minimum_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When documents are shorter than min_position the command says how many, and so does the manifest."""
    recipe = tiny_recipe(tmp_path / "inputs", documents=20, extract={"min_position": 90, "max_tokens": 80})
    store = Store(extract.run(recipe, RunFolder(tmp_path / "run"), Progress()))
    said = " ".join(capsys.readouterr().err.split())

    assert "extract: 20 of 20 documents end before extract.min_position (90) and were read from half of" in said
    assert (20, 0) == (store.counts["lowered"], store.counts["short"])


def test_speed_is_kept(tmp_path: Path) -> None:
    """done.json says how many tokens and rows a second were read; the manifest, which never differs, does not."""
    folder = run(tmp_path, extract={"shard_rows": 12})
    measured = json.loads((folder / "done.json").read_text())["measured"]

    assert (60, 1, Store(folder).counts["tokens"]) == (measured["rows"], measured["workers"], measured["tokens"])
    assert measured["tokens_per_second"] == pytest.approx(measured["tokens"] / measured["seconds"], rel=0.1)
    assert "second" not in (folder / "manifest.json").read_text()


@pytest.mark.parametrize("lines", ["\n", '{"text": "a"}\n', '{"txt": "no text"}\n'])
def test_a_corpus_without_a_usable_document_leaves_nothing(tmp_path: Path, lines: str) -> None:
    """After an error that comes before the first row the folder is as if nothing had been tried."""
    recipe = tiny_recipe(tmp_path / "inputs", documents=4)
    Path(str(recipe.corpus.path)).write_text(lines)

    with pytest.raises(InputError):
        extract.run(recipe, RunFolder(tmp_path / "run"), Progress(silent=True))
    assert [] == list((tmp_path / "run").iterdir())


def test_all_documents_too_short(tmp_path: Path) -> None:
    """When no document has a second token the message says so."""
    recipe = tiny_recipe(tmp_path / "inputs", documents=4)
    Path(str(recipe.corpus.path)).write_text('{"text": "a"}\n{"text": "b"}\n')

    with pytest.raises(InputError, match="none of the 2 documents of the corpus 'jsonl' has a word to read behind"):
        extract.run(recipe, RunFolder(tmp_path / "run"), Progress(silent=True))


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
