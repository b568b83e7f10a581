"""The tokenizer of a grown target: byte-level BPE learnt from texts, with control tokens, a chat template and a marker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nlakit.explanations import CLOSE_TAG, OPEN_TAG

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BEGIN, STOP, END, USER, ASSISTANT, PAD = "<|begin|>", "<|stop|>", "<|end|>", "<|user|>", "<|assistant|>", "<|pad|>"
"""What begins and ends a document, ends a message, opens one of either side, and fills up a batch."""
WINDOW = 512
"""Tokens that a grown target can read."""
MARKER = "㈎"
PROMPTS = {
    "verbalizer": "Notes on<concept>{marker}</concept>",
    "reconstructor": "Notes:{explanation}<state>",
    "marker": MARKER,
}
"""Short, because a small model reads every token of them for every row."""

_TAGS = (OPEN_TAG, CLOSE_TAG, "<concept>", "</concept>", MARKER, "<state>")
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role not in ['user', 'assistant'] %}"
    "{{ raise_exception('NAME knows the roles user and assistant, not ' + message.role) }}{% endif %}"
    "<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int, name: str) -> PreTrainedTokenizerFast:
    """Learn at most ``vocabulary`` tokens from texts; ``name`` names the model where its chat template refuses a role."""
    # Here, because whoever writes documents takes the control tokens from this module and needs none of these.
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(_TAGS),
        special_tokens=[BEGIN, STOP, END, USER, ASSISTANT, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # Ordinary text, not control tokens: a document may hold them, and an explanation must keep them when decoded.
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in _TAGS])
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=STOP,
        pad_token=PAD,
        additional_special_tokens=[END, USER, ASSISTANT],
        chat_template=_CHAT_TEMPLATE.replace("NAME", name),
        clean_up_tokenization_spaces=False,
        model_max_length=WINDOW,
    )


def prompt_words() -> str:
    """Return the words of the prompts, so that a vocabulary can be learnt with them."""
    return PROMPTS["verbalizer"].split("<")[0] + PROMPTS["reconstructor"].split("{")[0]
