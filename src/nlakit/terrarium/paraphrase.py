"""Terrarium's paraphraser: finds the claims of an explanation and says them anew.

What is held out: ``heavy`` uses none of the teacher's phrases and no wording of ``training``, since the two have no phrase in
common and a training draw that happens to hold a heavy wording is drawn again (:mod:`nlakit.terrarium.wordings`); they share the
nouns of a slot and other single words.
``light`` uses the teacher's phrases and one close wording a slot, none of which is in ``training`` or ``heavy``. Values stay
as they are, but for a small dictionary in ``translation``. Words outside claims are kept with the clause they stand in.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

from nlakit.claims.sentences import Sentence, joined, sentences
from nlakit.config import derive_seed, fingerprint
from nlakit.paraphrase import Rewording
from nlakit.terrarium.claims import SLOTS, TerrariumTruth
from nlakit.terrarium.wordings import FILLERS, FRENCH, HEAVY_PATTERNS, TRAINING_PATTERNS, WORDINGS
from nlakit.truth import Claim

LIGHT_SHARE = 1 / 3
"""Share of an explanation's claims that a light rewording says in other words, rounded up."""
_LONGEST_SENTENCE = 3
"""Clauses in a sentence of a heavy or training rewording."""
_OTHER_SEPARATORS = ("; ", " and ")
_OTHER_SEPARATOR_SHARE = 0.3
"""Share of training rewordings whose clauses are not separated by commas."""

_PHRASE_SHARE = 0.3
"""Share of training wordings that are one of the slot's own phrases and not a noun beside a value."""
_WHOLE_SHARE = 0.5
"""Share of those phrases that have no fillers between their words."""
_FILLERS_A_GAP = (0, 0, 0, 1, 1, 2, 3)
"""How many fillers stand before, between and after the parts of a training wording; each is as likely."""

_Say = Callable[[Claim, bool], str]
"""Says a claim anew; the second argument tells whether it opens a sentence."""


class TerrariumParaphraser:
    """The :class:`~nlakit.paraphrase.Paraphraser` of Terrarium."""

    def __init__(self) -> None:
        self._reader = TerrariumTruth()

    def fingerprint(self) -> str:
        """Depends on every wording."""
        said = {
            name: {how: wordings(name, how) for how in ("training", "light", "heavy", "translation")} for name in SLOTS
        }
        return fingerprint("terrarium paraphraser 3", said, FILLERS, FRENCH)

    def reword(self, texts: Sequence[str], how: Rewording, seed: int) -> list[str]:
        """Return each text said anew; the draw depends on the seed and the text alone."""
        return [self._reword(text, how, random.Random(derive_seed(seed, "paraphrase", how, text))) for text in texts]

    def _reword(self, text: str, how: Rewording, rng: random.Random) -> str:
        if how == "light":
            return self._light(text, rng)
        if how == "translation":
            return joined(replace(found, clauses=self._said(found.clauses, _french)) for found in sentences(text))

        def draw(claim: Claim, opens: bool) -> str:
            if how == "training":
                return filled(claim.slot, opens, rng).format(claim.value)
            return _drawn(wordings(claim.slot, how), claim, opens, rng)

        changed = how == "training" and rng.random() < _OTHER_SEPARATOR_SHARE
        separator = rng.choice(_OTHER_SEPARATORS) if changed else ", "
        clauses = _moved([clause for found in sentences(text) for clause in found.clauses], rng)
        return joined(Sentence((separator.join(self._said(part, draw)),)) for part in _parts(clauses, rng))

    def _light(self, text: str, rng: random.Random) -> str:
        claims = self._reader.claims(text)
        chosen = rng.sample(claims, math.ceil(len(claims) * LIGHT_SHARE))
        for claim in sorted(chosen, key=lambda claim: claim.start, reverse=True):
            before = text[: claim.start]
            opens = not before.strip() or before.rstrip()[-1] in ".!?"
            said = _drawn(wordings(claim.slot, "light"), claim, opens, rng)
            text = before + (said[0].upper() + said[1:] if opens else said) + text[claim.end :]
        return text

    def _said(self, clauses: Sequence[str], say: _Say) -> tuple[str, ...]:
        """Return the clauses of a sentence with their claims said anew, and the words beside them kept."""
        said = []
        for index, clause in enumerate(clauses):
            for claim in reversed(self._reader.claims(clause)):
                opens = index == 0 and claim.start == 0
                clause = clause[: claim.start] + say(claim, opens) + clause[claim.end :]
            said.append(clause)
        return tuple(said)


