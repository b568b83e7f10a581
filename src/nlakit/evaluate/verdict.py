"""The evaluation in words: what the pair can be used for, and which of its words to trust.

Pure functions from measures to sentences. The thresholds are our choice and are named here; a sentence
always carries the number it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from nlakit.evaluate.evaluation import Number
from nlakit.evaluate.measures import REGISTRY, format_value
from nlakit.truth import LEVELS

Measures = Mapping[str, Number]

BELIEVE_FROM = 0.8
"""A kind of claim may be believed when the lower end of its share of true claims is at least this."""
FEW_DOCUMENTS = 10
"""Under so many documents nothing is called believable. A bootstrap interval over n of them is narrower than one by Student's t by
about sqrt((n - 1) / n) * 1.96 / t: 0.82 times as wide at ten, and half as wide at four."""
LEAD_FROM = 0.5
"""From this share on a kind of claim is a lead to check; below it, a guess."""
KEPT_FROM = 0.75
"""Below this share of FVE, what an edit of the words leaves is called a private code; so is what the reconstructor from before
reinforcement learning makes of the words. The paper's pairs keep 0.76 and more of every paraphrase and 0.93 of a shuffle."""
READ_FROM = 0.5
"""Below this share of the judge's replies that could be read, a sentence warns: most explanations then have no judgement."""

Trust = Literal["believe", "check", "guess"]
TRUST_WORDS: dict[Trust, str] = {"believe": "believe", "check": "a lead, check it", "guess": "a guess"}

_UNCHECKED = (
    "Whether what they claim is true was not checked: nothing is known about the truth of this text. The readings below stand "
    "beside what the target had read, for you to compare."
)
_FVE_WORDS = ((0.9, "nearly all"), (0.7, "most"), (0.4, "a good part"), (0.1, "a little"), (-math.inf, "nothing"))


class Measured(Protocol):
    """What sentences are made from: an evaluation, or what a card keeps of one."""

    @property
    def numbers(self) -> Measures:
        """The measures that have something behind them."""

    @property
    def documents(self) -> int | None:
        """Documents that the rows come from; ``None`` where that was not kept."""

    @property
    def statistics(self) -> str:
        """What FVE is measured against, in a sentence, for a pair that came without mean and variance; empty for any other."""

    @property
    def max_new_tokens(self) -> int:
        """Length limit of the explanations, in tokens."""

    @property
    def unchecked(self) -> bool:
        """Whether no claim could be checked, and readings stand below for people to judge."""


@dataclass(frozen=True, slots=True)
class Check:
    """One control that must hold before any number is worth reading."""

    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class TrustLine:
    """How far one kind of claim can be trusted."""

    level: str
    trust: Trust
    true: Number
    ceiling: Number | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The evaluation in words."""

    headline: str
    sentences: tuple[str, ...]
    trust: tuple[TrustLine, ...]
    checks: tuple[Check, ...]


def summarise(evaluation: Measured) -> Summary:
    """Put an evaluation into a headline, a few sentences, a line of trust a level, and checks."""
    measures = evaluation.numbers
    sentences = [
        _fve_sentence(evaluation),
        evaluation.statistics,
        few_sentence(evaluation.documents),
        unread_sentence(measures),
        _training_sentence(measures),
        _code_sentence(measures),
        _drift_sentence(measures),
        _truth_sentence(evaluation),
        _silence_sentence(measures),
    ]
    return Summary(_headline(measures), tuple(filter(None, sentences)), _trust(evaluation), _checks(evaluation))


def number(measures: Measures, name: str, *, fine: bool = False) -> str:
    """Write a measure's value with its unit."""
    return format_value(measures[name].value, REGISTRY[name].unit, fine=fine or _near_an_end(measures, name))


def interval(measures: Measures, name: str, *, fine: bool = False) -> str:
    """Write a measure's interval with its unit and as many decimals as its value."""
    unit, fine = REGISTRY[name].unit, fine or _near_an_end(measures, name)
    return (
        f"{format_value(measures[name].low, unit, fine=fine)} to {format_value(measures[name].high, unit, fine=fine)}"
    )


def _near_an_end(measures: Measures, name: str) -> bool:
    """Say whether a share is so close to 0 or 1 that whole per cents hide it."""
    return REGISTRY[name].unit == "fraction" and not 0.05 <= measures[name].value <= 0.95


def _known(measures: Measures, *names: str) -> bool:
    """Say whether all of these measures were taken."""
    return all(name in measures for name in names)


