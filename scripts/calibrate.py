"""Fits the support score on claims whose truth is known, and writes it where readings find it.

::

    python -m scripts.calibrate [PAIR]        into the package, for every pair whose card carries none

Fitted on rows of a training split of the pair (default: the shipped one); held-out rows are for `nlakit evaluate --parts support`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from nlakit.calibration import Calibration
from nlakit.claims.support import FILE, fit, shipped, write
from nlakit.config import EvaluateConfig
from nlakit.evaluate.rows import PROBE_SPLIT, DataSettings
from nlakit.evaluate.runner import make_bench
from nlakit.evaluate.support import first_rows, known_claims
from nlakit.models.pair import Pair, pair_folder
from nlakit.storage import atomic_write_text

ROWS = 1000
"""Training rows whose claims are fitted on."""


def main(arguments: Sequence[str]) -> int:
    """Fit and write."""
    sys.stderr.write(f"wrote {write_calibration(arguments[0] if arguments else 'terrarium')}\n")
    return 0


def write_calibration(name: str | Path) -> Path:
    """Fit on a pair and write the result into the package; return the file."""
    path = Path(str(resources.files("nlakit.claims") / FILE))
    atomic_write_text(path, write(calibrate(name)))
    shipped.cache_clear()  # what measures the pair next has to read the new numbers
    return path


def calibrate(name: str | Path) -> Calibration:
    """Return the support score of a pair of a corpus that knows its truth."""
    folder = pair_folder(name)
    pair = Pair.from_pretrained(folder)
    bench = make_bench(folder, pair, DataSettings.of(pair.card), EvaluateConfig(rows=1))
    if bench.training is None or bench.reader is None:
        raise SystemExit(bench.why_no_truth)
    rows = first_rows(bench.training, ROWS)
    explained = [sample.explanation for sample in bench.explain("calibration", rows.vectors_ND)]
    claims = known_claims(bench, rows, bench.reader, explained, "calibration")
    true = [item.true for item in claims]
    about = {
        "pair": pair.card.name, "split": PROBE_SPLIT, "rows": len(rows), "claims": len(claims),
        "true": round(sum(true) / len(true), 4),
    }  # fmt: skip
    return fit([item.signals for item in claims], true, fitted_on=about)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
