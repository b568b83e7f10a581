"""Tries one part of a recipe alone, in minutes, before a whole run is spent on it.

::

    python -m scripts.tryout rewordings RUN SETTING=VALUE ...   what a reconstructor reads of texts in other words
    python -m scripts.tryout thresholds RUN SETTING=VALUE ...   what each threshold of grounding keeps of the teacher's text

    python -m scripts.tryout contradictions RUN                 how often the vectors contradict the teacher, and whether rightly
    python -m scripts.tryout control RUN                        what grounding would keep with other documents' vectors

RUN is a folder in which ``extract`` and ``annotate`` of the recipe terrarium-full are done; settings go on top of that recipe.
What is measured is the teacher's text on rows that nothing here was trained on, and no reading of a pair: for that there is
``nlakit evaluate``. ``contradictions`` and ``control`` want a run whose first round is done, by likelihood. ``thresholds`` leaves
its first round in RUN, where the stage ``ground`` takes it up; ``rewordings`` keeps nothing.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from nlakit.claims.anytext import STATEMENT, FrameReader
from nlakit.claims.grounding import ROUNDS, ground
from nlakit.claims.leverage import text_errors
from nlakit.claims.readers import fitted_reader
from nlakit.config import Recipe
from nlakit.data import annotate
from nlakit.data.annotate import load_explanations
from nlakit.errors import InputError, UserError
from nlakit.evaluate.estimates import Estimator
from nlakit.paraphrase import Rewording
from nlakit.progress import Progress
from nlakit.recipe import load_recipe
from nlakit.runs import RunFolder
from nlakit.terrarium import paraphraser
from nlakit.train import first_round
from nlakit.train.ground import control_scores, likelihood_sign, probe_sign, reader_of, sign_of, truth_of
from nlakit.train.rewording import Reworder
from nlakit.train.rounds import Beginning, reconstructor_half, taught_rows
from nlakit.train.supervised import Job, train_half
from nlakit.truth import HELD_ABOVE, Verdict
from nlakit.vectors import fve

RECIPE = "terrarium-full"
THRESHOLDS = (0.1, 0.2, 0.3, 0.5)
CONTROL_BOUNDS = (-0.6, 0.2)
"""The threshold, and where it lay for whole statements when a half counted as 0.5 and not as 0 (LOG.md)."""
ROWS = 2000
RESAMPLES = 1000


def main(arguments: Sequence[str]) -> int:
    """Try the part that is named."""
    parts = {
        "rewordings": try_rewordings,
        "thresholds": try_thresholds,
        "contradictions": try_contradictions,
        "control": try_control,
    }
    if len(arguments) < 2 or arguments[0] not in parts:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        parts[arguments[0]](load_recipe(RECIPE, list(arguments[2:])), RunFolder(Path(arguments[1])))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def try_rewordings(recipe: Recipe, folder: RunFolder) -> None:
    """Warm-start a reconstructor on the whole teacher's text, and measure it on texts of ``av`` said in other words."""
    beginning = Beginning.of(recipe, folder)
    store, explained = beginning.store, folder.stage(annotate.STAGE).path
    stats, _ = beginning.statistics
    reconstructor, verbalizer = beginning.reconstructor(), beginning.verbalizer()
    row_ids, texts = load_explanations(explained, "ar")
    rows = taught_rows(store, row_ids.tolist(), texts, verbalizer, recipe.warm_start, recipe.seed, "ar")
    reworder = Reworder.of(recipe.corpus.name, recipe.warm_start.rewordings)
    half = reconstructor_half(reconstructor, rows, recipe.warm_start, stats.variance, reworder, recipe.seed)
    with tempfile.TemporaryDirectory() as scratch, RunFolder(Path(scratch) / "run").metrics("tryout") as metrics:
        kept = Path(scratch) / "checkpoints"
        train_half(half, Job("tryout", recipe.warm_start, recipe.seed, metrics, kept, Progress(), recipe.memory.fill))
    ids, given, documents = unseen(beginning, explained, "av")
    vectors_ND = store.vectors(ids)
    plain_N = text_errors(reconstructor, given, vectors_ND)
    print(f"FVE of {len(given)} texts as they are: {fve(plain_N, stats.variance):.3f}")
    if fve(plain_N, stats.variance) <= 0:
        raise InputError(
            "the reconstructor rebuilds nothing yet; give it more with warm_start.reconstructor_epochs=0.5"
        )
    estimator = Estimator(RESAMPLES, recipe.seed)
    for how in get_args(Rewording):
        errors_N = text_errors(reconstructor, paraphraser().reword(given, how, recipe.seed), vectors_ND)
        left_N, there_N = stats.variance - errors_N, stats.variance - plain_N
        found = estimator.ratio("fve_kept_paraphrase_heavy", left_N, there_N, documents)
        print(f"share kept, {how}: {found.value:.2f} ({found.low:.2f} to {found.high:.2f})")