def _headline(measures: Measures) -> str:
    """Say in one line how much the words carry and how much of them is true."""
    if not _known(measures, "fve"):
        return "Nothing was measured."
    if _reaches(measures, "fve_shuffled"):
        return "The words do not depend on the vector: this pair is broken."
    if _reaches(measures, "fve_zero_vector") or _reaches(measures, "fve_empty_text"):
        return "The words carry no more than no vector, or no words, would: this pair is broken."
    carried = next(words for bound, words in _FVE_WORDS if measures["fve"].value >= bound)
    head = f"The words carry {carried} of what tells one vector from another"
    if _coded(measures):
        head += ", much of it in a private code"
    if not _known(measures, "claims_true"):
        return f"{head}; whether they are true is not known."
    true = measures["claims_true"]
    if true.low >= BELIEVE_FROM:
        return f"{head}, and what they say is mostly true."
    joint = "but only" if true.value < LEAD_FROM else "and"
    return f"{head}, {joint} {number(measures, 'claims_true')} of what they say is true."


def _reaches(measures: Measures, control: str) -> bool:
    """Say whether a control comes up to the round trip."""
    return control in measures and measures[control].high >= measures["fve"].low


def _fve_sentence(evaluation: Measured) -> str | None:
    measures = evaluation.numbers
    if not _known(measures, "fve"):
        return None
    text = f"FVE {number(measures, 'fve')} ({interval(measures, 'fve')}) on {measures['fve'].n:,} vectors"
    if evaluation.documents is not None:
        text += f" of {evaluation.documents:,} documents"
    text += " held out of the named corpus" if evaluation.statistics else " that nothing was trained on"
    text += ", one explanation each, sampled at temperature 1"
    if _known(measures, "fve_shuffled"):
        text += f"; with another document's explanation it is {number(measures, 'fve_shuffled')}"
    return text + "."


def few_sentence(documents: int | None) -> str | None:
    """Warn that intervals over a handful of documents are too narrow; None where there are enough, or nobody knows."""
    if documents is None or documents >= FEW_DOCUMENTS:
        return None
    return (
        f"Warning: these rows come from {documents:,} documents, and intervals over fewer than {FEW_DOCUMENTS} are too narrow to "
        "rely on; measure more rows."
    )


def unread_sentence(measures: Measures) -> str | None:
    """Warn that most replies of the judge could not be read; None where enough could, or nobody was asked."""
    if not _known(measures, "evidence_read") or measures["evidence_read"].value >= READ_FROM:
        return None
    return (
        f"Warning: of the judge's replies only {number(measures, 'evidence_read')} could be read (we warn below "
        f"{format_value(READ_FROM, 'fraction')}), so what it says is of few explanations; the report's table Judgements says why. "
        "Name another model in evaluate.judge.options, or allow it longer replies there (max_tokens)."
    )


def _training_sentence(measures: Measures) -> str | None:
    if not _known(measures, "fve", "fve_warm_start"):
        return None
    before, after = measures["fve_warm_start"], measures["fve"]
    low, high = after.low - before.high, after.high - before.low
    if _known(measures, "fve_gain"):  # row by row the same vectors are compared, which shows smaller changes
        low, high = measures["fve_gain"].low, measures["fve_gain"].high
    apart = ", and the intervals do not touch" if after.low > before.high or after.high < before.low else ""
    if low > 0:
        how = f"raised it{apart}"
    elif high < 0:
        how = f"lowered it{apart}"
    else:
        how = "changed it by less than these rows can show"
    text = f"The warm start alone gave {number(measures, 'fve_warm_start')}; reinforcement learning {how}"
    if _known(measures, "fve_gain"):
        text += f". Row by row the gain is {number(measures, 'fve_gain')} ({interval(measures, 'fve_gain')})"
    return text + "."


def _coded(measures: Measures) -> list[str]:
    """Return the edits that keep the meaning of the words and do not keep their FVE."""
    edits = ("fve_kept_paraphrase_heavy", "fve_kept_shuffle")
    return [name for name in edits if name in measures and measures[name].value < KEPT_FROM]


def _code_sentence(measures: Measures) -> str | None:
    """Warn that the reconstructor reads the form of the words more than what they mean."""
    when = {
        "fve_kept_paraphrase_heavy": "when the same is said in other words",
        "fve_kept_shuffle": "when sentences and clauses are put in random order",
    }
    found = [f"only {number(measures, name)} of FVE is left {when[name]}" for name in _coded(measures)]
    if not found:
        return None
    text = f"Warning: {' and '.join(found)} (we warn below {format_value(KEPT_FROM, 'fraction')})"
    return f"{text}. What the words mean to a reader is not all that the reconstructor reads in them: part of it is a private code."


