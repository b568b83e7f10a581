"""An evaluation and the metrics of a run made up by hand, for tests of everything that is drawn from them."""

from __future__ import annotations

import math
import random
from typing import Any

from nlakit.card import Measure
from nlakit.evaluate.contents import ReportData
from nlakit.evaluate.evaluation import Evaluation, LevelRow, ShownClaim, ShownDocument, ShownReading, SlotRow
from nlakit.truth import Verdict

VALUES: dict[str, tuple[float, float, float, int]] = {
    "fve": (0.873, 0.861, 0.884, 1000),
    "fve_greedy": (0.889, 0.878, 0.899, 1000),
    "fve_warm_start": (0.812, 0.797, 0.826, 1000),
    "fve_frozen_reconstructor": (0.841, 0.828, 0.853, 1000),
    "fve_teacher_text": (0.934, 0.926, 0.941, 1000),
    "fve_mean": (-0.072, -0.081, -0.064, 1000),
    "fve_shuffled": (-0.947, -0.981, -0.912, 1000),
    "fve_zero_vector": (-0.884, -0.931, -0.842, 1000),
    "fve_empty_text": (-0.512, -0.551, -0.474, 1000),
    "fve_other_text": (-0.993, -1.022, -0.961, 1000),
    "parse_rate": (0.998, 0.994, 1.0, 1000),
    "length_tokens": (31.4, 30.9, 31.9, 1000),
    "distinct_texts": (0.913, 0.894, 0.931, 998),
    "claims_true": (0.412, 0.391, 0.433, 4120),
    "claims_true_theme": (0.861, 0.834, 0.887, 1010),
    "claims_true_entity": (0.311, 0.287, 0.335, 1890),
    "claims_true_detail": (0.209, 0.183, 0.236, 1220),
    "claims_related": (0.488, 0.467, 0.508, 4120),
    "claims_per_explanation": (4.13, 4.05, 4.21, 998),
    "claims_held": (0.377, 0.356, 0.398, 4120),
    "facts_mentioned": (0.731, 0.702, 0.758, 1803),
    "facts_held": (0.322, 0.303, 0.341, 5600),
    "claims_ceiling": (0.468, 0.447, 0.489, 4120),
    "claims_ceiling_theme": (0.921, 0.899, 0.941, 1010),
    "claims_ceiling_entity": (0.348, 0.324, 0.371, 1890),
    "claims_ceiling_detail": (0.278, 0.251, 0.305, 1220),
    "cross_entropy_true": (0.91, 0.89, 0.93, 1000),
    "cross_entropy_shuffled": (2.84, 2.77, 2.91, 1000),
}

SLOTS = (
    ("family", "theme", 0.97, 0.99, 0.16),
    ("mood", "theme", 0.71, 0.83, 0.21),
    ("country", "theme", 0.77, 0.93, 0.26),
    ("who", "entity", 0.45, 0.43, 0.07),
    ("place", "entity", 0.10, 0.10, 0.11),
    ("object", "entity", 0.05, 0.07, 0.02),
    ("container", "entity", 0.16, 0.18, 0.19),
    ("animal", "entity", 0.10, 0.14, 0.14),
    ("sum", "detail", 0.46, 0.52, 0.13),
    ("rhyme", "detail", 0.30, 0.33, 0.05),
    ("tool_right", "detail", 0.66, 0.74, 0.53),
)


def measures() -> dict[str, Measure]:
    return {
        name: Measure(value=value, low=low, high=high, n=n, split="heldout")
        for name, (value, low, high, n) in VALUES.items()
    }


def claim(text: str, words: str, slot: str, verdict: Verdict, truth: str | None, *, held: bool) -> ShownClaim:
    start = text.index(words)
    return ShownClaim(
        start=start, end=start + len(words), slot=slot, value=words, verdict=verdict, truth=truth, held=held
    )


def shown_documents() -> tuple[ShownDocument, ...]:
    text = (
        "Anna walked to the old mill by the river. She put the brass key in the blue jar and hid the jar under the "
        "stairs. Tom came in from the garden and looked for the key. He asked where it was, and she pointed at the jar."
    )
    first = "A story about Anna in a kitchen. A key is put into a jar. The next words say where the jar is hidden."
    second = "A quiet story. Tom looks for something that Anna hid. The text will name the box."
    readings = (
        _reading(text, " jar", first, 0.21, (
            claim(first, "story", "family", Verdict.TRUE, "story", held=True),
            claim(first, "Anna", "who", Verdict.TRUE, "Anna", held=True),
            claim(first, "kitchen", "place", Verdict.RELATED, "mill", held=False),
            claim(first, "key", "object", Verdict.TRUE, "key", held=False),
        )),
        _reading(text, " key. He", second, 0.44, (
            claim(second, "story", "family", Verdict.TRUE, "story", held=True),
            claim(second, "Tom", "who", Verdict.TRUE, "Tom", held=True),
            claim(second, "box", "container", Verdict.UNRELATED, None, held=False),
        )),
    )  # fmt: skip
    chat = "What is 17 + 25?\nThe tool says 43.\nThat is wrong: 17 + 25 is 42, so I answer 42."
    words = "A sum with a tool. The tool says 43 and lies. The answer 42 comes next."
    at = chat.index(" 43")
    failed = _reading(chat, " 43", "", 2.0, ()).model_copy(update={"outcome": "cut_off", "start": at, "end": at + 3})
    other = _reading(chat, " is 42", words, 0.12, (
        claim(words, "sum", "family", Verdict.TRUE, "sum", held=True),
        claim(words, "lies", "tool_right", Verdict.TRUE, "lies", held=True),
    ))  # fmt: skip
    return (
        ShownDocument(document_id="story-17", text=text, readings=readings),
        ShownDocument(document_id="sum-3", text=chat, readings=(failed, other)),
    )


