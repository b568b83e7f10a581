"""Terrarium's tokenizer: byte-level BPE learnt from the world and from what its teacher says of it.

Every word of either is one token, so that a fact sits in one place of the text and in one token of an explanation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from transformers import PreTrainedTokenizerFast

from nlakit.config import derive_seed
from nlakit.data.teachers import Context
from nlakit.terrarium.teacher import TerrariumTeacher
from nlakit.terrarium.world import write_document
from nlakit.train.vocabulary import prompt_words
from nlakit.train.vocabulary import train_tokenizer as train

VOCABULARY = 3072
_SAMPLE = 8000


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Learns the vocabulary from documents of the world with this `seed`, one explanation for each, and the prompts."""
    return train(_sample(seed), VOCABULARY, "Terrarium")


def _sample(seed: int) -> Iterator[str]:
    teacher = TerrariumTeacher()
    for number in range(_SAMPLE):
        document = write_document(seed, number).document()
        yield document.text
        if document.truth_at is not None:
            # Ends of words only: half a word must not become a token.
            ends = [i for i, char in enumerate(document.text) if i and not char.isalnum()]
            end = random.Random(derive_seed(seed, "tokenizer", number)).choice(ends)
            context = Context(0, document.id, end, "", document.text[:end], document.truth_at(end))
            yield " ".join(explanation.text for explanation in teacher.explain([context]))
        yield prompt_words()
