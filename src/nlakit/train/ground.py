"""Stage 3, ground: take out of the teacher's text what the vectors do not hold.

A first round of supervised training on the whole text (:mod:`nlakit.train.first_round`) finds out what the vectors bear out; then
every claim is scored by the sign that the recipe names, and those that fail leave the text (:mod:`nlakit.claims.grounding`).
What is learnt afterwards learns only from what is kept: a claim that the teacher made up, or that only the text holds and not the
vector, is not taught.

::

    ground/
      shard-00000.parquet  as in annotate/, with the texts that are left
      scores.json          how many claims were kept, by slot and split

The first-round verbalizer learns from the split ``av`` and scores both ``av`` and ``ar``: as long as nearly the same
share of claims is kept in both, it has learnt none of its texts by heart.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from nlakit.claims.exchange import ClaimReader, Pool
from nlakit.claims.grounding import Grounded, LikelihoodSign, ProbeSign, Sign, SwapSign, ground
from nlakit.claims.probes import fit_probes
from nlakit.claims.readers import fitted_reader, truth_reader
from nlakit.config import Recipe, derive_seed, fingerprint
from nlakit.data import annotate
from nlakit.data.annotate import load_explanations, read_annotations, write_annotations
from nlakit.data.store import Store
from nlakit.errors import ConfigError
from nlakit.explanations import Outcome
from nlakit.models.verbalizer import Verbalizer
from nlakit.progress import Progress
from nlakit.runs import MetricsWriter, RunFolder, require_same
from nlakit.storage import write_json
from nlakit.train import first_round
from nlakit.train.batches import permutation
from nlakit.train.rounds import Beginning, TaughtRows
from nlakit.truth import TruthReader

STAGE = "ground"
THRESHOLDS = {"likelihood": 0.2, "swap": 0.02, "probes": 0.5}
"""Score that a kept claim has to exceed: a probability beyond chance, or what exchanging it costs in units of Var.

