"""Other ways to read the same vectors, on the same rows: reconstruction, truth, and what they mention."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nlakit.card import Measure
from nlakit.data.extract import pack
from nlakit.evaluate.baselines import METHODS, lens_logits
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.claims import claim_measures
from nlakit.evaluate.definitions.baselines import METHODS as DEFINED
from nlakit.evaluate.evaluation import DataTable
from nlakit.explanations import Explanation
from nlakit.models.sites import Site, read_blocks

_NO_CLAIM = "its words make no claim that can be judged"


def measure(bench: Bench) -> None:
    """Take every method in turn, and the pair itself as the table's first line."""
    found = bench.found
    rows = [_line("this pair", found.measures.get("fve"), _claims(bench, bench.explanations))]
    for method in METHODS.values():
        names = [f"{measure}_of_{method.name}" for measure in ("fve", "claims_true", "facts_mentioned")]
        written = method.explain(bench)
        if written is None:
            found.leave_out(names, method.needs)
            continue
        bench.fve(names[0], written)
        claims = _claims(bench, written)
        for name, key in zip(names[1:], ("claims_true", "facts_mentioned"), strict=True):
            taken = claims.get(key)
            if taken is None or taken.value is None:
                found.leave_out([name], bench.why_no_truth if bench.judged is None else _NO_CLAIM)
            else:
                found.measures[name] = taken
        rows.append(_line(DEFINED[method.name].title, found.measures[names[0]], claims))
    found.tables["baselines"] = DataTable(
        title="Other ways to read the same vectors",
        about="The same held-out rows, the same reconstructor. It was trained on words like the pair's and the teacher's alone.",
        heads=("method", "FVE", "low", "high", "claims true", "low", "high", "claims a text", "held facts mentioned"),
        rows=tuple(rows),
    )
    found.mean("logit_lens_next", _next_by_lens(bench))


def _claims(bench: Bench, written: Sequence[Explanation]) -> dict[str, Measure]:
    """Return the measures of the claims of some texts; none without a truth."""
    judged = bench.judge(written)
    if judged is None or bench.checks_N is None or not judged:
        return {}
    parsed_N = [explanation.ok for explanation in written]
    return claim_measures(judged, bench.checks_N, parsed_N, bench.found.documents_N, bench.found.estimator)


def _line(label: str, fve: Measure | None, claims: dict[str, Measure]) -> tuple[str | float | int | None, ...]:
    true, per_text, mentioned = (claims.get(n) for n in ("claims_true", "claims_per_explanation", "facts_mentioned"))

    def ends(measure: Measure | None) -> tuple[float | None, float | None, float | None]:
        return (None, None, None) if measure is None else (measure.value, measure.low, measure.high)

    return (label, *ends(fve), *ends(true), ends(per_text)[0], ends(mentioned)[0])


def _next_by_lens(bench: Bench) -> torch.Tensor:
    """Whether the logit lens names the target's own likeliest next token, for each row (N,)."""
    texts = [(ids, [position]) for ids, position in bench.places]
    layer = Site.parse(bench.pair.card.site).layer
    next_N = torch.empty(len(texts), dtype=torch.long)
    for batch in pack(texts, bench.settings.extract.batch_tokens):
        tokens_BT = batch.tokens_BT.to(bench.target.device)
        next_N[batch.rows_N] = read_blocks(bench.target, [layer], tokens_BT, batch.texts_N, batch.positions_N)[1].cpu()
    return (lens_logits(bench, bench.heldout.vectors_ND).argmax(dim=-1) == next_N).float()
