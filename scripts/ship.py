"""Puts a trained pair into the package under the name `terrarium`: `python -m scripts.ship RUN`.

Weights are stored in bfloat16, half the size; the figures on the card are therefore measured again on what ships.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from nlakit.evaluate.runner import evaluate_pair
from nlakit.models.pair import Pair
from nlakit.progress import Progress
from nlakit.terrarium import pair_folder


def main(arguments: Sequence[str]) -> int:
    """Saves the pair of a run, measures it and writes the figures into its card."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    run, folder = Path(arguments[0]), pair_folder()
    pair = Pair.from_pretrained(run / "pair")
    if folder.exists():
        shutil.rmtree(folder)
    pair.save(folder, dtype="bfloat16", warm_start=run / "pair" / "warm-start")
    results = evaluate_pair(str(folder), progress=Progress())
    pair.card.model_copy(update={"results": results}).save(folder)
    size = sum(file.stat().st_size for file in folder.parent.rglob("*") if file.is_file())
    sys.stderr.write(f"{folder}: target and pair take {size / 1e6:.1f} MB together\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
