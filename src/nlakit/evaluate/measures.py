"""The definition of every measure that nlakit prints: one name, one definition.

A number never travels without its name, its interval, its count and its split. ``REGISTRY`` is the
only list of names; the evaluation may not return a measure that is not in it, and ``docs/metrics.md``
is written from it. No torch here: the command line and the documentation read this module.

FVE ("fraction of variance explained") everywhere is ``1 - mean error / Var`` with
``error = 2 (1 - cos)`` between the given and the rebuilt direction, and ``Var`` the mean squared distance
of the unit vectors of the training splits from their un-normalised mean (the paper, section "Method":
Fraser-Taliente et al. 2026). Other definitions in the wild divide by another variance, or leave it
out; their numbers are not comparable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from nlakit.errors import InternalError

Unit = Literal["fraction", "FVE", "tokens", "nats/token", "bits/byte", "claims"]
Need = Literal["warm start", "teacher", "truth", "grown target"]

HELD_ABOVE = 0.5
"""A vector holds a fact when a linear probe gives the fact's true value more than this probability."""


@dataclass(frozen=True, slots=True)
class MeasureDefinition:
    """What one measure is, how to read it and what it costs."""

    name: str
    title: str
    """A few words for a table or a chart."""
    definition: str
    """What is counted or averaged, over what."""
    baseline: str
    """What to hold the number against."""
    unit: Unit
    cost: str
    """What has to be computed for it, beyond the held-out vectors themselves."""
    group: str
    """The heading under which it is listed."""
    needs: tuple[Need, ...] = ()
    """Without these it is left out, with the reason in the report."""


RECONSTRUCTION = "Reconstruction"
CONTROLS = "Controls"
OUTPUT = "Output"
TRUTH = "Truth of claims"
HELD = "What the vectors hold"
USE = "Use of the vector"
TARGET = "What the target can predict"

_SAMPLED = "one sampled explanation a row"
_NONE = "none beyond the sampled explanations"
_PROBES = "one linear probe a slot, fitted on training documents"


def _level_measure(level: str, meaning: str) -> MeasureDefinition:
    """Return the definition of ``claims_true`` within one level."""
    return MeasureDefinition(
        name=f"claims_true_{level}",
        title=f"claims true, {level}",
        definition=f"Share of the claims of level {level} ({meaning}) that are true at their position.",
        baseline=f"claims_ceiling_{level}: the same claims, each with the probe's best value",
        unit="fraction",
        cost=_NONE,
        group=TRUTH,
        needs=("truth",),
    )


def _target_measure(name: str, title: str, definition: str, baseline: str, unit: Unit) -> MeasureDefinition:
    """Return the definition of a measure that the stage ``grow`` takes, once, of the target that it has grown."""
    cost = "one forward pass a document, at the end of nlakit grow"
    return MeasureDefinition(name, title, definition, baseline, unit, cost, TARGET, ("grown target",))


def _ceiling_measure(level: str) -> MeasureDefinition:
    """Return the definition of ``claims_ceiling`` within one level."""
    return MeasureDefinition(
        name=f"claims_ceiling_{level}",
        title=f"claims a probe gets right, {level}",
        definition=f"claims_ceiling over the claims of level {level} only.",
        baseline="1",
        unit="fraction",
        cost=_PROBES,
        group=HELD,
        needs=("truth",),
    )


