"""Stage 3, ground: take out of the teacher's text what the vectors do not hold.

A first round of supervised training on the whole text (:mod:`nlakit.train.first_round`) finds out what the vectors bear out; then
every claim is scored by the sign that the recipe names, and those that fail leave the text (:mod:`nlakit.claims.grounding`).
What is learnt afterwards learns only from what is kept: a claim that the teacher made up, or that only the text holds and not the
vector, is not taught.

::

    ground/
      shard-00000.parquet  as in annotate/, with the texts that are left; of the splits that the warm start learns from
      claims-00000.parquet a line for each claim of these: slot, value, score, whether it is contradicted and kept
      scores.json          how many claims were kept, by slot and split

The first-round verbalizer learns from the split ``av`` and scores both ``av`` and ``ar``: as long as nearly the same
share of claims is kept in both, it has learnt none of its texts by heart. As a control some texts are scored with the vector of
another document, without the claims that its own text makes too: what would be kept then owes nothing to the vector.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nlakit.claims.exchange import ClaimReader, Pool
from nlakit.claims.grounding import LikelihoodSign, ProbeSign, Sign, SwapSign, ground
from nlakit.claims.probes import fit_probes
from nlakit.claims.readers import fitted_reader, truth_reader
from nlakit.config import Recipe, derive_seed, fingerprint
from nlakit.data import annotate
from nlakit.data.annotate import load_explanations, read_annotations, read_table, write_table
from nlakit.data.sampling import other_document_rows
from nlakit.data.store import Store
from nlakit.errors import ConfigError
from nlakit.explanations import Outcome
from nlakit.models.verbalizer import Verbalizer
from nlakit.progress import Progress
from nlakit.runs import MetricsWriter, RunFolder, require_same
from nlakit.storage import write_json
from nlakit.train import first_round
from nlakit.train.batches import permutation
from nlakit.train.kept import SCHEMA, Kept, claims_table
from nlakit.train.rounds import Beginning, TaughtRows
from nlakit.truth import TruthReader

STAGE = "ground"
THRESHOLDS = {"likelihood": 0.2, "swap": 0.02, "probes": 0.5}
"""Score that a kept claim has to exceed: a probability beyond chance, or what exchanging it costs in units of Var.

A first round gives a low probability also to much that the vector holds: at 0.5 a tenth of the held facts goes unsaid (LOG.md).
"""
TAUGHT_SPLITS = ("av", "ar")
"""What the warm start learns from."""
OTHERS = 4
"""Vectors against which a whole statement is held: those of rows drawn at random."""
CONTROL_ROWS = 256
"""Texts of the split ``ar``, which no first-round verbalizer was taught, that are scored with another document's vector too."""
PROBE_ROWS = 12_000
"""Rows that the probes of each half of the documents are fitted on."""


