"""Checks of the prompts of a pair: the marker, how they begin, what may stand in them, and whether they fit the window."""

from __future__ import annotations

from nlakit.doctor.findings import Result, held, not_applicable, passed
from nlakit.doctor.subject import Subject, present, times
from nlakit.doctor.target_checks import special_count, spelling
from nlakit.explanations import wrap_explanation
from nlakit.prompts import beginnings, resolve_prompts


def target_has_a_marker(subject: Subject) -> Result:
    """Find a token of the target's vocabulary that can serve as marker in its own or the built-in prompt."""
    if subject.card is not None:
        return not_applicable("the card names the marker")
    prompts = resolve_prompts(present(subject.target))
    return passed(f"the marker {prompts.marker!r} is token {prompts.marker_id} of the model's vocabulary")


def marker_is_one_token(subject: Subject) -> Result:
    """Tokenise the finished prompt, and hold the marker and its neighbours against the card."""
    card, tokenizer = present(subject.card), subject.prompting
    position = card.verify_marker(tokenizer)
    marker = card.prompts.marker_token
    return passed(
        f"{card.prompts.marker!r} is token {marker.id}, once, at position {position} between {marker.left_id} and "
        f"{marker.right_id}"
    )


def marker_is_once_in_the_live_prompt(subject: Subject) -> Result:
    """Look for the marker in the token ids that the verbalizer is really given."""
    verbalizer = present(subject.verbalizer)
    marker, ids, position = verbalizer.prompts.marker_token, verbalizer.prompt_ids, verbalizer.marker_position
    expected = [marker.left_id, marker.id, marker.right_id]
    found = ids[max(0, position - 1) : position + 2]
    return held(
        ids.count(marker.id) == 1 and found == expected,
        f"the verbalizer's {len(ids)} tokens have it {times(ids.count(marker.id))}, {found} where {expected} is declared",
    )


def prompts_begin_once(subject: Subject) -> Result:
    """Count the beginning-of-sequence tokens of what verbalizer and reconstructor are given."""
    card, tokenizer = present(subject.card), subject.prompting
    if tokenizer.bos_token_id is None:
        return passed("no prompt can begin with BOS: the tokenizer has none")
    counts = {f"{which}'s prompt": count for which, count in card.beginnings(tokenizer).items()}
    if subject.verbalizer is not None:
        counts["verbalizer's input"] = beginnings(tokenizer, subject.verbalizer.prompt_ids)
    if subject.reconstructor is not None:
        own = subject.reconstructor.tokenizer
        counts["reconstructor's input"] = beginnings(own, subject.reconstructor.token_ids(["text"])[0])
    expected = beginnings(tokenizer, tokenizer("text")["input_ids"])
    shown = ", ".join(f"{times(count)} in the {what}" for what, count in counts.items())
    return held(
        all(expected <= count <= 1 for count in counts.values()),
        f"BOS stands {shown}",
    )


def explanations_cannot_write_tokens(subject: Subject) -> Result:
    """Let an explanation spell every special token and both tags, and count the special tokens that either half gets."""
    verbalizer, reconstructor = present(subject.verbalizer), present(subject.reconstructor)
    spelt = f"a {spelling(verbalizer.tokenizer)} b"
    tags = (verbalizer.prompts.open_tag, verbalizer.prompts.close_tag)
    learnt = [verbalizer.encode_explanation(text) for text in ("a b", spelt, wrap_explanation(spelt, *tags))]
    read = reconstructor.token_ids(["a b", spelt])
    plain, *more = (special_count(verbalizer.tokenizer, ids) for ids in learnt)
    before, after = (special_count(reconstructor.tokenizer, ids) for ids in read)
    text = verbalizer.parse(learnt[2]).text
    kept = all(tag not in text for tag in tags)
    return held(
        kept and max(more) == plain and before == after,
        f"an explanation that spells all special tokens gives the verbalizer {max(more) - plain} and the reconstructor "
        f"{after - before} of them, and {'cannot end it' if kept else 'ends it'} with a tag",
    )


def lengths_fit_the_window(subject: Subject) -> Result:
    """Put the longest explanation behind the verbalizer's prompt and into the reconstructor's."""
    verbalizer, card = present(subject.verbalizer), present(subject.card)
    verbalizer.require_room(card.max_new_tokens)
    found = (
        f"{card.max_new_tokens} tokens of an explanation fit behind the prompt, which leaves room for {verbalizer.room}"
    )
    if subject.reconstructor is None:
        return passed(found)
    frame = len(subject.reconstructor.token_ids([""])[0])
    window = subject.reconstructor.max_positions
    return held(
        frame + card.max_new_tokens <= window,
        f"{found}; the reconstructor's prompt of {frame} tokens and window of {window} leave room for {window - frame}",
        "Lower max_new_tokens (train.max_new_tokens in a recipe), or shorten the prompts.",
    )
