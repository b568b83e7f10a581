"""The suite: what an evaluation measures, in parts, each a module with one function ``measure(bench)``.

A part adds its measures and tables to what has been found; the definitions of its measures stand in
``nlakit.evaluate.definitions``. What a pair or a corpus lacks (a warm start, a teacher, a truth) is left out with its reason,
and never counted as zero. To add a part: write the module, its definitions, and its line in ``PARTS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlakit.config import STANDARD
from nlakit.errors import not_found

ALL = "all"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the suite."""

    name: str
    title: str
    """What the progress bar says while it runs."""
    about: str
    """One sentence on what it measures, for the help."""
    standard: bool = True
    """Whether it is measured when nobody asks for parts by name."""

    @property
    def module(self) -> str:
        """The module whose ``measure(bench)`` takes it."""
        return f"nlakit.evaluate.suite.{self.name}"


PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Part("outputs", "sampled explanations", "The round trip at temperature 1 and greedily, and what came out."),
        Part("controls", "controls", "What comes out when the vector or the text is taken away."),
        Part("warm_start", "warm start", "The pair before reinforcement learning, and drift into a private code."),
        Part(
            "teacher",
            "teacher's text",
            "What the teacher's words carry, and what the verbalizer takes from its vector.",
        ),
        Part("truth", "claims", "Claims held against the truth, and against what linear probes find in the vectors."),
        Part(
            "evidence",
            "claims against the text",
            "Claims held against the words of the text, or judged by a model, for corpora without a truth.",
        ),
        Part(
            "identify", "own vector among others", "Whether a text picks its own vector out among those of other rows."
        ),
        Part("splice", "splicing", "What the target does with the rebuilt vector in place of its own."),
        Part("words", "edited explanations", "What is left when explanations are edited, and what single claims do."),
        Part(
            "tasks",
            "reading tasks",
            "The paper's five reading tasks, in the form they have in a corpus that knows its truth.",
        ),
        Part(
            "baselines",
            "other ways to read",
            "Logit lens, SelfIE, warm start, nearest row, probes and text alone on the same rows.",
            standard=False,
        ),
        Part(
            "against",
            "another pair",
            "Another pair of the same target and layer on the same rows, and the difference (evaluate.against).",
            standard=False,
        ),
        Part(
            "robustness",
            "attack",
            "Whether explanations can be made to lie while the target behaves as before, and what exposes it.",
            standard=False,
        ),
        Part("support", "support of claims", "Whether the support score tells true claims from false ones."),
    )
}
"""Every part by name, in the order in which they are taken; the first is always taken."""


def chosen_parts(names: Sequence[str]) -> list[Part]:
    """Return the parts with these names in the order of the suite; ``standard`` and ``all`` stand for several.

    Raises :class:`~nlakit.errors.NotFoundError` for an unknown name.
    """
    for name in names:
        if name not in (STANDARD, ALL, *PARTS):
            raise not_found("part of the evaluation", name, (STANDARD, ALL, *PARTS))
    return [
        part
        for index, part in enumerate(PARTS.values())
        if index == 0 or ALL in names or part.name in names or (STANDARD in names and part.standard)
    ]