@cache
def wordings(slot: str, how: Rewording) -> tuple[str, ...]:
    """Return the ways in which a rewording may say a slot, with ``{}`` for the value."""
    said = WORDINGS[slot]
    if how == "light":
        return (*(phrase[0].lower() + phrase[1:] for phrase in SLOTS[slot].phrases), said.close)
    if how == "translation":
        return (said.french,)
    patterns, phrases = (TRAINING_PATTERNS, said.training) if how == "training" else (HEAVY_PATTERNS, said.heavy)
    return (*(pattern.format(noun=noun) for pattern in patterns for noun in said.nouns), *phrases)


def filled(slot: str, opens: bool, rng: random.Random) -> str:
    """Draw a training wording of a slot with fillers around its parts; none holds a heavy wording of the slot."""
    said = WORDINGS[slot]
    while True:
        if rng.random() < _PHRASE_SHARE:
            parts = rng.choice(said.training).split()
            if rng.random() < _WHOLE_SHARE:
                parts = [" ".join(parts)]
        else:
            parts = rng.choice(TRAINING_PATTERNS).format(noun="\0").split()
            parts[parts.index("\0")] = rng.choice(said.nouns)
        words = [*_fillers(rng), parts[0]]
        for part in parts[1:]:
            words += [*_fillers(rng), part]
        wording = " ".join([*words, *_fillers(rng)])
        if not holds_heavy(wording, slot) and not (opens and wording.startswith("{}")):
            return wording


def holds_heavy(wording: str, slot: str) -> bool:
    """Whether a heavy wording of the slot stands in a wording, word for word; colons do not count."""
    return any(f" {heavy.replace(':', '')} " in f" {wording} " for heavy in wordings(slot, "heavy"))


def _fillers(rng: random.Random) -> list[str]:
    return rng.sample(FILLERS, rng.choice(_FILLERS_A_GAP))


def _drawn(choices: Sequence[str], claim: Claim, opens: bool, rng: random.Random) -> str:
    """Say a claim by one of the wordings that it is not said by already.

    A sentence begins with a word of the wording and not with the value, which a capital would make another token.
    """
    others = [choice for choice in choices if choice.format(claim.value).lower() != claim.text_span.lower()]
    if opens:
        others = [choice for choice in others if not choice.startswith("{}")] or others
    return rng.choice(others).format(claim.value)


def _french(claim: Claim, _opens: bool) -> str:
    """Say a claim in French."""
    return WORDINGS[claim.slot].french.format(FRENCH.get(claim.slot, {}).get(claim.value, claim.value))


def _moved(clauses: Sequence[str], rng: random.Random) -> list[str]:
    """Return clauses in an order that is not theirs."""
    order = rng.sample(range(len(clauses)), len(clauses))
    if order == sorted(order):
        order.reverse()
    return [clauses[place] for place in order]


def _parts(clauses: Sequence[str], rng: random.Random) -> list[Sequence[str]]:
    """Divide clauses into sentences of one to three."""
    cuts = [0]
    while cuts[-1] < len(clauses):
        cuts.append(min(len(clauses), cuts[-1] + rng.randint(1, _LONGEST_SENTENCE)))
    return [clauses[start:end] for start, end in pairwise(cuts)]
