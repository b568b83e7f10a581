"""Measures of claims held against the words of the text, or judged by a model, where a corpus does not know its truth."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import NONE, MeasureDefinition
from nlakit.truth import LEVELS

EVIDENCE = "Claims against the text"
JUDGES = "none beyond the sampled explanations; with a judge one request an explanation and text"
_ASKED = "none beyond what the judge is asked for evidence_true"
_HOW = "by its words, or by the judge where evaluate.judge names one"


def _auroc(name: str, title: str, which: str) -> MeasureDefinition:
    """Return the definition of a measure of whether words rank true claims above false ones."""
    definition = (
        "AUROC of the verdict by words (all of its words in the text above some of them, and those above none) for claims that the "
        f"corpus's own truth calls true against those that it calls false{which}."
    )
    return MeasureDefinition(name, title, definition, "0.5: words tell nothing", "AUROC", NONE, EVIDENCE, ("truth",))


DEFINITIONS: tuple[MeasureDefinition, ...] = (
    MeasureDefinition(
        "evidence_true",
        "claims with evidence",
        "Share of the claims in the sampled explanations that the text around their position bears out, each judged "
        f"{_HOW}.",
        "evidence_true_other: what the same claims score by chance",
        "fraction",
        JUDGES,
        EVIDENCE,
    ),
    *(
        MeasureDefinition(
            f"evidence_true_{level}",
            f"claims with evidence, {level}",
            f"evidence_true over the claims of level {level} only; without a judge, who reads the claim says its level.",
            f"evidence_true_other_{level}",
            "fraction",
            JUDGES,
            EVIDENCE,
        )
        for level in LEVELS
    ),
    MeasureDefinition(
        "evidence_related",
        "claims with some evidence",
        "Share of the claims that the text does not bear out, and that share something with it: some of their words, or a kind.",
        "the rest, 1 - evidence_true - evidence_related, has nothing to do with the text",
        "fraction",
        JUDGES,
        EVIDENCE,
    ),
    MeasureDefinition(
        "evidence_true_other",
        "claims with evidence, another's text",
        "As evidence_true, each explanation held against the text around a row of another document.",
        "must be clearly below evidence_true: the gap is what explanations say of their own text",
        "fraction",
        JUDGES,
        EVIDENCE,
    ),
    *(
        MeasureDefinition(
            f"evidence_true_other_{level}",
            f"claims with evidence, another's text, {level}",
            f"evidence_true_other over the claims of level {level} only.",
            f"must be clearly below evidence_true_{level}",
            "fraction",
            JUDGES,
            EVIDENCE,
        )
        for level in LEVELS
    ),
    MeasureDefinition(
        "evidence_read",
        "explanations with a judgement",
        "Share of the explanations whose judgement could be read, be it without entries that could not; what was not read is in no "
        "measure of this group, and counted by reason in the table Judgements.",
        "1, which it is without a judge",
        "fraction",
        JUDGES,
        EVIDENCE,
    ),
    MeasureDefinition(
        "evidence_agreement",
        "words agree with the truth",
        "Share of the claims, as the corpus's own truth reads them, of which words in the text and the truth say the same.",
        "evidence_agreement_majority, and evidence_agreement_chance",
        "fraction",
        NONE,
        EVIDENCE,
        ("truth",),
    ),
    MeasureDefinition(
        "evidence_agreement_majority",
        "agreement of one answer for all",
        "Agreement with the truth of whoever calls every claim true, or every claim false, whichever is right more often; no "
        "text is read for it.",
        "where evidence_agreement is below it, words must not be used to say which claims are true",
        "fraction",
        NONE,
        EVIDENCE,
        ("truth",),
    ),
    MeasureDefinition(
        "evidence_agreement_chance",
        "agreement by chance",
        "Agreement with the truth of the words in another document's text.",
        "must be clearly below evidence_agreement",
        "fraction",
        NONE,
        EVIDENCE,
        ("truth",),
    ),
    _auroc("evidence_auroc", "words rank true claims", ""),
    *(
        _auroc(f"evidence_auroc_{level}", f"words rank true claims, {level}", f", level {level} only")
        for level in LEVELS
    ),
    MeasureDefinition(
        "judge_agreement",
        "judge agrees with the truth",
        "Share of the judge's claims, held against the explanations' own texts and as far as they can be checked "
        "(judge_checked), that the judge calls true where the corpus's own truth does, and false, related or not, where it "
        "does not. A claim that speaks of several of the explanation's is true where all of them are; what it says beyond "
        "them is not checked.",
        "judge_agreement_majority",
        "fraction",
        _ASKED,
        EVIDENCE,
        ("truth", "judge"),
    ),
    MeasureDefinition(
        "judge_agreement_majority",
        "agreement of one answer for all, judge's claims",
        "Agreement with the truth, over the claims of judge_agreement, of whoever calls every one true, or every one false, "
        "whichever is right more often.",
        "where judge_agreement is not above it, the judge must not be used to say which claims are true",
        "fraction",
        _ASKED,
        EVIDENCE,
        ("truth", "judge"),
    ),
    MeasureDefinition(
        "judge_checked",
        "judge's claims that can be checked",
        "Share of the judge's claims about the explanations' own texts whose words the corpus's reader reads as a claim that "
        "the explanation makes too; or, where it reads none so, whose words stand in the explanation exactly once and hold the "
        "value of a claim there. A judge gives the words of a claim and not its place.",
        "1: of the rest judge_agreement says nothing",
        "fraction",
        _ASKED,
        EVIDENCE,
        ("truth", "judge"),
    ),
)
