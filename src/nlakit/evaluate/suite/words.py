"""Do the words matter? What is left of FVE when explanations are edited, and how much single claims do.

Axes: N rows, M edited texts or claims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nlakit import plugins
from nlakit.claims.exchange import Pool
from nlakit.claims.leverage import Leverage, leverages, text_errors
from nlakit.claims.readers import claim_values
from nlakit.claims.sentences import capitals, shuffled
from nlakit.errors import EndpointError, SpendingError
from nlakit.evaluate import edits
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.definitions.words import DEFINITIONS, FLIPPED
from nlakit.evaluate.evaluation import DataTable
from nlakit.evaluate.paraphrases import REWORDINGS, reword, rewordings_table
from nlakit.truth import Claim

_TRUTH_MEASURES = ("claim_leverage_true", "claim_leverage_false")
_NOT_ABOVE_0 = "FVE of the explanations as they are is not clearly above 0, so there is nothing to keep"
_ONE_DOCUMENT = "the rows that can be edited so are all of one document, which says nothing about others"

Edited = Mapping[str, Sequence[str | None]]
"""Edited texts (N) by edit; None where it does not apply."""


def measure(bench: Bench) -> None:
    """Edit the sampled explanations and rebuild their vectors from what is left."""
    rows = [row for row, explanation in enumerate(bench.explanations) if explanation.ok]
    texts = [bench.explanations[row].text for row in rows]
    claims_N = [bench.claim_reader.claims(text) for text in texts]
    # Values that the pair was taught, so that what exchanging a claim costs does not hang on which rows are measured.
    pool = claim_values(bench.pair.card).completed(Pool.of(claim for claims in claims_N for claim in claims))
    _measure_edits(bench, rows, any_edits(texts, bench.seed("edits")), "no explanation can be edited so")
    _measure_rewordings(bench, rows, texts)
    seed = bench.seed("claims")
    swapped = [edits.entity_swapped(text, claims, pool, seed) for text, claims in zip(texts, claims_N, strict=True)]
    _measure_edits(bench, rows, {"entity_swap": swapped}, "no claim about an entity has another value")
    _measure_leverage(bench, rows, texts, claims_N, pool)
    _tabulate_edits(bench)


def any_edits(texts: Sequence[str], seed: int) -> Edited:
    """Return the edits that any text can be given."""
    names = capitals(texts)
    halves = [edits.half_dropped(text, seed) for text in texts]
    return {
        "shuffle": [shuffled(text, seed, names) for text in texts],
        "shuffle_body": [shuffled(text, seed, names, keep_last=True) for text in texts],
        "quotes_only": [edits.quotes_only(text) for text in texts],
        "prose_only": [edits.prose_only(text) for text in texts],
        "drop_half": halves,
        "truncated": [
            None if half is None else edits.cut_to(text, len(half.split()))
            for text, half in zip(texts, halves, strict=True)
        ],
    }


def _measure_edits(bench: Bench, rows: Sequence[int], edited: Edited, why_none: str) -> None:
    """Add for each edit the share of FVE that it leaves, over the rows that it applies to."""
    found = bench.found
    for edit, texts in edited.items():
        name = f"fve_kept_{edit}"
        used = [(row, text) for row, text in zip(rows, texts, strict=True) if text is not None]
        if not used:
            found.leave_out([name], why_none)
            continue
        rows_M = [row for row, _ in used]
        documents_M = [found.documents_N[row] for row in rows_M]
        before = found.estimator.fve("fve", bench.errors_N[rows_M], documents_M, found.variance)
        if before.low is None or before.low <= 0:
            found.leave_out([name], _ONE_DOCUMENT if before.low is None else _NOT_ABOVE_0)
            continue
        vectors_MD = bench.heldout.vectors_ND[rows_M]
        errors_M = text_errors(bench.pair.reconstructor, [text for _, text in used], vectors_MD)
        explained = found.variance - bench.errors_N[rows_M]
        found.measures[name] = found.estimator.ratio(name, found.variance - errors_M, explained, documents_M)


def _measure_rewordings(bench: Bench, rows: Sequence[int], texts: Sequence[str]) -> None:
    """Say the explanations anew, and rebuild their vectors from that.

    With a paraphraser that cannot be asked, or that nobody approved to pay, what it would have said is left out.
    """
    names = [f"fve_kept_{edit}" for edit in REWORDINGS]
    try:
        reworded = reword(bench, texts)
    except (SpendingError, EndpointError) as error:
        asked = bench.config.paraphraser.teacher
        bench.found.leave_out(names, f"the paraphraser {asked!r} cannot be asked ({error})")
        return
    if reworded is None:
        reason = (
            f"nobody paraphrases the corpus {bench.settings.corpus.name!r} (evaluate.paraphraser names no model, and no plugin of "
            f"the group {plugins.PARAPHRASERS} has its name)"
        )
        bench.found.leave_out(names, reason)
        return
    for edit, found in reworded.items():
        why_none = f"no rewording can be used ({found.why_not})" if found.faults else "no explanation parsed"
        _measure_edits(bench, rows, {edit: found.texts}, why_none)
    if any(found.faults for found in reworded.values()):
        bench.found.tables["rewordings"] = rewordings_table(reworded)


def _measure_leverage(
    bench: Bench, rows: Sequence[int], texts: Sequence[str], claims_N: Sequence[Sequence[Claim]], pool: Pool
) -> None:
    """Add what exchanging or leaving out each claim does to the error, in units of Var."""
    found, variance = bench.found, bench.found.variance
    vectors_ND = bench.heldout.vectors_ND[list(rows)]
    measured_N = leverages(bench.pair.reconstructor, vectors_ND, texts, claims_N, pool, seed=bench.seed("claims"))
    measured = [
        (row, claim, leverage)
        for row, claims, of_row in zip(rows, claims_N, measured_N, strict=True)
        for claim, leverage in zip(claims, of_row, strict=True)
        if leverage.drop is not None
    ]
    swapped = [(row, claim, leverage.swap / variance) for row, claim, leverage in measured if leverage.swap is not None]

    def add(name: str, values: Sequence[tuple[int, float]]) -> None:
        owners = [found.documents_N[row] for row, _ in values]
        found.measures[name] = found.estimator.mean(name, [value for _, value in values], owners)

    add("claim_leverage", [(row, rise) for row, _, rise in swapped])
    add("flip_rate", [(row, float(rise > FLIPPED)) for row, _, rise in swapped])
    add("claim_drop", [(row, (leverage.drop or 0.0) / variance) for row, _, leverage in measured])
    if bench.judged is None:
        found.leave_out(_TRUTH_MEASURES, bench.why_no_truth)
    else:
        true = {(item.row, item.claim.same) for item in bench.judged if item.true}
        for name, wanted in zip(_TRUTH_MEASURES, (True, False), strict=True):
            add(name, [(row, rise) for row, claim, rise in swapped if ((row, claim.same) in true) is wanted])
    found.tables["leverage"] = leverage_table([(claim, leverage) for _, claim, leverage in measured], variance)


def _tabulate_edits(bench: Bench) -> None:
    """Make the table that the chart of the edits is drawn from, without those that were left out."""
    prefix = "fve_kept_"
    taken = [definition.name for definition in DEFINITIONS if definition.name.startswith(prefix)]
    measures = {name: bench.found.measures[name] for name in taken if name in bench.found.measures}
    if not measures:
        return
    bench.found.tables["edits"] = DataTable(
        title="FVE kept under edits",
        about="FVE of rows rebuilt from edited explanations as a share of FVE from the unedited ones, with 95 % intervals. "
        "1 says that nothing was lost, 0 that no more is left than the mean vector gives.",
        heads=("edit", "FVE kept", "low", "high"),
        rows=tuple((name.removeprefix(prefix), found.value, found.low, found.high) for name, found in measures.items()),
    )


def leverage_table(measured: Sequence[tuple[Claim, Leverage]], variance: float) -> DataTable:
    """Return the mean leverage of the claims of each slot, the highest first; slots whose values never differ last."""
    slots: dict[str, list[Leverage]] = {}
    for claim, leverage in measured:
        slots.setdefault(claim.slot, []).append(leverage)
    rows = []
    for slot, of_slot in slots.items():
        rises = [leverage.swap / variance for leverage in of_slot if leverage.swap is not None]
        swap = sum(rises) / len(rises) if rises else None
        flips = sum(rise > FLIPPED for rise in rises) / len(rises) if rises else None
        drop = sum(leverage.drop or 0.0 for leverage in of_slot) / len(of_slot) / variance
        rows.append((slot, len(of_slot), swap, flips, drop))
    rows.sort(key=lambda row: (row[2] is None, -(row[2] or 0.0), row[0]))
    return DataTable(
        title="Leverage of claims by slot",
        about="How much FVE falls when a claim's value is exchanged for another value of its slot, for how many claims it falls by "
        f"more than {FLIPPED}, and how much it falls when the claim is left out.",
        heads=("slot", "claims", "swap leverage", "flip rate", "drop leverage"),
        rows=tuple(rows),
    )