def run(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
    """Ground the explanations of a run into ``folder/ground``, or go on where an earlier attempt stopped.

    Returns the folder. Raises RunError when an earlier stage is missing or what is there was made with other settings, and
    InputError when a split has too little to learn from.
    """
    config, stage = recipe.ground, folder.stage(STAGE)
    beginning = Beginning.of(recipe, folder)
    explained = folder.stage(annotate.STAGE)
    settings = {
        "store": beginning.store.fingerprint,
        "explanations": fingerprint(explained.settings, explained.outputs),
        "first_round": first_round.fingerprint_of(beginning, folder),
        "ground": _scoring(recipe),
        "seed": recipe.seed,
    }
    if folder.check_stage(STAGE, settings, stage.path) == "done":
        return stage.path
    stage.begin(settings)
    reader = reader_of(recipe, explained.path)
    sign = sign_of(recipe, beginning, folder, reader, progress)
    threshold = THRESHOLDS[config.by] if config.threshold is None else config.threshold
    kept = Kept.nothing()
    paths = sorted(explained.path.glob("shard-*.parquet"))
    with progress.task("ground", total=len(paths)) as task:
        for path in paths:
            kept += _ground_shard(path, stage.path, beginning.store, reader, sign, threshold, config.silence)
            task.advance(text=kept.summary())
    apart = control_scores(explained.path, beginning.store, reader, sign, recipe.seed, swapped=True)
    control = {"kept_of_another": sum(score > threshold for _, score in apart) / len(apart) if apart else None}
    write_json(stage.path / "scores.json", kept.record() | control)
    with MetricsWriter(folder.path / "alarms.jsonl", STAGE) as alarms:
        alarms.truncate_after(-1)
        for name, message in kept.doubts(STAGE, **control):
            progress.say(f"ALARM: {message}")
            alarms.write(0, {"alarm": name, "message": message})
    stage.finish(settings, kept.outputs() | control)
    progress.say(f"ground: {kept.summary(**control)}")
    return stage.path


def require_grounding_of(recipe: Recipe, folder: RunFolder) -> None:
    """Raise RunError unless the explanations of a run were grounded as this recipe says."""
    stage = folder.stage(STAGE)
    remedy = f"Give the settings it was made with, or delete {stage.path} and the stages that follow it."
    require_same({"ground": stage.settings["ground"]}, {"ground": _scoring(recipe)}, stage.path, remedy)


def _scoring(recipe: Recipe) -> dict[str, Any]:
    """Return what decides which claims are kept, beside the first round."""
    return recipe.ground.model_dump(mode="json", exclude={"reuse"})


def _ground_shard(
    path: Path, stage: Path, store: Store, reader: ClaimReader, sign: Sign, threshold: float, silence: str
) -> Kept:
    """Ground the explanations of one shard that are usable and taught, or read what an earlier attempt found."""
    here, claims = stage / path.name, stage / path.name.replace("shard", "claims")
    if not (here.exists() and claims.exists()):
        table = read_annotations(path)
        table = table.filter(pc.is_in(table["split"], pa.array(TAUGHT_SPLITS)))
        texts, ids, splits, outcomes = (table[name].to_pylist() for name in ("text", "row_id", "split", "outcome"))
        usable = [row for row, outcome in enumerate(outcomes) if outcome == Outcome.OK.value]
        chosen = [ids[row] for row in usable]
        given, vectors_ND = [texts[row] for row in usable], store.vectors(chosen)
        found = ground(given, vectors_ND, reader, sign, threshold=threshold, rows=chosen)
        for row, grounded in zip(usable, found, strict=True):
            texts[row] = grounded.text or silence
        write_table(claims, claims_table(chosen, [splits[row] for row in usable], found))
        place = table.schema.get_field_index("text")
        write_table(here, table.set_column(place, table.schema.field("text"), pa.array(texts, pa.string())))
    said = read_annotations(here).filter(pc.field("outcome") == Outcome.OK.value)["text"].to_pylist()
    return Kept(read_table(claims, SCHEMA), len(said), said.count(silence))


def control_scores(
    explained: Path, store: Store, reader: ClaimReader, sign: Sign, seed: int, *, swapped: bool
) -> list[tuple[str, float]]:
    """Return (slot, score) of the claims of some texts, with the vectors of other documents or, not ``swapped``, with their own.

    With other vectors, claims that the other's own text makes too are left out; none are left where all rows are of one document.
    """
    row_ids, texts = load_explanations(explained, "ar")
    drawn = permutation(len(texts), seed, STAGE, "control")[:CONTROL_ROWS].tolist()
    ids, texts = [int(row_ids[row]) for row in drawn], [texts[row] for row in drawn]
    known = store.rows("ar", ["row_id", "document_id"]).to_pydict()
    document_of = dict(zip(known["row_id"], known["document_id"], strict=True))
    others = other_document_rows([document_of[row_id] for row_id in ids], seed, STAGE, "control")
    if swapped and others is None:
        return []
    claims_N = [reader.claims(text) for text in texts]
    said_N = [{claim.same for claim in claims} for claims in claims_N]
    whose_N, too_N = list(range(len(ids))), [set[tuple[str, str]]() for _ in ids]
    if swapped and others is not None:
        whose_N, too_N = others, [said_N[row] for row in others]
    found_N = sign.scores(store.vectors([ids[row] for row in whose_N]), texts, claims_N, ids)
    return [
        (claim.slot, score.value)
        for claims, found, too in zip(claims_N, found_N, too_N, strict=True)
        for claim, score in zip(claims, found, strict=True)
        if claim.same not in too and math.isfinite(score.value)
    ]


def reader_of(recipe: Recipe, explained: Path) -> ClaimReader:
    """Return who finds the claims; frames are learnt from what the warm start would learn from."""
    if recipe.ground.by == "probes":
        return truth_of(recipe)
    texts = [text for split in TAUGHT_SPLITS for text in load_explanations(explained, split)[1]]
    return fitted_reader(recipe.corpus.name, texts, any_text=recipe.ground.claims == "frames")


def truth_of(recipe: Recipe) -> TruthReader:
    """Return the truth plugin of the corpus; ConfigError where it has none."""
    reader = truth_reader(recipe.corpus.name)
    if reader is None:
        raise ConfigError(
            f"ground.by is 'probes', and the corpus {recipe.corpus.name!r} does not know what is true (no plugin of the group "
            "nlakit.truth has its name); use likelihood or swap, which need no truth."
        )
    return reader


def sign_of(recipe: Recipe, beginning: Beginning, folder: RunFolder, reader: ClaimReader, progress: Progress) -> Sign:
    """Do the first round that the recipe's sign needs."""
    if recipe.ground.by == "probes":
        return probe_sign(beginning.store, truth_of(recipe), recipe.seed)
    if recipe.ground.by == "swap":
        reconstructor, rows = first_round.reconstructor(beginning, folder, progress)
        return SwapSign(reconstructor, _pool(reader, rows), beginning.statistics[0].variance)
    verbalizer, rows = first_round.verbalizer(beginning, folder, progress)
    return likelihood_sign(verbalizer, rows, reader, recipe.seed)


def likelihood_sign(verbalizer: Verbalizer, rows: TaughtRows, reader: ClaimReader, seed: int) -> LikelihoodSign:
    """Return the sign of a first-round verbalizer and of what it was taught."""
    others = permutation(len(rows.row_ids), derive_seed(seed, STAGE), "others")[:OTHERS].tolist()
    return LikelihoodSign(verbalizer, _pool(reader, rows), rows.vectors(others))


def _pool(reader: ClaimReader, rows: TaughtRows) -> Pool:
    return Pool.of(claim for text in rows.texts for claim in reader.claims(text))


def probe_sign(store: Store, truth: TruthReader, seed: int) -> ProbeSign:
    """Fit linear probes on each half of the annotated documents, for the rows of the other half."""
    table = store.rows(None, ["row_id", "document_id", "split", "truth"]).to_pydict()
    rows = [row for row, split in enumerate(table["split"]) if split in annotate.ANNOTATED_SPLITS]
    half = [derive_seed(seed, STAGE, "half", table["document_id"][row]) % 2 for row in rows]
    facts = {
        table["row_id"][row]: truth.facts(json.loads(table["truth"][row])) if table["truth"][row] else {}
        for row in rows
    }
    fitted = []
    for which in (0, 1):
        chosen = [
            row for row, side in zip(rows, half, strict=True) if side != which and table["split"][row] != "heldout"
        ]
        # Drawn, since rows at equal steps could be the same place of each document.
        drawn = permutation(len(chosen), seed, STAGE, "probe rows", which)[:PROBE_ROWS].tolist()
        chosen = [chosen[place] for place in drawn]
        ids = [table["row_id"][row] for row in chosen]
        documents = [table["document_id"][row] for row in chosen]
        fitted.append(fit_probes(store.vectors(ids), [facts[row_id] for row_id in ids], documents, seed))
    return ProbeSign({table["row_id"][row]: fitted[side] for row, side in zip(rows, half, strict=True)}, facts)
