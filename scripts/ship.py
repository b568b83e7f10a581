"""Puts what was trained into the package under the name `terrarium`.

::

    python -m scripts.ship target FOLDER    a target that `nlakit terrarium grow` made, with its behaviour measured
    python -m scripts.ship pair RUN         the pair of a run
    python -m scripts.ship support          only the support score of the pair that ships, and its figures

The weights of a pair are stored in bfloat16, half the size. The support score is calibrated on it, for every pair whose card
carries none, and the figures on the card are measured again on what ships.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from nlakit.card import Card
from nlakit.claims import support
from nlakit.claims.signals import SIGNALS, UNTAUGHT
from nlakit.config import EvaluateConfig, NewCorpusConfig, plain
from nlakit.evaluate.calibrate import training_claims
from nlakit.evaluate.contents import ReportData
from nlakit.evaluate.report import as_markdown
from nlakit.evaluate.runner import evaluate
from nlakit.models.pair import Pair
from nlakit.models.target import Target
from nlakit.progress import Progress
from nlakit.storage import atomic_write_text, write_json
from nlakit.terrarium import BEHAVIOUR_FILE, measure_target, pair_folder, target_folder

LIMIT_MB = 25
DOCUMENTS = 400
"""Held-out documents of each family behind the shipped figures of the target."""
ROWS = 2000
"""Rows behind the shipped figures of the pair."""
CORPUS_SEED = 3
"""Of documents that nothing was trained on and no choice was made by: pairs are trained and compared on those of seed 0, and the
target was grown on those of 1 and measured on those of 2 (nlakit.terrarium.target)."""
COMMAND = (
    f"nlakit evaluate terrarium --rows {ROWS} --parts all "
    f"--set evaluate.corpus.name=terrarium --set evaluate.corpus.seed={CORPUS_SEED}"
)
PAGE = Path("docs/shipped.md")
"""Where all of it can be read."""


def main(arguments: Sequence[str]) -> int:
    """Ships one or the other and says how large the weights are."""
    match arguments:
        case ["target", folder]:
            ship_target(Path(folder))
        case ["pair", run]:
            ship_pair(Path(run))
        case ["support"]:
            measure_shipped()
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    size = sum(file.stat().st_size for file in target_folder().parent.rglob("*") if file.is_file()) / 1e6
    sys.stderr.write(f"target and pair take {size:.1f} MB together; {LIMIT_MB} MB are allowed\n")
    return 0 if size <= LIMIT_MB else 1


def ship_target(grown: Path) -> None:
    """Copies a grown target and measures it; refuses a folder that holds none before anything is replaced."""
    Target.load(grown)
    _replace(target_folder())
    shutil.copytree(grown, target_folder())
    measures = measure_target(str(target_folder()), documents=DOCUMENTS, seed=0)
    write_json(target_folder() / BEHAVIOUR_FILE, {name: plain(measure) for name, measure in measures.items()})


def ship_pair(run: Path) -> None:
    """Saves the pair of a run, calibrates the support score on it, measures it and writes the figures into its card."""
    pair = Pair.from_pretrained(run / "pair")
    pair.save(pair_folder(), dtype="bfloat16", warm_start=run / "pair" / "warm-start")
    measure_shipped()


def measure_shipped() -> None:
    """Calibrates the support score on the pair that ships, and measures it anew."""
    path = Path(str(resources.files("nlakit.claims") / support.FILE))
    claims = training_claims(pair_folder(), progress=Progress(), any_text=True)
    signals = {support.TAUGHT: SIGNALS, support.UNTAUGHT: UNTAUGHT}
    fitted = {kind: {key: claims.fit(kind, names) for key, names in signals.items()} for kind in support.KINDS}
    atomic_write_text(path, support.write(fitted))
    support.shipped.cache_clear()  # what measures the pair next has to read the new numbers
    config = EvaluateConfig(rows=ROWS, corpus=NewCorpusConfig(name="terrarium", seed=CORPUS_SEED), parts=("all",))
    evaluation = evaluate(pair_folder(), config, Progress())
    Card.load(pair_folder()).model_copy(update=evaluation.on_card()).save(pair_folder())
    note = f"Every measure and table of the pair that ships, by `python -m scripts.ship`; the same is measured by `{COMMAND}`."
    body = as_markdown(ReportData("The shipped pair", evaluation)).removeprefix("# The shipped pair\n\n")
    atomic_write_text(PAGE, f"# The shipped pair, measured\n\n{note} [metrics.md](metrics.md) defines each.\n\n{body}")


def _replace(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
