"""Rows rebuilt from a card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.unit.evaluate import toy

from nlakit.card import Card
from nlakit.config import NewCorpusConfig, Recipe
from nlakit.data.corpus import load_corpus
from nlakit.data.extract import extract_rows
from nlakit.data.sampling import split_of
from nlakit.errors import CardError, InputError
from nlakit.evaluate.rows import DataSettings, draw_documents, rebuild_rows
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.testing import tiny_pair


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    toy.install(monkeypatch)
    return toy.toy_recipe(tmp_path)


def card_of(recipe: Recipe, target: Target, **changes: object) -> Card:
    data = {
        "corpus": recipe.corpus.model_dump(),
        "corpus_fingerprint": load_corpus(recipe.corpus).fingerprint(),
        "extract": recipe.extract.model_dump(),
        "seed": recipe.seed,
    }
    return tiny_pair(target).card.model_copy(update={"data": data | changes})


def test_rows_are_those_that_extraction_would_store(recipe: Recipe) -> None:
    """The same documents give the same positions, vectors and truth as the run's own store."""
    target = Target.load(recipe.target.model)
    card = card_of(recipe, target)
    heldout, _ = rebuild_rows(target, card, rows=9, probe_rows=0, seed=0)
    stored_ND, table = extract_rows(target, Site.parse(card.site), heldout.documents, recipe.extract, recipe.seed)
    torch.testing.assert_close(heldout.vectors_ND, stored_ND[: len(heldout)], atol=1e-5, rtol=1e-5)
    for name in ("document_id", "position", "token_id", "context", "truth"):
        assert heldout.column(name) == table[name].to_pylist()[: len(heldout)]


def test_splits_are_kept_apart(recipe: Recipe) -> None:
    """Held-out rows come from held-out documents, rows for the probes from documents of the split rl."""
    target = Target.load(recipe.target.model)
    heldout, training = rebuild_rows(target, card_of(recipe, target), rows=12, probe_rows=30, seed=0)
    assert training is not None
    assert (len(heldout), len(training)) == (12, 30)
    splits = [{split_of(0, name, recipe.extract.split) for name in rows.document_ids} for rows in (heldout, training)]
    assert splits == [{"heldout"}, {"rl"}]
    assert set(heldout.column("split")) == {"heldout"}


def test_the_seed_draws_the_documents(recipe: Recipe) -> None:
    """The same seed draws the same documents, another seed others."""
    target = Target.load(recipe.target.model)
    card = card_of(recipe, target)
    first, again, other = (
        rebuild_rows(target, card, rows=6, probe_rows=0, seed=seed)[0].document_ids for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_fewer_rows_than_wanted(recipe: Recipe) -> None:
    """A small held-out split is used up, and nothing is made up."""
    target = Target.load(recipe.target.model)
    heldout, _ = rebuild_rows(target, card_of(recipe, target), rows=5000, probe_rows=0, seed=0)
    expected = [n for n in range(80) if split_of(0, f"toy-{n}", recipe.extract.split) == "heldout"]
    assert len(heldout) == 3 * len(expected)


def test_nothing_held_out_is_refused(recipe: Recipe) -> None:
    """A corpus of which nothing is held out cannot be evaluated on."""
    target = Target.load(recipe.target.model)
    split = {"av": 0.5, "ar": 0.25, "rl": 0.25, "heldout": 0.0}
    card = card_of(recipe, target, extract=recipe.extract.model_dump() | {"split": split})
    with pytest.raises(InputError, match=r"gives no held-out row.*heldout = 0"):
        rebuild_rows(target, card, rows=5, probe_rows=0, seed=0)


def test_another_corpus_than_the_trained_one_is_refused(recipe: Recipe) -> None:
    """Where the documents are not those of the card, nobody knows which of them were trained on."""
    target = Target.load(recipe.target.model)
    card = card_of(recipe, target, corpus_fingerprint="0123456789abcdef")
    with pytest.raises(InputError, match=r"names 0123456789abcdef: which of its documents are held out"):
        rebuild_rows(target, card, rows=5, probe_rows=0, seed=0)


def test_a_card_without_data_is_refused(recipe: Recipe) -> None:
    """The message names what the card lacks."""
    target = Target.load(recipe.target.model)
    card = card_of(recipe, target).model_copy(update={"data": {"seed": 0}})
    with pytest.raises(CardError, match=r"lacks data.corpus, data.corpus_fingerprint, data.extract"):
        DataSettings.of(card)


def test_card_data_that_cannot_be_understood(recipe: Recipe) -> None:
    """Settings of another version are a card error and not a traceback."""
    card = card_of(recipe, Target.load(recipe.target.model), corpus={"name": "toy", "docs": 3})
    with pytest.raises(CardError, match="cannot be understood"):
        DataSettings.of(card)


def test_an_exchangeable_corpus_is_not_read_to_its_end(recipe: Recipe) -> None:
    """Independent documents need no full pass; others are read from end to end, so that a sorted corpus is represented."""
    config = recipe.corpus.model_copy(update={"documents": 500})
    for exchangeable, most in ((True, 60), (False, 500)):
        corpus = toy.ToyCorpus(config)
        corpus.exchangeable = exchangeable  # type: ignore[attr-defined]
        drawn = draw_documents(corpus, {"heldout": 5}, lambda name: "heldout" if int(name[4:]) % 2 else "rl", 0)
        assert corpus.read <= most
        assert len(drawn["heldout"]) >= 15
        assert all(int(document.id[4:]) % 2 for document in drawn["heldout"])
    assert corpus.read == 500
    assert max(int(document.id[4:]) for document in drawn["heldout"]) > 250


def test_rows_of_another_corpus_are_new_to_the_pair(recipe: Recipe) -> None:
    """They come from its documents alone, without those that the pair's own corpus has too; the probes' rows stay as they were."""
    target = Target.load(recipe.target.model)
    card = card_of(recipe, target)
    other = NewCorpusConfig.model_validate(recipe.corpus.model_dump()).model_copy(
        update={"documents": recipe.corpus.documents + 40}
    )
    new, training = rebuild_rows(target, card, rows=12, probe_rows=30, seed=0, corpus=other)
    own = {document.content_hash for document in load_corpus(recipe.corpus)}
    assert len(new) == 12
    assert not own & {document.content_hash for document in new.documents}
    _, same = rebuild_rows(target, card, rows=12, probe_rows=30, seed=0)
    assert training is not None
    assert same is not None
    assert training.document_ids == same.document_ids
    with pytest.raises(InputError, match=r"evaluate.corpus \('toy'\) gives no row: 0 of its documents"):
        rebuild_rows(target, card, rows=12, probe_rows=0, seed=0, corpus=recipe.corpus)
