"""Rows read at several layers: the same as the store's, with what stands around them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from tests.unit.evaluate.layers.planted import planted_recipe

from nlakit.data.corpus import load_corpus
from nlakit.data.extract import extract_rows
from nlakit.errors import ModelError, StorageFullError
from nlakit.evaluate.layers import rows as module
from nlakit.evaluate.layers.rows import NEAR, draw_parts, read_rows
from nlakit.models.sites import Site
from nlakit.progress import Progress
from nlakit.testing import tiny_target


def test_rows_are_those_of_an_extraction(tmp_path: Path) -> None:
    """One pass over all layers gives the vectors, tokens and contexts that extraction stores layer by layer."""
    recipe, target = planted_recipe(tmp_path), tiny_target()
    documents = list(load_corpus(recipe.corpus))[:20]
    with Progress(silent=True).task("read", 20) as task:
        found = read_rows(target, [2, 0], documents, recipe, tmp_path, task)

    assert 20 == task.completed
    for index, layer in enumerate((2, 0)):
        vectors, table = extract_rows(target, Site("resid", layer), documents, recipe.extract, recipe.seed)
        assert torch.equal(vectors, found.vectors_LND[index])
    for column, values in {
        "document_id": found.documents_N,
        "token": [context.token for context in found.contexts],
        "context": [context.text for context in found.contexts],
        "token_id": [place.token for place in found.places],
    }.items():
        assert table[column].to_pylist() == values


def test_tokens_around_a_row_are_the_documents(tmp_path: Path) -> None:
    """Before it the nearest first; after it from the one behind the next; and what the target itself would say."""
    recipe, target = planted_recipe(tmp_path), tiny_target()
    documents = list(load_corpus(recipe.corpus))[:5]
    with Progress(silent=True).task("read", 5) as task:
        found = read_rows(target, [0], documents, recipe, tmp_path, task)
    texts = {document.id: document.text for document in documents}

    for context, place in zip(found.contexts, found.places, strict=True):
        ids = target.encode(texts[context.document_id], literal=True).ids
        at = context.position
        assert ids[max(0, at - NEAR) : at][::-1] == list(place.before)
        assert ids[at + 2 : at + 2 + NEAR] == list(place.after)
        alone = target.model(torch.tensor([ids[: at + 1]])).logits[0, -1]
        assert int(alone.argmax()) == place.next


def test_the_same_documents_are_drawn_whatever_the_number(tmp_path: Path) -> None:
    """A smaller sweep measures on documents of the larger one."""
    recipe = planted_recipe(tmp_path)
    small, large = (draw_parts(recipe, number, with_truth=False) for number in (20, 40))

    for name in ("fit", "asked"):
        assert {document.id for document in small[name]} <= {document.id for document in large[name]}
    assert Counter(fit=12, asked=8) == Counter({name: len(part) for name, part in small.items()})


def test_numbers_that_are_not_finite_name_the_layer(tmp_path: Path) -> None:
    """A block that overflows is named, and how to leave it out."""
    recipe, target = planted_recipe(tmp_path), tiny_target()
    target.blocks[1].register_forward_hook(lambda _m, _i, output: output * float("inf"))

    with (
        pytest.raises(ModelError, match="not finite at layer 1.*--layers"),
        Progress(silent=True).task("read", 5) as task,
    ):
        read_rows(target, [0, 1], list(load_corpus(recipe.corpus))[:5], recipe, tmp_path, task)


def test_a_full_disk_is_known_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of many layers lie on the disk; where they do not fit, the message says what to give less of."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())

    with pytest.raises(StorageFullError, match="fewer --documents or --layers"):
        module._on_disk(tmp_path, (3, 5, 7))
