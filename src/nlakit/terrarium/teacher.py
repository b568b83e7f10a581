"""Terrarium's teacher: writes what is true at a position in two or three short snippets, the last about the final word.

It knows the truth of the text and not what the vector holds. How much of what it says a vector can bear out is the
business of the probes (`nlakit.claims.probes`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from nlakit.config import AnnotateConfig, derive_seed, fingerprint
from nlakit.data.corpus import check_options
from nlakit.data.teachers import Context
from nlakit.errors import ConfigError, InputError
from nlakit.explanations import Explanation
from nlakit.terrarium.claims import SLOTS, TerrariumTruth
from nlakit.terrarium.world import WORLD_VERSION

_FIRST = ("plan", "answer", "asked", "sum", "tool", "language", "treatment", "behaviour", "setting")
"""Slots that decide what comes next: the teacher names them before the others, as the paper's teacher prompt asks."""
_ENDS = ("last word", "next word", "next kind")


class TerrariumTeacher:
    """Writes explanations from the truth. `facts` is how many it names beside genre and ending; `false_share` is the
    share of facts it gets wrong on purpose, for controls.
    """

    name = "terrarium"

    def __init__(self, facts: int = 3, false_share: float = 0.0) -> None:
        if facts < 0 or not 0.0 <= false_share <= 1.0:
            raise ConfigError(
                f"annotate.options has facts = {facts} and false_share = {false_share}; facts must be 0 or more, "
                "false_share between 0 and 1."
            )
        self._facts, self._false_share = facts, false_share
        self._reader = TerrariumTruth()

    def fingerprint(self) -> str:
        """Depends on the version of the world, the phrases and the options."""
        phrases = {name: slot.phrases for name, slot in SLOTS.items()}
        return fingerprint("terrarium", WORLD_VERSION, phrases, self._facts, self._false_share)

    def explain(self, contexts: Sequence[Context]) -> list[Explanation]:
        """One explanation for each context; `InputError` for rows without truth."""
        return [self._explain(context) for context in contexts]

    def _explain(self, context: Context) -> Explanation:
        if context.truth is None:
            raise InputError(
                f"row {context.row_id} (document {context.document_id!r}) has no truth, and the teacher 'terrarium' writes "
                "from nothing else. Use it with the corpus 'terrarium', or set annotate.teacher to another teacher."
            )
        rng = random.Random(derive_seed(0, "teacher", context.document_id, context.position))
        facts = self._reader.facts(context.truth)
        genre = [self._say(rng, "genre", facts)] if "genre" in facts else []
        body = [slot for slot in facts if slot not in _ENDS and slot != "genre"]
        rng.shuffle(body)
        body.sort(key=lambda slot: slot not in _FIRST)
        middle = ", ".join(self._say(rng, slot, facts) for slot in body[: self._facts])
        ending = ", ".join(self._say(rng, slot, facts) for slot in _ENDS if slot in facts)
        snippets = [*genre, *([middle] if middle else []), ending]
        return Explanation(" ".join(snippet[0].upper() + snippet[1:] + "." for snippet in snippets))

    def _say(self, rng: random.Random, slot: str, facts: dict[str, str]) -> str:
        value = facts[slot]
        others = [v for v in SLOTS[slot].values if v != value]
        if others and rng.random() < self._false_share:
            value = rng.choice(others)
        return rng.choice(SLOTS[slot].phrases).format(value)


def make_teacher(config: AnnotateConfig) -> TerrariumTeacher:
    """Makes the teacher that a recipe describes; `ConfigError` for options it does not take."""
    check_options("annotate.options", config.options, {"facts", "false_share"})
    facts, share = config.options.get("facts", 3), config.options.get("false_share", 0.0)
    if isinstance(facts, bool) or not isinstance(facts, int) or not isinstance(share, int | float):
        raise ConfigError(f"annotate.options has facts = {facts!r} and false_share = {share!r}; both must be numbers.")
    return TerrariumTeacher(facts, float(share))
