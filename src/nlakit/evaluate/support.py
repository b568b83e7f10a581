"""Claims of rows with their signals, as an evaluation and a calibration need them.

Axes: N rows, D vector width, C claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlakit.claims.signals import Read, Signals, claim_signals
from nlakit.data.extract import read_vectors
from nlakit.data.tokens import tokenise
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.rows import Rows
from nlakit.explanations import Explanation
from nlakit.models.readings import SUPPORT_SAMPLES, neighbours_of
from nlakit.models.sites import Site
from nlakit.truth import Claim, TruthReader, Verdict


@dataclass(frozen=True, slots=True)
class KnownClaim:
    """A claim with its signals, and whether it is true."""

    row: int
    document: str
    claim: Claim
    signals: Signals
    true: bool


def known_claims(
    bench: Bench, rows: Rows, reader: TruthReader, explanations: Sequence[Explanation], what: str
) -> list[KnownClaim]:
    """Return the claims of one explanation a row with their signals and their truth; ``what`` names the draws."""
    vectors_ND = rows.vectors_ND
    samples = [s.explanation for s in bench.explain(f"{what}: samples", vectors_ND, samples=SUPPORT_SAMPLES)]
    near_N = near_readings(bench, rows, what)
    reads = [
        Read(explanation, samples[row * SUPPORT_SAMPLES : (row + 1) * SUPPORT_SAMPLES], near_N[row])
        for row, explanation in enumerate(explanations)
    ]
    found_N = claim_signals(bench.pair, reader, vectors_ND, reads, bench.seed(what, "exchange"))
    documents = rows.document_ids
    return [
        KnownClaim(row, documents[row], claim, signals, reader.judge(claim, truth) is Verdict.TRUE)
        for row, (truth, found) in enumerate(zip(rows.truths(), found_N, strict=True))
        if truth is not None
        for claim, signals in found
    ]


def near_readings(bench: Bench, rows: Rows, what: str) -> list[list[Explanation]]:
    """Sample one explanation of each vector within ``NEIGHBOURS`` tokens of each row, in the same document."""
    wanted = set(rows.document_ids)
    documents = [document for document in rows.documents if document.id in wanted]
    tokens = dict(
        zip(
            (document.id for document in documents),
            tokenise(bench.target, documents, bench.settings.extract.max_tokens),
            strict=True,
        )
    )
    special = set(bench.target.tokenizer.all_special_ids)
    places: dict[tuple[str, int], None] = {}
    near_N = []
    for document, position in zip(rows.document_ids, rows.column("position"), strict=True):
        found = tokens[document]
        near_N.append([(document, place) for place in neighbours_of(position, found.ids, special)])
        for place in near_N[-1]:
            places[place] = None
    if not places:
        return [[] for _ in near_N]
    by_document: dict[str, list[int]] = {}
    for name, at in places:
        by_document.setdefault(name, []).append(at)
    texts = [(tokens[name].ids, chosen) for name, chosen in by_document.items()]
    order = {
        key: index for index, key in enumerate((name, at) for name, chosen in by_document.items() for at in chosen)
    }
    site = Site.parse(bench.pair.card.site)
    vectors_MD = read_vectors(bench.target, site, texts, bench.settings.extract.batch_tokens)
    written = [sample.explanation for sample in bench.explain(f"{what}: neighbours", vectors_MD.float())]
    return [[written[order[place]] for place in near] for near in near_N]


def first_rows(rows: Rows, count: int) -> Rows:
    """Return the first ``count`` rows."""
    return Rows(rows.vectors_ND[:count], rows.table.slice(0, count), rows.documents)