def _drift_sentence(measures: Measures) -> str | None:
    """Warn that the reconstructor from before reinforcement learning makes much less of the words."""
    names = ("fve", "fve_frozen_reconstructor")
    if not _known(measures, *names) or measures["fve"].value <= 0:
        return None
    joint, frozen = (measures[name].value for name in names)
    if frozen >= KEPT_FROM * joint:
        return None
    text = (
        f"Warning: read by the reconstructor from before reinforcement learning the same words give FVE "
        f"{number(measures, names[1])}, less than {format_value(KEPT_FROM, 'fraction')} of {number(measures, names[0])}"
    )
    if _known(measures, "fve_warm_start") and frozen < measures["fve_warm_start"].value:
        before = number(measures, "fve_warm_start")
        return f"{text}, and less than the words of its own time gave it ({before}): the words have drifted into a private code."
    return f"{text}. Much of what the words carry is understood only by the reconstructor that was trained beside them."


def _truth_sentence(evaluation: Measured) -> str | None:
    measures = evaluation.numbers
    if not _known(measures, "claims_true"):
        return _UNCHECKED if _known(measures, "fve") and evaluation.unchecked else None
    text = f"{number(measures, 'claims_true')} of {measures['claims_true'].n:,} claims are true"
    if _known(measures, "claims_ceiling"):
        text += f"; with the likeliest value of a linear probe in each, {number(measures, 'claims_ceiling')} would be"
    if _known(measures, "claims_held"):
        text += f", and {number(measures, 'claims_held')} speak about a fact that the vector holds at all"
    return text + "."


def _silence_sentence(measures: Measures) -> str | None:
    if not _known(measures, "facts_mentioned", "claims_per_explanation"):
        return None
    made, mentioned = number(measures, "claims_per_explanation"), number(measures, "facts_mentioned")
    return f"An explanation makes {made} claims and states {mentioned} of the facts that the vector holds."


def _trust(evaluation: Measured) -> tuple[TrustLine, ...]:
    """Grade each level by the share of its claims that are true."""
    measures, lines = evaluation.numbers, []
    enough = evaluation.documents is None or evaluation.documents >= FEW_DOCUMENTS
    for level in LEVELS:
        name, ceiling = f"claims_true_{level}", f"claims_ceiling_{level}"
        if _known(measures, name):
            measure = measures[name]
            believable = enough and measure.low >= BELIEVE_FROM
            trust: Trust = "believe" if believable else "check" if measure.value >= LEAD_FROM else "guess"
            lines.append(TrustLine(level, trust, measure, measures.get(ceiling)))
    return tuple(lines)


def _checks(evaluation: Measured) -> tuple[Check, ...]:
    """Hold the controls against the round trip."""
    measures = evaluation.numbers
    checks = []
    for name, words in (
        ("fve_shuffled", "from another document's explanation, which must be at or below 0"),
        ("fve_zero_vector", "from the explanation of a zero vector"),
        ("fve_empty_text", "from no text at all"),
    ):
        if _known(measures, "fve", name):
            passed = measures[name].high < measures["fve"].low and (name != "fve_shuffled" or measures[name].value <= 0)
            checks.append(
                Check(passed, f"FVE {number(measures, name)} {words}; {number(measures, 'fve')} from the row's own")
            )
    if _known(measures, "cross_entropy_true", "cross_entropy_shuffled"):
        passed = measures["cross_entropy_true"].high < measures["cross_entropy_shuffled"].low
        own, other = number(measures, "cross_entropy_true"), number(measures, "cross_entropy_shuffled")
        checks.append(
            Check(passed, f"teacher's text at {own} nats a token from its own vector, {other} from another's")
        )
    if _known(measures, "parse_rate"):
        checks.append(
            Check(measures["parse_rate"].value >= 0.9, f"{number(measures, 'parse_rate')} of the outputs parse")
        )
    if _known(measures, "length_tokens"):
        passed = measures["length_tokens"].value < 0.95 * evaluation.max_new_tokens
        checks.append(
            Check(passed, f"{number(measures, 'length_tokens')} tokens an output, cap {evaluation.max_new_tokens}")
        )
    return tuple(checks)
