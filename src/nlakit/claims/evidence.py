"""String evidence: whether the words of a claim stand in the text, for corpora where nothing else knows what is true.

The paper's study of confabulation (section 5.3; Fraser-Taliente et al. 2026) asks a judge model whether a claim about the
context is true, false but related, or unrelated. Without a judge, words stand in for it: true means that all content words of
the value are in the text, related that some are, unrelated that none is.

This is evidence for claims about the *context* alone. It misses paraphrase (a "harbour" is not found in a text of ships, nor is a
genre in any text) and takes words for claims (that Anna is in the text does not mean that she owns the cat). So it helps to find
names and things that were made up, and is no judge of claims in general. Compare it with what the same claims score against another
document's text, which is what words bring by chance.

A mark of punctuation stands in a text as itself and in an explanation by its name ("followed by a comma"). It is looked for right
at the position, since every text has one somewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from nlakit.claims.frames import QUOTES
from nlakit.truth import Claim, Verdict

_PIECE = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_AHEAD = re.compile(r"\b(?:(?i:next|follow(?:s|ed|ing)?|about to|continu\w+)|will)\b")  # Will is a name
_ENDS = re.compile(r"\b(?:ends?|ending)\b", re.IGNORECASE)
_ENDINGS = ("ings", "ing", "ied", "ies", "ed", "es", "ly", "s", "y", "e")
_LEAST_STEM = 3
"""Letters that cutting an ending leaves, at least (our choice)."""

_SAY_NOTHING = (
    "a an the and or but nor so as if than then that this these those there here what which who whom whose when where why how",
    "i me my mine we us our ours you your yours he him his she her hers it its they them their theirs one s t",
    "am is are was were be been being do does did done has have had having can could may might must shall should will would",
    "not no of in on at by for with from to into onto over under about after before between through during out up down off",
    "again also just only very more most some any all both each few other such own same too probably perhaps maybe text passage",
)
STOP_WORDS = frozenset(word for line in _SAY_NOTHING for word in line.split())
"""Words that say nothing on their own, with those that explanations use of any text."""

MARKS = {
    "comma": ",",
    "period": ".",
    "fullstop": ".",
    "colon": ":",
    "semicolon": ";",
    "questionmark": "?",
    "exclamation": "!",
    "exclamationmark": "!",
    "exclamationpoint": "!",
    "dash": "-",
    "hyphen": "-",
    "star": "*",
    "asterisk": "*",
    "linebreak": "\n",
    "newline": "\n",
}
"""Marks by the names that explanations give them, written without spaces."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The text around one position."""

    before: str
    """What the target had read, up to and including the token."""
    after: str = ""
    """What follows."""

    def verdict(self, claim: Claim) -> Verdict:
        """Judge a claim by its words.

        It is held against what the target had read. One that says that it is about what follows ("next", "followed by", "will")
        is held against that, and one about an end ("ends with") against both.
        """
        words = claim.text_span
        if self._is_mark(claim.value, ahead=bool(_AHEAD.search(words))):
            return Verdict.TRUE
        if _AHEAD.search(words):
            text = self.after
        elif _ENDS.search(words):
            text = f"{self.before}{self.after}"
        else:
            text = self.before
        return verdict(claim.value, text, quoted=_quoted(claim))

    def _is_mark(self, value: str, *, ahead: bool) -> bool:
        """Return whether a value names the mark that stands at the position: the last one read, or the first that follows."""
        mark = MARKS.get("".join(word for word in _split(value) if word not in STOP_WORDS))
        if mark is None:
            return False
        return self.after.lstrip(" ").startswith(mark) if ahead else self.before.rstrip(" ").endswith(mark)


def verdict(value: str, text: str, *, quoted: bool = False) -> Verdict:
    """Return whether all, some or none of the content words and numbers of ``value`` stand in ``text``.

    A quotation is true only where it stands there as a whole, whatever its case and spaces.
    A number is found as a number: 1,200 in 1200.
    """
    wanted, there = _content(value), _pieces(text)
    if quoted and wanted:
        if f" {' '.join(_split(value))} " in f" {' '.join(_split(text))} ":
            return Verdict.TRUE
        return Verdict.RELATED if wanted & there else Verdict.UNRELATED
    if wanted and wanted <= there:
        return Verdict.TRUE
    return Verdict.RELATED if wanted & there else Verdict.UNRELATED


def stem(word: str) -> str:
    """Cut the ending of a lower-cased English word, crudely: "stopped", "stops" and "stop" become one."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > _LEAST_STEM and word[-1] == word[-2] else word


def _content(value: str) -> frozenset[str]:
    """Return the numbers and the stems of the content words of a value; of all words where it has only stop words."""
    split = _split(value)
    return frozenset(map(_piece, [word for word in split if word not in STOP_WORDS] or split))


@lru_cache(maxsize=4096)
def _pieces(text: str) -> frozenset[str]:
    return frozenset(map(_piece, _split(text)))


def _split(text: str) -> list[str]:
    return _PIECE.findall(text.lower())


def _piece(word: str) -> str:
    return word.replace(",", "") if word[0].isdigit() else stem(word)


def _quoted(claim: Claim) -> bool:
    """Whether the value of a claim stands in quotation marks."""
    before = claim.text_span[: max(0, claim.value_start - claim.start)]
    return bool(before) and before[-1] in QUOTES
