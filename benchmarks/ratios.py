"""The comparisons: extracting, verbalizing and scoring against the plain way to do the same."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.timing import Comparison, compare
from nlakit import Pair
from nlakit.config import CorpusConfig, ExtractConfig
from nlakit.data.corpus import load_corpus
from nlakit.data.extract import extract_rows, read_vectors
from nlakit.models.reconstructor import truncated_copy
from nlakit.models.sampler import sample
from nlakit.models.sites import Site
from nlakit.models.target import Target

BATCH = 256
ALONE = 32
"""Rows of the comparisons with one-by-one, which would take too long for a whole batch."""
NEW_TOKENS = 40


def extraction(target: Target, site: Site) -> Iterator[Comparison]:
    """Vectors of 600 documents, tokenised beforehand, against forward passes over the same batches."""
    documents = [d for d in load_corpus(CorpusConfig(documents=600)) if d.messages is None]
    texts = [(target.encode(document.text).ids, [8, -1]) for document in documents]
    texts = [(ids, [8, len(ids) - 1]) for ids, _ in texts if len(ids) > 9]
    config = ExtractConfig(min_position=8, rows_per_document=2)
    batches = list(_padded([ids for ids, _ in texts], config.batch_tokens))
    bare = truncated_copy(target, site.layer + 1)

    def ours() -> Tensor:
        return read_vectors(target, site, texts, config.batch_tokens)

    def blocks() -> None:
        with torch.inference_mode():
            for tokens_BT in batches:
                bare(input_ids=tokens_BT, use_cache=False)

    def everything() -> None:
        with torch.inference_mode():
            for tokens_BT in batches:
                target.model(input_ids=tokens_BT, output_hidden_states=True, use_cache=False)

    yield compare(f"extract: against a bare forward of blocks 0..{site.layer}", ours, blocks, bar=0.9)
    yield compare("extract: against the whole model with all hidden states", ours, everything, bar=1.5)
    yield compare(
        "extract with tokenising and row data: against the whole model with all hidden states",
        lambda: extract_rows(target, site, documents, config, 0),
        everything,
        bar=0.0,
    )


def verbalizing(pair: Pair, vectors_ND: Tensor) -> Iterator[Comparison]:
    """Sampled explanations against `generate` with the same injection, and against one vector at a time."""
    verbalizer = pair.verbalizer
    model = verbalizer.model
    tokens_BT = torch.tensor([verbalizer.prompt_ids] * BATCH)

    def ours() -> object:
        return sample(verbalizer, vectors_ND[:BATCH], max_new_tokens=NEW_TOKENS)

    def generate() -> object:
        with torch.inference_mode(), verbalizer.injection(vectors_ND[:BATCH], None):
            return model.generate(
                input_ids=tokens_BT,
                attention_mask=torch.ones_like(tokens_BT),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=NEW_TOKENS,
            )

    yield compare(f"verbalize {BATCH} vectors: against generate at the same batch", ours, generate, bar=1.15)
    yield compare(
        f"verbalize {ALONE} vectors: against one by one",
        lambda: pair.describe(vectors_ND[:ALONE]),
        lambda: [pair.describe(vectors_ND[i : i + 1]) for i in range(ALONE)],
        bar=5.0,
        rounds=5,
    )


def scoring(pair: Pair, vectors_ND: Tensor) -> Iterator[Comparison]:
    """Errors of texts against their vectors, together and one by one."""
    texts = [item.text or "nothing" for item in pair.describe(vectors_ND[:BATCH])]
    yield compare(
        f"score {BATCH} texts: against one by one",
        lambda: pair.score(texts, vectors_ND[:BATCH]),
        lambda: [pair.score([text], vectors_ND[i : i + 1]) for i, text in enumerate(texts)],
        bar=5.0,
        rounds=5,
    )


def all_comparisons(pair: Pair) -> Iterator[Comparison]:
    """Every comparison, on the pair and its target."""
    if pair.target is None:
        raise ValueError("the benchmarks read the target; load the pair with it")
    site = Site.parse(pair.card.site)
    config = ExtractConfig(min_position=8, rows_per_document=2)
    vectors_ND, _ = extract_rows(pair.target, site, load_corpus(CorpusConfig(documents=300)), config, 0)
    yield from extraction(pair.target, site)
    yield from verbalizing(pair, vectors_ND)
    yield from scoring(pair, vectors_ND)


def _padded(ids: list[list[int]], batch_tokens: int) -> Iterator[Tensor]:
    """The same batches that extraction makes: sorted by length, right-padded."""
    batch: list[list[int]] = []
    for row in sorted(ids, key=len):
        if batch and (len(batch) + 1) * len(row) > batch_tokens:
            yield _stack(batch)
            batch = []
        batch.append(row)
    yield _stack(batch)


def _stack(batch: list[list[int]]) -> Tensor:
    tokens_BT = torch.zeros(len(batch), len(batch[-1]), dtype=torch.long)
    for row, ids in enumerate(batch):
        tokens_BT[row, : len(ids)] = torch.tensor(ids)
    return tokens_BT