_DEFINITIONS: tuple[MeasureDefinition, ...] = (
    MeasureDefinition(
        "fve",
        "round trip",
        "FVE of vector → explanation sampled at temperature 1 → vector. A row whose output failed (no closing tag, cut off, "
        "empty) counts with error 2. The headline number.",
        "0: the mean vector of the training splits; 1: perfect",
        "FVE",
        _SAMPLED,
        RECONSTRUCTION,
    ),
    MeasureDefinition(
        "fve_greedy",
        "round trip, greedy",
        "As fve, with the most probable token at every step instead of a sample.",
        "fve",
        "FVE",
        "one greedy explanation a row",
        RECONSTRUCTION,
    ),
    MeasureDefinition(
        "fve_warm_start",
        "round trip before RL",
        "As fve, by the pair as it was after the warm start, before reinforcement learning.",
        "fve: the difference is what reinforcement learning added",
        "FVE",
        "one sampled explanation a row by the warm-start pair",
        RECONSTRUCTION,
        ("warm start",),
    ),
    MeasureDefinition(
        "fve_gain",
        "gain by RL",
        "fve minus fve_warm_start, row by row: the same rows, one sampled explanation each by either pair.",
        "0: reinforcement learning changed nothing. Paired, so its interval is narrower than those of the two measures",
        "FVE",
        "none beyond fve_warm_start",
        RECONSTRUCTION,
        ("warm start",),
    ),
    MeasureDefinition(
        "fve_frozen_reconstructor",
        "round trip, first reader",
        "As fve, from the same explanations, rebuilt by the reconstructor as it was after the warm start, before reinforcement "
        "learning.",
        "fve_warm_start: below it, the words have drifted into a code that only the reconstructor trained beside them reads",
        "FVE",
        "one reconstruction a row by the warm-start pair",
        RECONSTRUCTION,
        ("warm start",),
    ),
    MeasureDefinition(
        "fve_teacher_text",
        "teacher's text",
        "FVE of the reconstructor reading the teacher's explanation of the same row, no verbalizer involved. A row that the "
        "teacher refused counts with error 2.",
        "fve: above it, the pair has found better words than its teacher",
        "FVE",
        "one teacher's explanation a row",
        RECONSTRUCTION,
        ("teacher",),
    ),
    MeasureDefinition(
        "fve_mean",
        "best constant answer",
        "FVE of answering every row with the direction of the training mean: the best that can be done without reading "
        "anything. Below 0, since errors compare directions and a mean has length below 1.",
        "0: the un-normalised mean, by definition of FVE",
        "FVE",
        "none",
        CONTROLS,
    ),
    MeasureDefinition(
        "fve_shuffled",
        "another row's explanation",
        "FVE when each row is rebuilt from the explanation of a row of another document.",
        "must be at or below 0; near fve means that the text does not depend on the vector",
        "FVE",
        _NONE,
        CONTROLS,
    ),
    MeasureDefinition(
        "fve_zero_vector",
        "explanation of a zero vector",
        "FVE when the verbalizer is given zeros in place of the vector (no norm is set) and its text is rebuilt.",
        "must be far below fve: what the prompt alone can say",
        "FVE",
        "one sampled explanation a row, from zeros",
        CONTROLS,
    ),
    MeasureDefinition(
        "fve_empty_text",
        "empty text",
        "FVE of the reconstructor given no text at all, the same answer for every row.",
        "must be far below fve: what the reconstructor knows by heart",
        "FVE",
        "one reconstruction",
        CONTROLS,
    ),
    MeasureDefinition(
        "fve_other_text",
        "teacher's text of another row",
        "FVE of the reconstructor reading the teacher's explanation of a row of another document.",
        "fve_teacher_text",
        "FVE",
        "one teacher's explanation a row",
        CONTROLS,
        ("teacher",),
    ),
    MeasureDefinition(
        "parse_rate",
        "outputs that parse",
        "Share of the sampled outputs with a closing tag and text before it; the opening tag may be missing.",
        "1",
        "fraction",
        _SAMPLED,
        OUTPUT,
    ),
    MeasureDefinition(
        "length_tokens",
        "length",
        "Mean number of tokens sampled a row, tags and end mark included, failed outputs too.",
        "the card's max_new_tokens: a length at that limit is being cut off",
        "tokens",
        _SAMPLED,
        OUTPUT,
    ),
    MeasureDefinition(
        "distinct_texts",
        "distinct texts",
        "Number of different explanations divided by the number of rows that have one; each row counts with one over the "
        "number of rows that share its text.",
        "1 / n: the same text for every row",
        "fraction",
        _SAMPLED,
        OUTPUT,
    ),
    MeasureDefinition(
        "claims_true",
        "claims true",
        "Share of the claims in the sampled explanations that are true at their position, judged by the corpus's own truth.",
        "claims_ceiling: what the vectors allow",
        "fraction",
        _NONE,
        TRUTH,
        ("truth",),
    ),
    _level_measure("theme", "what the text is about"),
    _level_measure("entity", "who or what is in it"),
    _level_measure("detail", "a particular of them"),
    MeasureDefinition(
        "claims_related",
        "claims false but related",
        "Share of the claims that are false, but of the right kind for the text (the paper's middle class).",
        "the rest, 1 - claims_true - claims_related, is false and unrelated",
        "fraction",
        _NONE,
        TRUTH,
        ("truth",),
    ),
    MeasureDefinition(
        "claims_per_explanation",
        "claims an explanation",
        "Claims made, divided by the number of explanations that parsed.",
        "silence is one way of not being wrong: read it with claims_true",
        "claims",
        _NONE,
        TRUTH,
        ("truth",),
    ),
    MeasureDefinition(
        "claims_held",
        "claims about a held fact",
        f"Share of the claims that speak about a fact which the vector holds: the probe of the claim's slot gives the true value "
        f"more than {HELD_ABOVE}, whatever the claim says about it. A claim about a slot that has no truth at the position "
        "counts as not held.",
        "1: the explanation speaks only of what is there",
        "fraction",
        _PROBES,
        HELD,
        ("truth",),
    ),
    MeasureDefinition(
        "facts_mentioned",
        "held facts mentioned",
        f"Of the facts that the probes find in the vectors (true value above {HELD_ABOVE}), the share that the explanation "
        "states correctly. A failed output mentions nothing.",
        "1: the explanation says all that is there",
        "fraction",
        _PROBES,
        HELD,
        ("truth",),
    ),
    MeasureDefinition(
        "facts_held",
        "facts held",
        f"Share of the facts true at the held-out positions that the probes find in the vectors (true value above {HELD_ABOVE}).",
        "1",
        "fraction",
        _PROBES,
        HELD,
        ("truth",),
    ),
    MeasureDefinition(
        "claims_ceiling",
        "claims a probe gets right",
        "The decodability ceiling: share of the claims that would be true if each gave the value its slot's probe finds most "
        "probable in the vector. A claim about a slot that has no truth at the position counts as wrong. A probe learns from "
        "some thousand rows, so a verbalizer can beat it where a slot has hundreds of values.",
        "claims_true: far below it, the words waste what the vector holds; at it, they guess as well as the vector allows",
        "fraction",
        _PROBES,
        HELD,
        ("truth",),
    ),
    _ceiling_measure("theme"),
    _ceiling_measure("entity"),
    _ceiling_measure("detail"),
    MeasureDefinition(
        "cross_entropy_true",
        "cross-entropy, own vector",
        "Mean negative log-probability a token that the verbalizer gives the teacher's explanation when it reads the row's own "
        "vector.",
        "cross_entropy_shuffled",
        "nats/token",
        "one forward pass a row over the teacher's explanation",
        USE,
        ("teacher",),
    ),
    MeasureDefinition(
        "cross_entropy_shuffled",
        "cross-entropy, another's vector",
        "As cross_entropy_true, when the verbalizer reads the vector of a row of another document.",
        "must be clearly above cross_entropy_true: the gap is what the verbalizer takes from the vector",
        "nats/token",
        "one forward pass a row over the teacher's explanation",
        USE,
        ("teacher",),
    ),
    _target_measure(
        "target_loss",
        "loss of the target",
        "Mean negative log-probability that the grown target gives the next token, over all tokens of all held-out documents. "
        "Its tokenizer has never read them either.",
        "target_loss_unigram",
        "nats/token",
    ),
    _target_measure(
        "target_loss_unigram",
        "loss of token frequencies",
        "The same when each token is predicted by how often it comes in the documents that the target was grown from (each count "
        "raised by one), whatever stands before it: the unigram cross-entropy.",
        "target_loss: the difference is what the target has learnt about the order of words",
        "nats/token",
    ),
    _target_measure(
        "target_loss_seen",
        "loss on documents it was grown from",
        "As target_loss, on as many of the documents that the target was grown from, drawn by lot.",
        "target_loss: far below it, the target has learnt its text by heart",
        "nats/token",
    ),
    _target_measure(
        "target_right",
        "next tokens guessed right",
        "Share of the held-out tokens that the target finds more probable than any other.",
        "1",
        "fraction",
    ),
    _target_measure(
        "target_bits",
        "bits a byte, target",
        "target_loss in bits, divided by the bytes of the text (UTF-8) and not by its tokens: comparable between tokenizers.",
        "target_bits_unigram; large language models need 1 bit a byte of English or less",
        "bits/byte",
    ),
    _target_measure(
        "target_bits_unigram",
        "bits a byte, token frequencies",
        "target_loss_unigram in bits a byte.",
        "target_bits",
        "bits/byte",
    ),
)

