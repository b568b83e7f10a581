"""Checks of the model that is read: which layer, which tokens, and what padding does to them.

Axes: B texts of a batch, T tokens, N rows, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nlakit.data.corpus import Document, Message
from nlakit.data.extract import read_vectors
from nlakit.data.tokens import CONTEXT_CHARACTERS, tokenise
from nlakit.doctor.findings import Result, held, not_applicable, passed, warning
from nlakit.doctor.subject import ROWS, TEXT_TOKENS, TEXTS, Subject, apart, present, times
from nlakit.models.inject import tolerance
from nlakit.models.target import CHARACTERS_PER_TOKEN, Target
from nlakit.prompts import beginnings

ROLE = "user"
"""The role that every chat template knows."""


def layer_is_a_blocks_output(subject: Subject) -> Result:
    """Read the site, and compare with ``hidden_states[K+1]``; behind the last block with what the final norm makes of it."""
    target, layer = present(subject.target), subject.site.layer
    tokens_1T = torch.tensor([target.encode(TEXTS[0], literal=True, max_tokens=TEXT_TOKENS).ids], device=target.device)
    read_TD = subject.site.read(target, tokens_1T)[0]
    states = _hidden_states(target, tokens_1T)
    last = layer == target.n_layers - 1
    with torch.no_grad():
        shown_TD = target.final_norm(read_TD) if last else read_TD
    difference = apart(states[layer + 1][0], shown_TD, target.model)
    before = apart(states[layer + 1][0], states[layer][0], target.model)
    where = f"the final norm of {subject.site}" if last else str(subject.site)
    return held(
        difference < tolerance(target.model),
        f"{where} is {difference:.2%} of a norm away from hidden_states[{layer + 1}], and {before:.0%} from the layer before",
    )


@torch.no_grad()
def _hidden_states(target: Target, tokens_1T: Tensor) -> Sequence[Tensor]:
    """Return what the model itself reports, the embedding first."""
    out = target.parts.decoder(input_ids=tokens_1T, output_hidden_states=True, use_cache=False)
    states: Sequence[Tensor] = out.hidden_states
    return states


def depth_of_the_reconstructor(subject: Subject) -> Result:
    """Count the reconstructor's blocks: a site at block K needs blocks 0 to K."""
    blocks = present(subject.reconstructor).backbone.config.get_text_config().num_hidden_layers
    return held(blocks == subject.site.layer + 1, f"the reconstructor has {blocks} blocks for {subject.site}")


def store_holds_this_layer(subject: Subject) -> Result:
    """Read some rows of the store again from the text that is kept with them, and compare."""
    target, store = present(subject.target), present(subject.store)
    rows = store.rows(None, ["row_id", "position", "token_id", "context", "role"])
    texts: dict[int, tuple[list[int], list[int]]] = {}
    for row in rows.slice(0, 8 * ROWS).to_pylist():
        if row["role"] is not None or len(row["context"]) >= CONTEXT_CHARACTERS or len(texts) == ROWS:
            continue
        ids = target.encode(row["context"], literal=True, max_tokens=target.max_positions).ids
        # The text ends with the row's token; the end of a text may be cut into other tokens than its middle.
        if row["position"] < len(ids) <= row["position"] + 2 and ids[row["position"]] == row["token_id"]:
            texts[row["row_id"]] = (ids, [row["position"]])
    if not texts:
        return not_applicable("no row of the store keeps its whole text")
    again_ND = read_vectors(target, subject.site, list(texts.values()), batch_tokens=2048)
    difference = apart(again_ND, store.vectors(texts), target.model)
    allowed = max(tolerance(target.model), 0.02 if store.manifest.dtype == "bfloat16" else 0.0)
    return held(
        difference < allowed,
        f"{len(texts)} rows of the store, read again at {subject.site}, are up to {difference:.2%} of a norm away",
        "The store holds vectors of another layer, model or tokenizer than the one here: extract it again.",
    )


def source_begins_once(subject: Subject) -> Result:
    """Count the beginning-of-sequence tokens of what the target reads: text and chat, as they are read and extracted."""
    target = present(subject.target)
    if target.tokenizer.bos_token_id is None:
        return passed("the tokenizer has no beginning-of-sequence token")
    counts = {"text": beginnings(target.tokenizer, target.encode(TEXTS[0], literal=True).ids)}
    documents = [Document("text", TEXTS[0])]
    if target.tokenizer.chat_template:
        chat = [{"role": ROLE, "content": TEXTS[0]}]
        counts["chat"] = beginnings(target.tokenizer, target.encode(target.render(chat)).ids)
        documents.append(Document.chat("chat", [Message(ROLE, TEXTS[0])]))
    for document, tokens in zip(documents, tokenise(target, documents, TEXT_TOKENS), strict=True):
        counts[f"{document.id} of a corpus"] = beginnings(target.tokenizer, tokens.ids)
    own = beginnings(target.tokenizer, target.tokenizer("text")["input_ids"])  # what the tokenizer adds by itself
    found = f"the model reads BOS {_listed(counts)}; the tokenizer itself adds it {times(own)}"
    if len({*counts.values()}) > 1 and own == 0 and max(counts.values()) == 1:
        return warning(
            found,
            "Chats begin with the token and plain texts do not: if the model was trained with it before every text, save the "
            "tokenizer so that it adds it.",
        )
    return held(all(own <= count <= 1 for count in counts.values()), found)


