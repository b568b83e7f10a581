"""Mistakes in what a run leaves on the disk: its store, its metrics, its checkpoints, its measures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from tests.unit.doctor.garden import Bed, Garden, Patient
from tests.unit.doctor.patients import change_card, change_metrics, change_results, with_card
from torch import nn

from nlakit.card import Card
from nlakit.data.store import Store, StoreWriter
from nlakit.models import reconstructor
from nlakit.vectors import VectorStats

BED = Bed()


@BED.plant(0)
def damaged_shard(garden: Garden) -> Patient:
    store = garden.run / "extract"
    path = next(store.glob("shard-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    shutil.rmtree(garden.run / "pair")
    shutil.rmtree(garden.run / "evaluate")
    return store


@BED.plant(1)
def store_of_another_layer(garden: Garden) -> Patient:
    change_card(garden.run, site="resid.0")
    return garden.run


@BED.plant(10)
def kl_that_never_moves(garden: Garden) -> Patient:
    change_metrics(garden.run, lambda line: {**line, "kl": 0.0})
    return garden.run


@BED.plant(18)
def controls_not_logged(garden: Garden) -> Patient:
    change_metrics(garden.run, lambda line: {key: line[key] for key in line if "shuffled" not in key})
    return garden.run


@BED.plant(8)
def head_not_loaded(garden: Garden) -> Patient:
    head = nn.Linear(32, 32, bias=False)
    nn.init.eye_(head.weight)
    garden.patch.setattr(reconstructor, "load_head", lambda _folder: head)
    return garden.run


@BED.plant(18)
def evaluated_as_well_by_another_text(garden: Garden) -> Patient:
    change_results(garden.run, lambda measures: {**measures, "fve_shuffled": measures["fve"]})
    return garden.run


@BED.plant(18)
def another_vector_as_good(garden: Garden) -> Patient:
    def same(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "fve_shuffled": line["fve_validation"]} if "fve_shuffled" in line else line

    change_metrics(garden.run, same)
    return garden.run


def rewrite_store(run: Path, change: Callable[[pa.Table], pa.Table], more: Callable[[pa.Table], pa.Table]) -> None:
    """Write the store of a run again with its rows changed and, behind them, copies of some of its rows."""
    old = Store(run / "extract")
    rows, added = change(old.rows()), more(old.rows())
    vectors_ND = torch.cat([old.vectors(), old.vectors(added["row_id"].to_pylist())])
    writer = StoreWriter(run / "new", width=old.width, dtype=old.manifest.dtype, settings=old.settings)
    writer.append(vectors_ND, pa.concat_tables([rows, added]).combine_chunks())
    writer.finish()
    (run / "new" / "done.json").write_bytes((run / "extract" / "done.json").read_bytes())
    shutil.rmtree(run / "extract")
    (run / "new").rename(run / "extract")


def column(rows: pa.Table, name: str, change: Callable[[Any], Any]) -> pa.Table:
    """Change the values of a column."""
    place = rows.schema.get_field_index(name)
    values = [change(value) for value in rows[name].to_pylist()]
    return rows.set_column(place, rows.schema.field(place), pa.array(values, rows.schema.field(place).type))


def of_split(rows: pa.Table, split: str) -> pa.Table:
    return rows.filter(pc.equal(rows["split"], split))


@BED.plant(12)
def rows_of_a_document_in_two_splits(garden: Garden) -> Patient:
    place = iter(range(10**6))

    def moved(split: str) -> str:
        return "ar" if split == "av" and next(place) % 2 else split

    rewrite_store(garden.run, lambda rows: column(rows, "split", moved), lambda rows: rows.slice(0, 0))
    return garden.run


@BED.plant(12)
def texts_learnt_under_another_name(garden: Garden) -> Patient:
    def held_out_again(rows: pa.Table) -> pa.Table:
        learnt = column(of_split(rows, "av"), "split", lambda _: "heldout")
        return column(learnt, "document_id", lambda document: f"{document} again")

    rewrite_store(garden.run, lambda rows: rows, held_out_again)
    return garden.run


@BED.plant(12)
def long_texts_learnt_under_another_name(garden: Garden) -> Patient:
    def stretched(text: str) -> str:
        return " ".join(f"{word}-{place}-{text[:12]}" for place, word in enumerate(text.split() * 12))

    def held_out_again(rows: pa.Table) -> pa.Table:
        learnt = column(of_split(rows, "av"), "split", lambda _: "heldout")
        learnt = column(learnt, "document_id", lambda document: f"{document} again")
        return column(learnt, "context", lambda text: stretched(text)[500:])  # as from a later position

    rewrite_store(garden.run, lambda rows: column(rows, "context", stretched), held_out_again)
    return garden.run


@BED.plant(13)
def statistics_of_heldout_rows(garden: Garden) -> Patient:
    store = Store(garden.run / "extract")
    heldout = store.rows("heldout", ["row_id"])["row_id"].to_pylist()
    change_card(garden.run, stats=VectorStats.fit(store.vectors(heldout)))
    return garden.run


@BED.plant(19, "warning")
def early_rows_measured(garden: Garden) -> Patient:
    rewrite_store(garden.run, lambda rows: column(rows, "position", lambda _: 2), lambda rows: rows.slice(0, 0))
    return garden.run


@BED.plant(25)
def shown_documents_that_were_trained_on(garden: Garden) -> Patient:
    path = garden.run / "evaluate" / "evaluation.json"
    record = json.loads(path.read_text())
    rows = Store(garden.run / "extract").rows("rl", ["document_id"])
    record["shown"][0]["document_id"] = rows["document_id"][0].as_py()
    path.write_text(json.dumps(record))
    return garden.run


@BED.plant(25)
def held_out_documents_trained_on(garden: Garden) -> Patient:
    path = garden.run / "samples.jsonl"
    heldout = Store(garden.run / "extract").rows("heldout", ["document_id"])["document_id"].to_pylist()
    shown = json.loads((garden.run / "evaluate" / "evaluation.json").read_text())["shown"]
    unseen = next(document for document in heldout if document not in {item["document_id"] for item in shown})
    path.write_text(path.read_text() + json.dumps({"stage": "train", "step": 1, "document_id": unseen}) + "\n")
    return garden.run


@BED.plant(25, "warning")
def nothing_held_out(garden: Garden) -> Patient:
    card = Card.load(garden.run / "pair")
    split = {"av": 0.3, "ar": 0.3, "rl": 0.4, "heldout": 0.0}
    data = {**card.data, "extract": {**card.data["extract"], "split": split}}
    return with_card(garden.pair, data=data)


@BED.plant(17)
def every_checkpoint_kept(garden: Garden) -> Patient:
    folder = garden.run / "train" / "checkpoints"
    shutil.copytree(max(folder.glob("step-*")), folder / "step-00000001")
    return garden.run


@BED.plant(17)
def optimizer_in_the_pair(garden: Garden) -> Patient:
    (garden.run / "pair" / "verbalizer" / "optimizer.pt").write_bytes(b"")
    return garden.run


@BED.plant(17, "warning")
def disk_nearly_full(garden: Garden) -> Patient:
    garden.patch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=100))
    return garden.run


@BED.plant(20, "warning")
def greedy_not_measured(garden: Garden) -> Patient:
    change_results(garden.run, lambda measures: {name: measures[name] for name in measures if name != "fve_greedy"})
    return garden.run


@BED.plant(21, "warning")
def first_reconstructor_not_asked(garden: Garden) -> Patient:
    frozen = "fve_frozen_reconstructor"
    change_results(garden.run, lambda measures: {name: measures[name] for name in measures if name != frozen})
    return garden.run


@BED.plant(26, "warning")
def explanations_grow_to_the_cap(garden: Garden) -> Patient:
    change_metrics(garden.run, lambda line: {**line, "cap_rate": 0.6} if "cap_rate" in line else line)
    return garden.run