REGISTRY: Mapping[str, MeasureDefinition] = {definition.name: definition for definition in _DEFINITIONS}
"""Every measure by name, in the order in which tables list them."""


def definition_of(name: str) -> MeasureDefinition:
    """Return the definition of a measure; an unknown name is a bug of the caller."""
    if name not in REGISTRY:
        raise InternalError(f"measure {name!r} has no definition; add it to nlakit.evaluate.measures.REGISTRY")
    return REGISTRY[name]


def names_that_need(need: Need) -> list[str]:
    """Return the measures that cannot be had without ``need``."""
    return [definition.name for definition in _DEFINITIONS if need in definition.needs]


def in_registry_order(names: Iterable[str]) -> list[str]:
    """Return the given names in the order of the registry."""
    wanted = set(names)
    for name in wanted:
        definition_of(name)
    return [name for name in REGISTRY if name in wanted]


def format_value(value: float, unit: Unit, *, fine: bool = False) -> str:
    """Write a value the way its unit is read: shares in per cent, tokens with one decimal, the rest with two.

    ``fine`` adds a decimal, for tables and for shares near 0 or 1.
    """
    if unit == "fraction":
        return f"{100 * value:.{int(fine)}f}\u00a0%"
    decimals = (1 if unit == "tokens" else 2) + int(fine)
    return f"{value:.{decimals}f}".replace("-", "−")