def try_thresholds(recipe: Recipe, folder: RunFolder) -> None:
    """Do the first round of grounding, and ground texts of ``ar`` with each threshold; held is what linear probes find."""
    beginning = Beginning.of(recipe, folder)
    explained = folder.stage(annotate.STAGE).path
    reader = reader_of(recipe, explained)
    sign = sign_of(recipe, beginning, folder, reader, Progress())
    ids, texts, _ = unseen(beginning, explained, "ar")
    vectors_ND = beginning.store.vectors(ids)
    truth = truth_of(recipe)
    probes = probe_sign(beginning.store, truth, recipe.seed)

    def held(given: Sequence[str]) -> int:
        claims_N = [truth.claims(text) for text in given]
        scores_N = probes.scores(vectors_ND, given, claims_N, ids)
        return sum(score.value > HELD_ABOVE for scores in scores_N for score in scores)

    claims = sum(len(reader.claims(text)) for text in texts)
    in_vectors = held(texts)
    print(f"{len(texts)} texts of the split ar, {claims} claims, {in_vectors} held")
    for threshold in THRESHOLDS:
        for rounds, how in ((1, "scored once"), (ROUNDS, "and again behind other guesses")):
            found = ground(texts, vectors_ND, reader, sign, threshold=threshold, rows=ids, rounds=rounds)
            left = [grounded.text or recipe.ground.silence for grounded in found]
            kept, still = sum(grounded.kept for grounded in found), held(left)
            print(
                f"threshold {threshold}, {how}: {kept / max(1, claims):.1%} of the claims kept, "
                f"{still / max(1, in_vectors):.1%} of the held ones; of those kept {still / max(1, kept):.1%} are held"
            )


def try_contradictions(_recipe: Recipe, folder: RunFolder) -> None:
    """Hold the teacher's claims of ``ar`` against the run's own first round, and what it contradicts against the truth."""
    recipe = folder.recipe()
    beginning, explained = Beginning.of(recipe, folder), folder.stage(annotate.STAGE).path
    reader, truth = reader_of(recipe, explained), truth_of(recipe)
    verbalizer, rows = first_round.verbalizer(beginning, folder, Progress())
    sign = likelihood_sign(verbalizer, rows, reader, recipe.seed)
    ids, texts, _ = unseen(beginning, explained, "ar")
    vectors_ND = beginning.store.vectors(ids)
    claims_N = [reader.claims(text) for text in texts]
    scores_N = sign.scores(vectors_ND, texts, claims_N, ids)
    table = beginning.store.rows("ar", ["row_id", "truth"]).to_pydict()
    known = dict(zip(table["row_id"], map(json.loads, table["truth"]), strict=True))
    seen = [
        (bool(score.contradicted), truth.judge(claim, known[row]) is not Verdict.TRUE)
        for row, claims, scores in zip(ids, claims_N, scores_N, strict=True)
        for claim, score in zip(claims, scores, strict=True)
    ]
    false, against = sum(wrong for _, wrong in seen), sum(contradicted for contradicted, _ in seen)
    both = sum(contradicted and wrong for contradicted, wrong in seen)
    print(
        f"{len(texts)} texts, {len(seen):,} claims, {false / len(seen):.1%} false; {against / len(seen):.2%} contradicted, "
        f"of these {both / max(1, against):.0%} false; of the false ones {both / max(1, false):.0%} contradicted"
    )


def try_control(_recipe: Recipe, folder: RunFolder) -> None:
    """Score texts of ``ar`` by the run's own first round, with their vectors and with others, by three readers of claims."""
    recipe = folder.recipe()
    beginning, explained = Beginning.of(recipe, folder), folder.stage(annotate.STAGE).path
    verbalizer, rows = first_round.verbalizer(beginning, folder, Progress())
    readers = {
        "the corpus's reader": reader_of(recipe, explained),
        "frames": fitted_reader(recipe.corpus.name, rows.texts, any_text=True),
        "no frames": FrameReader({}),
    }
    for name, reader in readers.items():
        sign = likelihood_sign(verbalizer, rows, reader, recipe.seed)
        for whose, swapped in (("their own", False), ("others'", True)):
            found = control_scores(explained, beginning.store, reader, sign, recipe.seed, swapped=swapped)
            statements = [score for slot, score in found if slot == STATEMENT]
            for what, scores in (("claims", [score for _, score in found]), ("statements", statements)):
                if not scores:
                    continue
                kept = {bound: sum(score > bound for score in scores) / max(1, len(scores)) for bound in CONTROL_BOUNDS}
                told = ", ".join(f"{share:.1%} above {bound}" for bound, share in kept.items())
                print(f"{name}, {whose} vectors: {len(scores):,} {what}, {told}")


def unseen(beginning: Beginning, explained: Path, split: Literal["av", "ar"]) -> tuple[list[int], list[str], list[str]]:
    """Return row ids, texts and documents of the last rows of a split that the part at hand does not learn from."""
    ids, texts = load_explanations(explained, split)
    table = beginning.store.rows(split, ["row_id", "document_id"])
    document_of = dict(zip(table["row_id"].to_pylist(), table["document_id"].to_pylist(), strict=True))
    last = [int(row) for row in ids[-ROWS:]]
    return last, list(texts[-ROWS:]), [document_of[row] for row in last]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