A first round gives a low probability also to much that the vector holds: at 0.5 a tenth of the held facts goes unsaid (LOG.md).
"""
OTHERS = 4
"""Vectors against which a whole statement is held: those of rows drawn at random."""
CONTRADICTED = 0.01
"""Share of the teacher's claims that the vectors contradict, above which there is an alarm: 0.1 % of an honest one's (LOG.md)."""
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
    tally = Tally()
    paths = sorted(explained.path.glob("shard-*.parquet"))
    with progress.task("ground", total=len(paths)) as task:
        for path in paths:
            here, counts = stage.path / path.name, stage.path / f"{path.stem}.json"
            if not counts.exists():
                table, found = _ground_shard(
                    read_annotations(path), beginning.store, reader, sign, threshold, config.silence
                )
                write_annotations(here, table)
                write_json(counts, found.record())
            tally.add(json.loads(counts.read_text(encoding="utf-8")))
            task.advance(text=tally.summary())
    write_json(stage.path / "scores.json", tally.record())
    if doubt := tally.doubt():
        progress.say(f"ALARM: {doubt}")
        with MetricsWriter(folder.path / "alarms.jsonl", STAGE) as alarms:
            alarms.truncate_after(-1)
            alarms.write(0, {"alarm": "teacher_contradicted", "message": doubt})
    stage.finish(settings, tally.outputs())
    progress.say(f"ground: {tally.summary()}")
    return stage.path


def require_grounding_of(recipe: Recipe, folder: RunFolder) -> None:
    """Raise RunError unless the explanations of a run were grounded as this recipe says."""
    stage = folder.stage(STAGE)
    remedy = f"Give the settings it was made with, or delete {stage.path} and the stages that follow it."
    require_same({"ground": stage.settings["ground"]}, {"ground": _scoring(recipe)}, stage.path, remedy)


def _scoring(recipe: Recipe) -> dict[str, Any]:
    """Return what decides which claims are kept, beside the first round."""
    return recipe.ground.model_dump(mode="json", exclude={"reuse"})


@dataclass
class Tally:
    """What was kept so far."""

    explanations: int = 0
    silent: int = 0
    """Explanations of which nothing was left."""
    splits: dict[str, Counter[str]] = field(default_factory=dict)
    """Claims, those kept and those contradicted, by split."""
    slots: dict[str, Counter[str]] = field(default_factory=dict)
    """The same by slot."""

    def count(self, split: str, grounded: Grounded) -> None:
        """Add one explanation."""
        self.explanations += 1
        self.silent += not grounded.text
        contradicted = sum(score.contradicted for _, score in grounded.judged)
        self._add(self.splits, split, len(grounded.judged), grounded.kept, contradicted)
        for index, (claim, score) in enumerate(grounded.judged):
            self._add(self.slots, claim.slot, 1, int(index not in grounded.failed), int(score.contradicted))

    def add(self, record: dict[str, Any]) -> None:
        """Add what :meth:`record` returned of another tally."""
        self.explanations += record["explanations"]
        self.silent += record["silent"]
        for name in ("splits", "slots"):
            for key, found in record[name].items():
                self._add(getattr(self, name), key, found["claims"], found["kept"], found["contradicted"])

    def record(self) -> dict[str, Any]:
        """Return everything as JSON-ready types."""
        return {
            "explanations": self.explanations,
            "silent": self.silent,
            "splits": {key: dict(found) for key, found in sorted(self.splits.items())},
            "slots": {key: dict(found) for key, found in sorted(self.slots.items())},
        }

    def outputs(self) -> dict[str, Any]:
        """Return the shares that the stage records: kept, by split, and contradicted."""
        total: Counter[str] = sum(self.splits.values(), Counter())
        kept = {
            f"kept_{split}": found["kept"] / max(1, found["claims"]) for split, found in sorted(self.splits.items())
        }
        return {
            "explanations": self.explanations,
            "silent": self.silent,
            "claims": total["claims"],
            **kept,
            "contradicted": total["contradicted"] / max(1, total["claims"]),
        }

    def doubt(self) -> str:
        """Say that the vectors contradict the teacher too often, and about what; nothing where they do not."""
        share = self.outputs()["contradicted"]
        if share <= CONTRADICTED:
            return ""
        most = sorted(self.slots, key=lambda slot: -self.slots[slot]["contradicted"])[:3]
        return (
            f"the vectors contradict {share:.1%} of the teacher's claims, above {CONTRADICTED:.0%}, most of all about "
            f"{', '.join(most)}: it makes things up. What the vectors do not bear out is taken out; read some of its texts, "
            f"and look into {STAGE}/scores.json, before you trust what is taught from the rest"
        )

    def summary(self) -> str:
        """Say in a few words what was kept."""
        total: Counter[str] = sum(self.splits.values(), Counter())
        claims = max(1, total["claims"])
        return (
            f"{total['kept'] / claims:.0%} of {claims:,} claims kept, {total['contradicted'] / claims:.1%} contradicted, "
            f"{self.silent:,} explanations silent"
        )

    @staticmethod
    def _add(counts: dict[str, Counter[str]], key: str, claims: int, kept: int, contradicted: int) -> None:
        counts.setdefault(key, Counter()).update(claims=claims, kept=kept, contradicted=contradicted)


def _ground_shard(
    table: pa.Table,
    store: Store,
    reader: ClaimReader,
    sign: Sign,
    threshold: float,
    silence: str,
) -> tuple[pa.Table, Tally]:
    """Ground the explanations of one shard that are usable; the others keep their line and outcome."""
    tally = Tally()
    texts = table["text"].to_pylist()
    usable = [row for row, outcome in enumerate(table["outcome"].to_pylist()) if outcome == Outcome.OK.value]
    row_ids, splits = table["row_id"].to_pylist(), table["split"].to_pylist()
    ids = [row_ids[row] for row in usable]
    found = ground([texts[row] for row in usable], store.vectors(ids), reader, sign, threshold=threshold, rows=ids)
    for row, grounded in zip(usable, found, strict=True):
        tally.count(splits[row], grounded)
        texts[row] = grounded.text or silence
    return table.set_column(table.schema.get_field_index("text"), table.schema.field("text"), pa.array(texts)), tally


def reader_of(recipe: Recipe, explained: Path) -> ClaimReader:
    """Return who finds the claims; frames are learnt from what the warm start would learn from."""
    if recipe.ground.by == "probes":
        return truth_of(recipe)
    texts = [text for split in ("av", "ar") for text in load_explanations(explained, split)[1]]
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
