"""Claims of rows with their signals, as an evaluation and a calibration need them.

Axes: N rows, D vector width, C claims.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlakit.claims.anytext import FrameReader
from nlakit.claims.exchange import ClaimReader
from nlakit.claims.signals import Read, Signals, claim_signals
from nlakit.claims.support import FRAMES, STATEMENTS, kind_of
from nlakit.data.extract import read_vectors
from nlakit.data.tokens import tokenise
from nlakit.evaluate.bench import MIN_COUNT, Bench
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


def reads_of(bench: Bench, rows: Rows, explanations: Sequence[Explanation], what: str) -> list[Read]:
    """Sample what support looks at around one explanation a row; ``what`` names the draws."""
    samples = [s.explanation for s in bench.explain(f"{what}: samples", rows.vectors_ND, samples=SUPPORT_SAMPLES)]
    near_N = near_readings(bench, rows, what)
    return [
        Read(explanation, samples[row * SUPPORT_SAMPLES : (row + 1) * SUPPORT_SAMPLES], near_N[row])
        for row, explanation in enumerate(explanations)
    ]


def known_claims(
    bench: Bench, rows: Rows, told: TruthReader, reads_N: Sequence[Read], what: str, reader: ClaimReader | None = None
) -> list[KnownClaim]:
    """Return the claims of one explanation a row with their signals and their truth, which ``told`` knows.

    Where another ``reader`` finds the claims, one is true if all is that ``told`` finds in its words; of others nothing is known,
    and they are left out.
    """
    found_N = claim_signals(bench.pair, reader or told, rows.vectors_ND, reads_N, bench.seed(what, "exchange"))
    documents, known = rows.document_ids, []
    for row, (truth, found) in enumerate(zip(rows.truths(), found_N, strict=True)):
        if truth is None:
            continue
        said = told.claims(reads_N[row].explanation.text) if reader is not None and found else []
        for claim, signals in found:
            meant = [claim] if reader is None else _in_the_words_of(claim, said)
            if meant:
                true = all(told.judge(item, truth) is Verdict.TRUE for item in meant)
                known.append(KnownClaim(row, documents[row], claim, signals, true))
    return known


def any_text_claims(
    bench: Bench, rows: Rows, told: TruthReader, reads_N: Sequence[Read], what: str
) -> dict[str, list[KnownClaim]]:
    """Return the claims that are found where nobody knows the language, by kind, each held against what ``told`` knows.

    Once by frames, learnt from the explanations at hand; and once without frames, as free prose is read.
    """
    texts = [read.explanation.text for read in reads_N if read.explanation.ok]
    found: dict[str, list[KnownClaim]] = {FRAMES: [], STATEMENTS: []}
    for reader in (FrameReader.fit(texts, min_count=MIN_COUNT), FrameReader({})):
        for item in known_claims(bench, rows, told, reads_N, what, reader):
            found[kind_of(reader, item.claim)].append(item)
    return found


def _in_the_words_of(claim: Claim, said: Sequence[Claim]) -> list[Claim]:
    """Return the claims whose values share a character with the value of another reader's claim."""
    return [item for item in said if item.value_start < claim.value_end and claim.value_start < item.value_end]


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
