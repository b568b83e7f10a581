"""Released pairs measured on a corpus that is named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.unit.models.reference import layout as layouts

from nlakit.config import EvaluateConfig, ExtractConfig, NewCorpusConfig
from nlakit.data.sampling import split_of
from nlakit.errors import InputError
from nlakit.evaluate.contents import ReportData
from nlakit.evaluate.evaluation import Evaluation
from nlakit.evaluate.released import lacks_corpus, statistics_sentence, with_corpus
from nlakit.evaluate.report import as_html, as_markdown
from nlakit.evaluate.rows import rebuild_rows
from nlakit.evaluate.runner import PROBE_ROWS, evaluate, make_bench
from nlakit.models.pair import Pair, load_card
from nlakit.testing import tiny_corpus_file, tiny_pair
from nlakit.vectors import VectorStats


def config_on(path: Path, **changes: object) -> EvaluateConfig:
    corpus = NewCorpusConfig(name="jsonl", path=str(path))
    small = {"rows": 12, "bootstrap": 20, "parts": ("controls", "warm_start", "teacher"), "max_new_tokens": 6}
    return EvaluateConfig.model_validate({**small, **changes, "corpus": corpus.model_dump()})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A pair in the released layout, a corpus, and what is measured of the one on the other."""
    folder = tmp_path_factory.mktemp("released")
    name = layouts.write(folder, "qwen2").name
    config = config_on(tiny_corpus_file(folder / "notes.jsonl", 60))
    return SimpleNamespace(folder=folder, name=name, config=config, found=evaluate(name, config))


def test_a_released_pair_is_measured_on_a_named_corpus(world: SimpleNamespace) -> None:
    """It gets an FVE on held-out rows, the report says what that is measured against, and what such a pair lacks is left out."""
    found: Evaluation = world.found
    assert (found.rows, found.measures["fve"].split) == (12, "heldout")
    assert {"fve", "fve_mean", "fve_zero_vector"} <= found.measures.keys()
    assert found.corpus["path"] == world.config.corpus.path
    sentence = found.statistics
    rows = 5 * sum(split_of(0, f"tiny-{n}", ExtractConfig().split) == "rl" for n in range(60))
    assert f"the mean and variance of {rows} rows of {rows // 5} other documents of the corpus 'jsonl'" in sentence
    data = ReportData("tiny", found)
    assert sentence in as_markdown(data)
    assert sentence.split(" (")[0].replace("'", "&#39;") in as_html(data)
    assert "that nothing was trained on" not in as_markdown(data)
    assert "does not keep its weights" in found.left_out["fve_warm_start"]
    assert found.left_out["fve_teacher_text"] == "the card does not say who its teacher was"


def test_its_fve_is_that_of_the_pair_with_statistics_of_the_training_rows(world: SimpleNamespace) -> None:
    """Given by hand from the same rows, mean and variance lead to the same measures; from other rows they do not."""
    pair = Pair.from_pretrained(world.name)
    assert pair.target is not None
    card = with_corpus(pair.card, world.config.corpus)
    heldout, training = rebuild_rows(pair.target, card, rows=12, probe_rows=PROBE_ROWS, seed=0)
    assert training is not None
    for name, vectors_ND, same in (("same", training.vectors_ND, True), ("others", heldout.vectors_ND, False)):
        folder = pair.with_statistics(vectors_ND).save(world.folder / name)
        given = evaluate(folder, world.config)
        assert (given.measures == world.found.measures) is same
        assert given.statistics == ""


def test_held_out_rows_are_not_among_those_of_the_statistics(world: SimpleNamespace) -> None:
    """Mean and variance are of all rows of another split, and of nothing else."""
    bench = make_bench(None, Pair.from_pretrained(world.name), world.config)
    assert bench.training is not None
    heldout, others = set(bench.heldout.document_ids), set(bench.training.document_ids)
    splits = [{split_of(0, name, ExtractConfig().split) for name in names} for names in (heldout, others)]
    assert splits == [{"heldout"}, {"rl"}]
    stats, expected = bench.pair.card.require_stats(), VectorStats.fit(bench.training.vectors_ND)
    assert stats.variance == expected.variance
    assert torch.equal(stats.mean_D, expected.mean_D)


def test_a_corpus_without_training_rows_gives_no_statistics(world: SimpleNamespace, tmp_path: Path) -> None:
    """Rather than measure against the held-out rows themselves, the message asks for a larger corpus."""
    names = [f"tiny-{n}" for n in range(60) if split_of(0, f"tiny-{n}", ExtractConfig().split) == "heldout"]
    lines = Path(world.config.corpus.path).read_text(encoding="utf-8").splitlines()
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(line for line in lines if any(f'"{name}"' in line for name in names)), encoding="utf-8")
    with pytest.raises(InputError, match=r"gives no row of the split 'rl', which mean and variance .* larger corpus"):
        evaluate(world.name, config_on(few))


def test_a_pair_of_ours_keeps_its_own(world: SimpleNamespace) -> None:
    """Only a pair made elsewhere lacks a corpus, and nothing is said of the statistics of any other."""
    card = tiny_pair().card
    assert not lacks_corpus(card)
    assert statistics_sentence(card) == ""
    assert lacks_corpus(load_card(world.name))