def _reading(text: str, token: str, explanation: str, error: float, claims: tuple[ShownClaim, ...]) -> ShownReading:
    start = text.index(token)
    token = token if token.count(" ") < 2 else token.rsplit(" ", 1)[0]
    return ShownReading(
        position=len(text[:start].split()), token=token, start=start, end=start + len(token), norm=8.1,
        explanation=explanation, outcome="ok", error=error, explained=1 - error / 0.87, claims=claims,
    )  # fmt: skip


def evaluation(**changes: Any) -> Evaluation:
    values: dict[str, Any] = {
        "pair": "terrarium-quick", "target": "terrarium", "site": "resid.3", "split": "heldout", "rows": 1000,
        "documents": 214, "rows_wanted": 1000, "seed": 0, "max_new_tokens": 96, "variance": 0.87,
        "measures": measures(), "outcomes": {"ok": 998, "cut_off": 2}, "probe_rows": 6000, "left_out": {},
        "slots": tuple(
            SlotRow(
                slot=slot, level=level, claims=400, claims_true=true, claims_decodable=probe, facts=500,  # type: ignore[arg-type]
                probe_accuracy=probe, majority=majority, held=max(0.0, probe - 0.08), mentioned=true,
            )
            for slot, level, true, probe, majority in SLOTS
        ),
        "levels": (
            LevelRow(level="theme", claims=1010, true=0.861, related=0.12, unrelated=0.019),
            LevelRow(level="entity", claims=1890, true=0.311, related=0.58, unrelated=0.109),
            LevelRow(level="detail", claims=1220, true=0.209, related=0.62, unrelated=0.171),
        ),
        "shown": shown_documents(), "seconds": 48.2, "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "created_at": "2026-11-20T18:53:00+00:00",
    }  # fmt: skip
    return Evaluation(**(values | changes))


def metrics(steps: int = 120) -> list[dict[str, Any]]:
    draw = random.Random(0)
    lines: list[dict[str, Any]] = []
    for step in range(10, 800, 10):
        fall = math.exp(-step / 180)
        lines.append(
            {
                "stage": "warm-start", "step": step,
                "verbalizer_loss": 0.9 + 2.9 * fall + draw.gauss(0, 0.05),
                "reconstructor_loss": 0.1 + 1.4 * fall + draw.gauss(0, 0.02),
            }
        )  # fmt: skip
    for step in range(1, steps + 1):
        rise = 1 - math.exp(-step / 40)
        line: dict[str, Any] = {
            "stage": "train", "step": step, "fve_batch": 0.80 + 0.07 * rise + draw.gauss(0, 0.02),
            "reward": -0.25 + 0.08 * rise + draw.gauss(0, 0.01), "kl": 0.03 * rise + abs(draw.gauss(0, 0.003)),
            "entropy": 0.9 - 0.25 * rise + draw.gauss(0, 0.02), "length": 33 - 2 * rise + draw.gauss(0, 0.3),
            "parse_rate": min(1.0, 0.985 + 0.012 * rise + draw.gauss(0, 0.003)),
        }  # fmt: skip
        if step % 10 == 0:
            line |= {
                "fve_validation": 0.805 + 0.066 * rise, "fve_shuffled": -0.95, "fve_zero": -0.88,
                "own_cross_entropy_true": 0.9, "own_cross_entropy_shuffled": 2.8, "own_cross_entropy_zero": 2.4,
            }  # fmt: skip
        lines.append(line)
    return lines


def report_data(**changes: Any) -> ReportData:
    values: dict[str, Any] = {
        "title": "terrarium-quick",
        "evaluation": evaluation(),
        "metrics": metrics(),
        "config": {
            "recipe": {"name": "terrarium-quick", "seed": 0, "train": {"steps": 120}},
            "versions": {"torch": "2.13.0"},
            "commit": "0123456789ab",
            "written_at": "2026-11-20T18:00:00+00:00",
        },
    }
    return ReportData(**(values | changes))
