"""Terrarium's tokenizer: byte-level BPE learnt from the world and from what its teacher says of it.

Every word of either is one token, so that a fact sits in one place of the text and in one token of an explanation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from nlakit.config import derive_seed
from nlakit.data.teachers import Context
from nlakit.explanations import CLOSE_TAG, OPEN_TAG
from nlakit.terrarium.teacher import TerrariumTeacher
from nlakit.terrarium.world import write_document
from nlakit.terrarium.writer import ASSISTANT, END, STOP, USER

BEGIN, PAD = "<|begin|>", "<|pad|>"
MARKER = "㈎"
PROMPTS = {
    "verbalizer": "Notes on<concept>{marker}</concept>",
    "reconstructor": "Notes:{explanation}<state>",
    "marker": MARKER,
}
"""Short, because a small model reads every token of them for every row."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role not in ['user', 'assistant'] %}"
    "{{ raise_exception('Terrarium knows the roles user and assistant, not ' + message.role) }}{% endif %}"
    "<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
VOCABULARY = 3072
_SAMPLE = 8000


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Learns the vocabulary from documents of the world with this `seed`, one explanation for each, and the prompts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    control = [BEGIN, STOP, END, USER, ASSISTANT, PAD]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 6,
        special_tokens=control,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sample(seed), trainer)
    # Ordinary text, not control tokens: a document may hold them, and an explanation must keep them when decoded.
    tags = (OPEN_TAG, CLOSE_TAG, "<concept>", "</concept>", MARKER, "<state>")
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in tags])
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=STOP,
        pad_token=PAD,
        additional_special_tokens=[END, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


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
        yield PROMPTS["verbalizer"].split("<")[0] + PROMPTS["reconstructor"].split("{")[0]
