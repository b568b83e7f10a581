"""Teachers that work in this process and cost nothing: the target itself, asked or left to go on, and a trained pair.

Axes: B texts of a batch, T tokens, D width of a vector.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from itertools import takewhile
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from transformers import GenerationConfig

from nlakit.card import Card
from nlakit.config import AnnotateConfig, Positive, Settings, fingerprint
from nlakit.data.instruction import INSTRUCTION, Reply, explain_reply, instruct
from nlakit.data.teachers import Context, ExtractiveTeacher, Source
from nlakit.errors import ConfigError, InputError, InternalError, PairError
from nlakit.explanations import CLOSE_TAG, Explanation
from nlakit.models.loading import quiet_transformers
from nlakit.models.pair import Pair, pair_folder
from nlakit.models.target import Target
from nlakit.models.verbalizer import configured_ends
from nlakit.plugins import DEFAULT_PAIR
from nlakit.prompts import encode_once
from nlakit.validation import validated

SHORTEST_TEXT = 200
"""Characters of the text that must fit into the target's window beside the instruction (our choice)."""


class TargetOptions(Settings):
    """``annotate.options`` of the teacher ``target``."""

    form: Literal["explain", "continue"] = "explain"
    """`explain` asks through the chat template; `continue` lets a target that cannot chat go on with the text."""
    max_tokens: Positive = 300
    """Longest reply, in tokens (paper's teacher: 300)."""
    batch_rows: Positive = 16
    """Texts answered together; more use more memory."""


class ContinuingOptions(TargetOptions):
    """``annotate.options`` of the teacher ``target`` with the form ``continue``."""

    max_tokens: Positive = 6
    """Tokens with which a text is continued (our choice)."""
    words: Positive = 4
    """Words in a quotation, as for the teacher ``extractive``."""


@torch.inference_mode()
def continue_greedily(
    target: Target, prompts: Sequence[Sequence[int]], max_tokens: int
) -> tuple[list[list[int]], set[int]]:
    """Return the likeliest tokens after each prompt, as many for all, and the tokens of which the first ends a reply."""
    longest = max(map(len, prompts))
    own = target.tokenizer.eos_token_id
    ends = sorted({*([] if own is None else [own]), *configured_ends(target.model)})
    tokens_BT = torch.full((len(prompts), longest), ends[0] if ends else 0)
    mask_BT = torch.zeros_like(tokens_BT)
    for row, ids in enumerate(prompts):
        tokens_BT[row, longest - len(ids) :] = torch.tensor(ids)
        mask_BT[row, longest - len(ids) :] = 1
    # Made from nothing, so that no sampling setting of the model's own comes in.
    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        max_new_tokens=max_tokens,
        eos_token_id=ends or None,
        pad_token_id=ends[0] if ends else 0,
    )
    with quiet_transformers():
        out_BT = target.model.generate(
            tokens_BT.to(target.device), attention_mask=mask_BT.to(target.device), generation_config=settings
        )
    return out_BT[:, longest:].tolist(), set(ends)


