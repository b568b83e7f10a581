"""Other ways to put the same vectors into words, each a function from the bench to one explanation a held-out row.

Axes: N rows, M training rows, D vector width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nlakit.config import TargetConfig
from nlakit.data.annotate import ask_for_free
from nlakit.data.teachers import Source, load_teacher
from nlakit.errors import InputError, missing_extra
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.rows import Rows
from nlakit.explanations import Explanation, Outcome
from nlakit.models.sampler import sample
from nlakit.models.verbalizer import Verbalizer
from nlakit.truth import HELD_ABOVE, Speaker
from nlakit.vectors import unit

LENS_WORDS = 5
"""Words that the logit lens gives for a vector."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to read vectors."""

    name: str
    about: str
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
    card = bench.pair.card
    verbalizer = Verbalizer.from_target(
        bench.target, card.prompts, injection_scale=card.injection_scale, max_new_tokens=card.max_new_tokens
    )
    written = sample(verbalizer, bench.heldout.vectors_ND, temperature=0.0, batch_rows=bench.config.batch_size)
    # It was never taught to close an explanation, so whatever it writes is what it says.
    return [_said(output.text) for output in written]


def warm_start(bench: Bench) -> list[Explanation] | None:
    """Let the verbalizer write that was taught the teacher's text, before any reconstructor had a say."""
    if bench.before is None:
        return None
    return [output.explanation for output in bench.explain("sampled", bench.heldout.vectors_ND, pair=bench.before)]


def nearest(bench: Bench) -> list[Explanation] | None:
    """Give the teacher's text of the training row with the nearest vector, by cosine."""
    written = _training_texts(bench)
    if written is None or bench.training is None:
        return None
    cosines_NM = unit(bench.heldout.vectors_ND) @ unit(bench.training.vectors_ND).T
    return [written[place] for place in cosines_NM.argmax(dim=1).tolist()]


def similar_text(bench: Bench) -> list[Explanation] | None:
    """Give the teacher's text of the training row with the most similar text, by the cosine of TF-IDF: no vector is read."""
    written = _training_texts(bench)
    if written is None or bench.training is None:
        return None
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise missing_extra("scikit-learn", "eval", "comparing texts") from error
    contexts, others = bench.heldout.column("context"), bench.training.column("context")
    # One-letter words and marks count in short texts.
    weigher = TfidfVectorizer(tokenizer=str.split, token_pattern=None, sublinear_tf=True).fit(others)
    closeness_NM = weigher.transform(contexts) @ weigher.transform(others).T
    return [written[int(place)] for place in np.asarray(closeness_NM.argmax(axis=1)).ravel()]


def probes(bench: Bench) -> list[Explanation] | None:
    """Say what linear probes find in the vector: every slot whose likeliest value is held."""
    speaker: object = bench.reader
    if bench.probes is None or not isinstance(speaker, Speaker):
        return None
    return [_said(speaker.say(values)) for values in bench.probes.values(bench.heldout.vectors_ND, HELD_ABOVE)]


def teacher(bench: Bench) -> list[Explanation] | None:
    """Give the teacher's own text: the reader that sees the text and not the vector."""
    return explained_by_teacher(bench, bench.heldout)


def explained_by_teacher(bench: Bench, rows: Rows) -> list[Explanation] | None:
    """Return what the teacher writes of rows; None where it is unknown or would have to be paid for."""
    config, card = bench.settings.annotate, bench.pair.card
    if config is None or config.teacher in ("anthropic", "openai"):
        return None
    source = Source(
        TargetConfig(model=card.target.model, revision=card.target.revision, dtype=card.target.dtype),
        card.target.fingerprint,
        card.site,
    )
    try:
        return ask_for_free(load_teacher(config, source), rows.contexts(), None)
    except InputError:
        return None


def _training_texts(bench: Bench) -> list[Explanation] | None:
    return None if bench.training is None else explained_by_teacher(bench, bench.training)


def _said(text: str) -> Explanation:
    return Explanation(text.strip(), Outcome.OK if text.strip() else Outcome.EMPTY)


_TEACHER = "the teacher cannot be asked again without cost, or is not known"
METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("logit_lens", "likeliest words of the target's output layer for the vector", logit_lens),
        Method("untrained", "the target itself in the verbalizer's prompt, untrained", untrained),
        Method("warm_start", "taught the teacher's text, no reconstructor", warm_start, "no earlier weights are kept"),
        Method("nearest", "the teacher's text of the training row with the nearest vector", nearest, _TEACHER),
        Method("probes", "what linear probes find", probes, "the corpus does not know its truth, or cannot say it"),
        Method(
            "similar_text", "the teacher's text of the training row with the most similar text", similar_text, _TEACHER
        ),
        Method("teacher", "the teacher, who sees the text and not the vector", teacher, _TEACHER),
    )
}
"""Every method by name, from the least to the most informed."""
