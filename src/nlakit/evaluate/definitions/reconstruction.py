"""Measures of reconstruction, its controls, and the outputs themselves."""

from __future__ import annotations

from nlakit.evaluate.definitions.definition import NONE, SAMPLED, MeasureDefinition

RECONSTRUCTION = "Reconstruction"
CONTROLS = "Controls"
OUTPUT = "Output"

DEFINITIONS: tuple[MeasureDefinition, ...] = (
    MeasureDefinition(
        "fve",
        "round trip",
        "FVE of vector → explanation sampled at temperature 1 → vector. A row whose output failed (no closing tag, cut off, "
        "empty) counts with error 2. The headline number.",
        "0: the mean vector of the training splits; 1: perfect",
        "FVE",
        SAMPLED,
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
        "teacher refused counts with error 2. A pair whose warm start was grounded has not been taught the teacher's whole text, "
        "and reads it worse than its own.",
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
        NONE,
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
        SAMPLED,
        OUTPUT,
    ),
    MeasureDefinition(
        "length_tokens",
        "length",
        "Mean number of tokens sampled a row, tags and end mark included, failed outputs too.",
        "the card's max_new_tokens: a length at that limit is being cut off",
        "tokens",
        SAMPLED,
        OUTPUT,
    ),
    MeasureDefinition(
        "distinct_texts",
        "distinct texts",
        "Number of different explanations divided by the number of rows that have one; each row counts with one over the "
        "number of rows that share its text.",
        "1 / n: the same text for every row",
        "fraction",
        SAMPLED,
        OUTPUT,
    ),
)