def documents_are_cut_before_tokenising(subject: Subject) -> Result:
    """Tokenise a huge document, and see how much of its text the tokenizer was given."""
    target = present(subject.target)
    limit = min(TEXT_TOKENS, target.max_positions)
    allowed = CHARACTERS_PER_TOKEN * limit
    text = (TEXTS[0] + " ") * (8 * allowed // len(TEXTS[0]))
    cut = tokenise(target, [Document("huge", text)], limit)[0]
    encoded = target.encode(text, literal=True, max_tokens=limit)
    return held(
        len(cut.text) <= allowed and len(cut.ids) <= limit and len(encoded) <= limit and cut.cut,
        f"of a document of {len(text):,} characters {len(cut.text):,} were tokenised for {limit} tokens; {len(cut.ids)} and "
        f"{len(encoded)} came back",
        "Cut documents by characters before they are tokenised (nlakit.data.tokens.tokenise): one huge document can take all "
        "memory.",
    )


def spelt_tokens_stay_text(subject: Subject) -> Result:
    """Let a text and a chat spell every special token, and count the special tokens that come of it."""
    target = present(subject.target)
    tokenizer = target.tokenizer
    spelt = spelling(tokenizer)
    documents = [Document("plain", "a b"), Document("spelt", f"a {spelt} b")]
    if tokenizer.chat_template:
        documents += [Document.chat(f"chat, {d.id}", [Message(ROLE, d.text)]) for d in tuple(documents)]
    counts = [special_count(tokenizer, tokens.ids) for tokens in tokenise(target, documents, target.max_positions)]
    more = [after - before for before, after in zip(counts[::2], counts[1::2], strict=True)]
    where = " and ".join(f"{extra} in {kind}" for extra, kind in zip(more, ("a text", "a chat"), strict=False))
    return held(not any(more), f"spelling all special tokens makes {where}")


def spelling(tokenizer: object) -> str:
    """Spell every special token of a tokenizer, as a corpus may."""
    return " ".join(dict.fromkeys(tokenizer.all_special_tokens))  # type: ignore[attr-defined]


def special_count(tokenizer: object, ids: Sequence[int]) -> int:
    """Count the tokens that only a template may write; what an unknown character becomes is not one."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}  # type: ignore[attr-defined]
    return sum(token in special for token in ids)


def padding_is_told_by_the_mask(subject: Subject) -> Result:
    """Read a text that holds the token which fills padding, alone and padded with that token on either side."""
    target = present(subject.target)
    fill, words = filling(target.tokenizer)
    ids = target.encode(TEXTS[1], literal=True, max_tokens=TEXT_TOKENS // 2).ids
    text = [*ids[:6], fill, *ids[6:], fill]
    alone_TD = subject.site.read(target, torch.tensor([text], device=target.device))[0]
    differences = {}
    for side in ("left", "right"):
        tokens_BT, mask_BT = padded([text, text[:4]], fill, side)
        vectors_BTD = subject.site.read(target, tokens_BT.to(target.device), mask_BT.to(target.device))
        differences[side] = apart(alone_TD, vectors_BTD[0][mask_BT[0].to(target.device)], target.model)
    return held(
        max(differences.values()) < tolerance(target.model),
        f"{words}; the vectors of a text that holds the latter move by {max(differences.values()):.2%} when padded with it",
    )


def filling(tokenizer: object) -> tuple[int, str]:
    """Return the token that would fill padding, and how the tokenizer has it."""
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id  # type: ignore[attr-defined]
    if pad is None or end is None:
        return next((token for token in (pad, end) if token is not None), 0), f"the pad token is {pad}, the end {end}"
    return end, "pad and end of text are one token" if pad == end else f"pad is token {pad} and end of text {end}"


def padded(rows: Sequence[Sequence[int]], fill: int, side: str) -> tuple[Tensor, Tensor]:
    """Pad rows on a side, two columns wider than the longest; returns ``tokens_BT`` and the boolean ``mask_BT``."""
    width = max(map(len, rows)) + 2
    tokens_BT = torch.full((len(rows), width), fill)
    mask_BT = torch.zeros((len(rows), width), dtype=torch.bool)
    for row, ids in enumerate(rows):
        part = slice(0, len(ids)) if side == "right" else slice(width - len(ids), width)
        tokens_BT[row, part], mask_BT[row, part] = torch.tensor(ids), True
    return tokens_BT, mask_BT


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{times(count)} in a {what}" for what, count in counts.items())
