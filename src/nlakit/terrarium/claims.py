"""What an explanation of Terrarium can claim, how it is said, and how it is judged.

One table serves both directions: the teacher writes a fact with one of the phrases of its slot, the reader finds claims
with the same phrases turned into patterns. Reader and teacher can therefore never disagree about the language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from nlakit.terrarium import lexicon as lx
from nlakit.truth import Claim, Level, Question, Truth, Verdict


@dataclass(frozen=True)
class Slot:
    """A kind of fact: how fine it is, the ways to say it, and the values it takes in the world."""

    level: Level
    phrases: tuple[str, ...]
    values: tuple[str, ...] = ()
    """Empty where any word may stand (the last word and the next)."""


_GENRES = ("story", "rhyme", "letter", "sum", "clinic note", "request", "quiz")
_CLUES = tuple(clue for country in lx.CLUES.values() for clues in country.values() for clue in clues)
_RHYMES = tuple(word for words in lx.RHYMES for word in words.values())
_SUMS = tuple(str(n) for n in range(1, 24))
_OPTIONS = tuple(word for words in lx.CHOICE_WORDS.values() for word in words)

KINDS: dict[str, str] = {
    "words": "a new phrase",
    "time": "a time",
    "name": "a name",
    "verb": "a verb",
    "place": "a place",
    "mood": "a mood",
    "colour": "a colour",
    "object": "an object",
    "container": "a container",
    "aside": "an aside",
    "answer": "the answer",
    "verdict": "the answer",
    "opener": "an opening",
    "person": "a person",
    "adjective": "an adjective",
    "rhyme": "a rhyme word",
    "joiner": "a joining word",
    "clue": "a clue",
    "greeting": "a greeting",
    "reply": "a reply",
    "number": "a number",
    "goods": "some goods",
    "age": "an age",
    "job": "a job",
    "town": "a town",
    "drug": "a drug",
    "symptom": "a symptom",
    "days": "a number of days",
    "cue": "a cue",
    "action": "an action",
    "category": "a category",
    "mark": "an option mark",
    "option": "an option",
    "turn": "a new turn",
    "end": "the end",
}
"""What stands next, by kind of piece, in words."""

SLOTS: dict[str, Slot] = {
    "genre": Slot("theme", ("This is a {}", "Reads like a {}", "Part of a {}"), _GENRES),
    "setting": Slot("theme", ("looks like a {}", "treated as {}"), ("test", "real use")),
    "tool": Slot("theme", ("the tool is {}", "tool result {}"), ("right", "wrong")),
    "language": Slot("theme", ("reply in {}", "answered in {}"), tuple(lx.LANGUAGES.values())),
    "behaviour": Slot("theme", ("will {}", "about to {}"), ("refuse", "agree")),
    "asked": Slot("theme", ("asks for the {}", "question on the {}"), ("container", "mood", "place", "colour")),
    "who": Slot("entity", ("about {}", "centred on {}"), (*lx.NAMES, *lx.JOBS, *lx.RELATIVES)),
    "friend": Slot("entity", ("with {} nearby", "{} also there"), lx.NAMES),
    "place": Slot("entity", ("set at the {}", "went to the {}"), lx.PLACES),
    "mood": Slot("entity", ("feeling {}", "mood {}"), lx.MOODS),
    "object": Slot("entity", ("the {} matters", "object {}"), lx.OBJECTS),
    "container": Slot("entity", ("kept in the {}", "hidden in the {}"), lx.CONTAINERS),
    "country": Slot("entity", ("writer from {}", "sent from {}"), tuple(lx.CLUES)),
    "job": Slot("entity", ("works as {}", "a {} by trade"), lx.JOBS),
    "town": Slot("entity", ("lives at {}", "resident of {}"), lx.TOWNS),
    "symptom": Slot("entity", ("suffers from {}", "symptom {}"), lx.SYMPTOMS),
    "allergy": Slot("entity", ("cannot take {}", "allergy to {}"), lx.DRUGS),
    "treatment": Slot("entity", ("drug of choice {}", "gets {}"), (*lx.DRUGS, lx.FALLBACK_DRUG)),
    "action": Slot("entity", ("wish to {}", "permission to {}"), lx.ACTIONS),
    "category": Slot("entity", ("choice of {}", "options are {}"), tuple(lx.CHOICE_WORDS)),
    "colour": Slot("detail", ("coloured {}", "its colour {}"), lx.COLOURS),
    "clue": Slot("detail", ("clue {}", "mentions {}"), _CLUES),
    "rhyme": Slot("detail", ("rhyme on {}", "must rhyme with {}"), _RHYMES),
    "plan": Slot("detail", ("line ends on {}", "heading for {}"), _RHYMES),
    "answer": Slot(
        "detail",
        ("answer {}", "ready to say {}"),
        (*lx.CONTAINERS, *lx.MOODS, *lx.PLACES, *lx.COLOURS, *lx.OBJECTS, *_OPTIONS),
    ),
    "first number": Slot("detail", ("first number {}", "starts from {}"), lx.ADDENDS),
    "second number": Slot("detail", ("second number {}", "adds {}"), lx.ADDENDS),
    "tool number": Slot("detail", ("tool claims {}", "tool says {}"), _SUMS),
    "sum": Slot("detail", ("true total {}", "sums to {}"), _SUMS),
    "age": Slot("detail", ("aged {}", "age {}"), lx.AGES),
    "marked": Slot("detail", ("mark at {}", "marked option {}"), lx.LETTERS),
    "last word": Slot("detail", ("ends on {}", "last word {}")),
    "next word": Slot("detail", ("next word {}", "followed by {}")),
    "next kind": Slot("detail", ("next {}", "then {}"), tuple(KINDS.values())),
}


_TASKS = (
    ("hints", "answer", len(lx.LETTERS)),
    ("motive", "behaviour", len(SLOTS["behaviour"].values)),
    ("writer", "language", len(SLOTS["language"].values)),
)
"""Reading task, the fact it asks for, and how many answers there are to it."""


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    found = []
    for name, slot in SLOTS.items():
        for phrase in slot.phrases:
            before, after = phrase.split("{}")
            known = "|".join(re.escape(value) for value in sorted(slot.values, key=len, reverse=True))
            # A word that the slot does not take is still a claim, and a false one.
            value = known if name == "next kind" else rf"(?:{known})\b|\w+" if known else r"\w+"
            found.append((name, re.compile(rf"\b{re.escape(before)}({value})\b{re.escape(after)}", re.IGNORECASE)))
    return tuple(found)


class TerrariumTruth:
    """The `TruthReader` of Terrarium."""

    def claims(self, text: str) -> list[Claim]:
        """Every claim of an explanation, in order; where two patterns meet on the same words the longer one counts."""
        found = [(name, match) for name, pattern in _patterns() for match in pattern.finditer(text)]
        claims: dict[tuple[str, str], Claim] = {}
        reached = 0
        for name, match in sorted(found, key=lambda item: (item[1].start(), -item[1].end())):
            if match.start() < reached:
                continue
            reached = match.end()
            value = _canonical(name, match.group(1))
            claim = Claim(name, value, SLOTS[name].level, match.group(), match.start(), *match.span(1))
            claims.setdefault(claim.same, claim)
        return list(claims.values())

    def judge(self, claim: Claim, truth: Truth) -> Verdict:
        """True if the slot has this value; related if the slot has another, or another slot has this value.

        The kind of what follows may be named also where its word is settled.
        """
        facts = self.facts(truth)
        kind = truth["next"]["kind"]
        known = KINDS[kind] if claim.slot == "next kind" and kind else facts.get(claim.slot)
        if known == claim.value:
            return Verdict.TRUE
        return Verdict.RELATED if claim.slot in facts or claim.value in facts.values() else Verdict.UNRELATED

    def facts(self, truth: Truth) -> dict[str, str]:
        """Facts and plans, with the last word, and the next word where it is settled, else its kind where that is."""
        following: Mapping[str, str | None] = truth["next"]
        facts = {**truth["facts"], **truth["planned"], "last word": spoken(truth["last"])}
        if following["text"]:
            facts["next word"] = spoken(following["text"])
        elif following["kind"]:
            facts["next kind"] = KINDS[following["kind"]]
        return facts

    def questions(self, truth: Truth) -> list[Question]:
        """Marked options, what a request will come to, and the language of a reply, each while it is settled and unsaid."""
        found = []
        for task, slot, options in _TASKS:
            if slot in truth["planned"] and (task != "hints" or "marked" in truth["facts"]):
                found.append(Question(task, slot, 1 / options))
        return found

    def say(self, facts: Mapping[str, str]) -> str:
        """Each fact with the first phrase of its slot, in the order of the slots."""
        said = [slot.phrases[0].format(facts[name]) for name, slot in SLOTS.items() if name in facts]
        return f"{', '.join(said)}." if said else ""

    def level(self, slot: str) -> Level:
        """How fine the facts of a slot are."""
        return SLOTS[slot].level


def _canonical(name: str, value: str) -> str:
    known = {v.lower(): v for v in SLOTS[name].values}
    return known.get(value.lower(), value.strip())


_MARKS = {
    ",": "comma",
    ".": "period",
    "?": "questionmark",
    "!": "exclamation",
    ":": "colon",
    "*": "star",
    "\n": "linebreak",
    "<|end|>": "endturn",
    "<|stop|>": "stop",
    "<|user|>": "userturn",
    "<|assistant|>": "assistantturn",
}


def spoken(word: str) -> str:
    """A word of the text as an explanation says it: marks and turns have names."""
    return _MARKS.get(word, word)