def metrics_markdown() -> str:
    """Return ``docs/metrics.md``: every measure with its definition, written from the registry."""
    lines = [
        "# Measures",
        "",
        "Every number that `nlakit evaluate` prints, and how to read it. This page is generated from",
        "`nlakit.evaluate.measures`; change a definition there.",
        "",
        "All are taken on held-out rows: positions of documents that no stage of the training has read, rebuilt from the",
        "corpus, the settings and the seed that the pair's card records. Each comes with a 95 % interval by bootstrap over",
        "documents (rows of one document are not independent), with `n`, the number of rows, claims or facts it is taken",
        "over, and with its split. What a grown target can predict is measured once, by `nlakit grow`, and stands in the report.",
        "",
        "**FVE** is `1 - mean error / Var`, with `error = 2 (1 - cos)` between the given and the rebuilt direction, and `Var` the",
        "mean squared distance of the unit vectors of the training splits from their un-normalised mean. 0 is what the mean vector",
        "scores, 1 is perfect, and a constant *direction* scores below 0. Other definitions divide by another variance, or by",
        "none; their numbers are not comparable.",
        "",
        "**Claims and facts** need a corpus that knows its own truth (a plugin of the group `nlakit.truth`). A *claim* is one",
        "statement found in an explanation: a slot, such as the place, and a value. Without a truth plugin these measures are",
        "left out, and the report says so.",
    ]
    group = ""
    for definition in _DEFINITIONS:
        if definition.group != group:
            group = definition.group
            lines += ["", f"## {group}"]
        lines += ["", f"### `{definition.name}`", "", definition.definition, ""]
        lines.append(f"* Unit: {definition.unit}")
        lines.append(f"* Hold it against: {definition.baseline}")
        lines.append(f"* Costs: {definition.cost}")
        if definition.needs:
            lines.append(f"* Needs: {', '.join(definition.needs)}")
    return "\n".join(lines) + "\n"