class TargetTeacher:
    """The target explains its own texts, asked through its chat template; greedy decoding, so the same each time.

    Texts of a batch are padded on the left; which texts share a batch can decide between two equally likely tokens.
    """

    name = "target"

    def __init__(self, options: TargetOptions) -> None:
        self._options = options
        self._target: Target | None = None
        self.batch_rows = options.batch_rows

    def situate(self, source: Source) -> None:
        """Load the target; :class:`~nlakit.errors.ConfigError` when it has no chat template to be asked through."""
        target = Target.load(source.target.model, source.target.revision, source.target.dtype)
        if not target.tokenizer.chat_template:
            raise ConfigError(
                f"annotate.teacher is 'target', and {target.name!r} has no chat template, so it cannot be asked anything. "
                "Name another teacher (anthropic, openai, pair), a target that was trained to chat, or let this one go on with the "
                "text (annotate.options.form = 'continue')."
            )
        self._target = target

    def fingerprint(self) -> str:
        """Hash the wording, the options and the target's weights."""
        options = self._options.model_dump(
            mode="json", exclude={"form"}
        )  # which is part of the name of the other teacher
        return fingerprint(self.name, INSTRUCTION, options, self._loaded().fingerprint)

    def record(self) -> dict[str, Any]:
        """Say who was asked and how."""
        return {"model": self._loaded().name, "instruction": INSTRUCTION}

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        """Ask for each context; InputError when the target's window is too small for the question."""
        size = self._options.batch_rows
        batches = (contexts[start : start + size] for start in range(0, len(contexts), size))
        return [explain_reply(reply) for batch in batches for reply in self._answer(batch)]

    def _answer(self, contexts: Sequence[Context]) -> list[Reply]:
        target = self._loaded()
        prompts = [self._prompt(context) for context in contexts]
        written, ends = continue_greedily(target, prompts, self._options.max_tokens)
        return [self._reply(ids, ends) for ids in written]

    def _reply(self, ids: list[int], ends: set[int]) -> Reply:
        """Read one row of output up to its first end token."""
        length = next((place for place, token in enumerate(ids) if token in ends), len(ids))
        text = self._loaded().tokenizer.decode(ids[:length], skip_special_tokens=False)
        stopped = length < len(ids) or CLOSE_TAG in text
        return Reply(text, "done" if stopped else "length")

    def _prompt(self, context: Context) -> list[int]:
        """Return the tokens of the question, with as much of the end of the text as the window holds."""
        target = self._loaded()
        room = target.max_positions - self._options.max_tokens
        text = context.text
        while True:
            message = instruct(Context(context.row_id, context.document_id, context.position, context.token, text))
            rendered = target.render([{"role": "user", "content": message}], add_generation_prompt=True)
            ids = list(encode_once(target.tokenizer, rendered)["input_ids"])
            if len(ids) <= room:
                return ids
            if len(text) <= SHORTEST_TEXT:
                raise InputError(
                    f"the window of {target.name!r} holds {target.max_positions} tokens; the question takes {len(ids)} and "
                    f"annotate.options.max_tokens {self._options.max_tokens}. Name another teacher than 'target'."
                )
            text = text[len(text) // 4 + 1 :]

    def _loaded(self) -> Target:
        if self._target is None:
            raise InternalError("the teacher 'target' was used before it was told which target that is")
        return self._target


class ContinuingTeacher:
    """The target goes on with its own texts: a teacher for targets that cannot chat, such as one that was just grown.

    An explanation quotes the last words as the teacher ``extractive`` does, and then the likeliest continuation: what the
    target expects, which its vectors hold. Greedy decoding, so the same each time.
    """

    name = "target"

    def __init__(self, options: ContinuingOptions) -> None:
        self._options = options
        self._quotes = ExtractiveTeacher(options.words, first_words=0)
        self._target: Target | None = None
        self.batch_rows = options.batch_rows

    def situate(self, source: Source) -> None:
        """Load the target."""
        self._target = Target.load(source.target.model, source.target.revision, source.target.dtype)

    def fingerprint(self) -> str:
        """Hash the options and the target's weights."""
        return fingerprint(self.name, self._options, self._loaded().fingerprint)

    def record(self) -> dict[str, Any]:
        """Say who went on, and how."""
        return {"model": self._loaded().name, "form": self._options.form}

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        """Quote each context and its continuation; a blank one has the outcome ``empty``."""
        size = self._options.batch_rows
        batches = (contexts[start : start + size] for start in range(0, len(contexts), size))
        return [explanation for batch in batches for explanation in self._explain(batch)]

    def _explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        target, count = self._loaded(), self._options.max_tokens
        texts = [encode_once(target.tokenizer, context.text or " ", literal=True)["input_ids"] for context in contexts]
        written, ends = continue_greedily(target, [self._end(list(ids)) for ids in texts], count)
        return [self._say(quote, ids, ends) for quote, ids in zip(self._quotes.explain(contexts), written, strict=True)]

    def _end(self, ids: list[int]) -> list[int]:
        """Cut a text at its beginning to what the window holds beside the continuation; the token that begins texts stays."""
        target = self._loaded()
        begin = ids[:1] if ids and ids[0] == target.tokenizer.bos_token_id else []
        room = max(1, target.max_positions - self._options.max_tokens - len(begin))
        return begin + ids[len(begin) :][-room:]

    def _say(self, quote: Explanation, ids: Sequence[int], ends: Container[int]) -> Explanation:
        """Add the continuation, up to the first end token, to a quotation."""
        kept = list(takewhile(lambda token: token not in ends, ids))
        text = " ".join(self._loaded().tokenizer.decode(kept, skip_special_tokens=True).split())
        return Explanation(f'{quote.text} It may go on with "{text}".') if quote.ok and text else quote

    def _loaded(self) -> Target:
        if self._target is None:
            raise InternalError("the teacher 'target' was used before it was told which target that is")
        return self._target


class PairOptions(Settings):
    """``annotate.options`` of the teacher ``pair``."""

    pair: Annotated[str, Field(min_length=1)] = DEFAULT_PAIR
    """Name of an installed pair, or a folder with one; it must read the same site of the same target."""


class PairTeacher:
    """A trained pair describes the row's vector (distillation); the likeliest words, so the same each time."""

    name = "pair"
    wants_vectors = True

    def __init__(self, options: PairOptions) -> None:
        self._folder = pair_folder(options.pair)
        self._card = Card.load(self._folder)
        self._pair: Pair | None = None

    def situate(self, source: Source) -> None:
        """Compare target and site with the pair's; :class:`~nlakit.errors.PairError` when they differ."""
        card = self._card
        wanted = {
            "target": (card.target.fingerprint, source.fingerprint),
            "site": (card.site, source.site),
        }
        differing = [f"{what} {its!r}, the rows {ours!r}" for what, (its, ours) in wanted.items() if its != ours]
        if differing:
            raise PairError(
                f"the teacher's pair {card.name!r} cannot describe these rows: it has {'; it has '.join(differing)}. Give "
                "annotate.options.pair a pair of this target and site, or read the target at that site."
            )

    def fingerprint(self) -> str:
        """Hash what decides the pair's words: the verbalizer's weights, its prompt and its limits."""
        card = self._card
        hashes = []
        for path in sorted((self._folder / "verbalizer").rglob("*.safetensors")):
            with path.open("rb") as file:
                hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
        return fingerprint(self.name, card.prompts, card.injection_scale, card.max_new_tokens, hashes)

    def record(self) -> dict[str, Any]:
        """Say which pair it was, and what its verbalizer is asked."""
        return {"pair": self._card.name, "instruction": self._card.prompts.verbalizer}

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        """Describe the vector of each context; InputError for contexts without one."""
        vectors = [context.vector for context in contexts if context.vector is not None]
        if len(vectors) != len(contexts):
            raise InputError(
                f"{len(contexts) - len(vectors)} of {len(contexts)} contexts have no vector, and the teacher 'pair' describes "
                "nothing else; set Context.vector."
            )
        if not vectors:
            return []
        if self._pair is None:
            self._pair = Pair.from_pretrained(self._folder, load_target=False)
        return self._pair.describe(torch.stack(vectors), temperature=0.0)


def make_target_teacher(config: AnnotateConfig) -> TargetTeacher | ContinuingTeacher:
    """Entry point of the teacher ``target``."""
    if config.options.get("form") == "continue":
        return ContinuingTeacher(validated(ContinuingOptions, dict(config.options), "annotate.options"))
    return TargetTeacher(validated(TargetOptions, dict(config.options), "annotate.options"))


def make_pair_teacher(config: AnnotateConfig) -> PairTeacher:
    """Entry point of the teacher ``pair``."""
    return PairTeacher(validated(PairOptions, dict(config.options), "annotate.options"))
