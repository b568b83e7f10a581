"""Other ways to put the same vectors into words, each a function from the bench to one explanation a held-out row.

Axes: N rows, M training rows, D vector width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nlakit.claims.probes import NOT_THERE, fit_probes, with_absence
from nlakit.errors import missing_extra
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.rows import Rows
from nlakit.evaluate.taught import teacher_words
from nlakit.explanations import Explanation, Outcome
from nlakit.models.adapters import switch
from nlakit.models.sampler import sample
from nlakit.models.verbalizer import Verbalizer
from nlakit.truth import HELD_ABOVE, Speaker
from nlakit.vectors import unit

LENS_WORDS = 5
"""Words that the logit lens gives for a vector."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to read vectors; what it is stands in ``nlakit.evaluate.definitions.baselines``."""

    name: str
    explain: Callable[[Bench], list[Explanation] | None]
    """Returns None where it cannot be done; the reason is in ``needs``."""
    needs: str = ""


def logit_lens(bench: Bench) -> list[Explanation]:
    """Give the words that the target's output layer finds likeliest for the vector (nostalgebraist 2020)."""
    top_NK = lens_logits(bench, bench.heldout.vectors_ND).topk(LENS_WORDS, dim=-1).indices
    words = [[bench.target.tokenizer.decode([token]).strip() for token in row] for row in top_NK.tolist()]
    return [_said(", ".join(word for word in row if word)) for row in words]


@torch.no_grad()
def lens_logits(bench: Bench, vectors_ND: Tensor) -> Tensor:
    """Return the logits (N, V) that the target's final norm and output layer make of vectors."""
    target = bench.target
    parameter = next(target.final_norm.parameters(), next(target.model.parameters()))
    states_ND = target.final_norm(vectors_ND.to(parameter.device, parameter.dtype))
    return target.model.get_output_embeddings()(states_ND).float().cpu()


def untrained(bench: Bench) -> list[Explanation]:
    """Let the target itself read the vector in the verbalizer's prompt, untrained.

    That is SelfIE (Chen 2024) and Patchscopes (Ghandeharioun 2024) with the prompt of the pair.
    """
    card, target = bench.pair.card, bench.target
    switch(target.model, None)  # of a pair of adapters the target is what both halves share
    verbalizer = Verbalizer(
        target.model,
        target.tokenizer,
        card.prompts,
        injection_scale=card.injection_scale,
        max_new_tokens=bench.config.max_new_tokens or card.max_new_tokens,
    )
    written = sample(verbalizer, bench.heldout.vectors_ND, temperature=0.0, batch_rows=bench.config.batch_size)
    # It was never taught to close an explanation, so whatever it writes is what it says.
    return [_said(output.text) for output in written]


def warm_start(bench: Bench) -> list[Explanation] | None:
    """Let the verbalizer write that was taught the teacher's text, before any reconstructor had a say."""
    return bench.explained_before


def nearest(bench: Bench) -> list[Explanation] | None:
    """Give what the pair writes of the training row with the nearest vector.

    The pair's own words and not the teacher's: where the recipe grounds, nobody keeps the grounded texts of these rows, and the
    teacher's whole texts are no fair stand-in for what the pair was taught.
    """
    return None if bench.training is None else _own_words(bench, bench.training, _nearest_rows(bench, bench.training))


def nearest_teacher(bench: Bench) -> list[Explanation] | None:
    """Give the teacher's whole text of the training row with the nearest vector: what can be said without any pair."""
    if bench.training is None:
        return None
    chosen_N = _nearest_rows(bench, bench.training)
    used = sorted(set(chosen_N))
    written = _teacher_words(bench, bench.training.take(used))
    return None if written is None else _handed_out(chosen_N, used, written)


def similar_text(bench: Bench) -> list[Explanation] | None:
    """Give what the pair writes of the training row with the most similar text, by the cosine of TF-IDF."""
    if bench.training is None:
        return None
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise missing_extra("scikit-learn", "eval", "comparing texts") from error
    contexts, others = bench.heldout.column("context"), bench.training.column("context")
    # One-letter words and marks count in short texts.
    weigher = TfidfVectorizer(tokenizer=str.split, token_pattern=None, sublinear_tf=True).fit(others)
    closeness_NM = weigher.transform(contexts) @ weigher.transform(others).T
    chosen_N = np.asarray(closeness_NM.argmax(axis=1)).ravel().tolist()
    return _own_words(bench, bench.training, chosen_N)


def probes(bench: Bench) -> list[Explanation] | None:
    """Say what linear probes find in the vector: every slot that they find there, with its likeliest value.

    Other than the probes of ``bench.probes``, which are only asked where a slot has a value, these must find out for themselves
    whether it has one.
    """
    speaker: object = bench.reader
    if bench.training is None or bench.reader is None or not isinstance(speaker, Speaker):
        return None
    truths = bench.training.truths()
    known = [row for row, truth in enumerate(truths) if truth is not None]
    facts = with_absence([bench.reader.facts(truth) for truth in truths if truth is not None])
    documents = bench.training.document_ids
    fitted = fit_probes(bench.training.vectors_ND[known], facts, [documents[row] for row in known], bench.config.seed)
    found_N = fitted.values(bench.heldout.vectors_ND, HELD_ABOVE)
    there_N = [{slot: value for slot, value in found.items() if value != NOT_THERE} for found in found_N]
    return [_said(speaker.say(there)) for there in there_N]


def teacher(bench: Bench) -> list[Explanation] | None:
    """Give the teacher's own text: the reader that sees the text and not the vector."""
    return _teacher_words(bench, bench.heldout)


def _teacher_words(bench: Bench, rows: Rows) -> list[Explanation] | None:
    written = teacher_words(bench, rows)
    return None if isinstance(written, str) else written


def _nearest_rows(bench: Bench, training: Rows) -> list[int]:
    """Return for each held-out row the training row with the nearest vector."""
    cosines_NM = unit(bench.heldout.vectors_ND) @ unit(training.vectors_ND).T
    places: list[int] = cosines_NM.argmax(dim=1).tolist()
    return places


def _own_words(bench: Bench, training: Rows, chosen_N: Sequence[int]) -> list[Explanation]:
    """Let the pair write of the chosen training rows, at the temperature at which it writes of held-out ones."""
    used = sorted(set(chosen_N))
    written = bench.explain("training rows", training.vectors_ND[used])
    return _handed_out(chosen_N, used, [output.explanation for output in written])


def _handed_out(chosen_N: Sequence[int], used: Sequence[int], written: Sequence[Explanation]) -> list[Explanation]:
    """Return the text of the chosen row for each held-out row; ``written`` holds those of the rows ``used``."""
    texts = dict(zip(used, written, strict=True))
    return [texts[row] for row in chosen_N]


def _said(text: str) -> Explanation:
    return Explanation(text.strip(), Outcome.OK if text.strip() else Outcome.EMPTY)


_TEACHER = "the teacher cannot be asked again without cost, or is not known"
_NO_ROWS = "no training rows can be built again"
METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("logit_lens", logit_lens),
        Method("untrained", untrained),
        Method("warm_start", warm_start, "no earlier weights are kept"),
        Method("nearest", nearest, _NO_ROWS),
        Method("nearest_teacher", nearest_teacher, _TEACHER),
        Method("probes", probes, "the corpus does not know its truth, or cannot say it"),
        Method("similar_text", similar_text, _NO_ROWS),
        Method("teacher", teacher, _TEACHER),
    )
}
"""Every method by name, from the least to the most informed."""
