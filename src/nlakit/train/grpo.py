"""Stage 4, train: reinforcement learning makes the words carry what the vector holds.

Each step samples a group of explanations for each of a batch of vectors, scores them by how well the reconstructor rebuilds
the vector from them, raises the probability of those that beat their group, and gives the reconstructor one step of its own
on the same explanations (paper, RL; method: GRPO). The mathematics is in :mod:`nlakit.train.policy`, where the departures
from GRPO are listed. Against the paper's released code:

* The reward is minus the error, without its logarithm, minus a small price per token; failed outputs get a fixed reward.
* The best step by FVE on validation rows of the split ``rl`` becomes the pair, not the last one.
* Reward and reconstructor loss come from one forward pass, so they cannot disagree.

::

    train/
      checkpoints/     best and last
    pair/              the finished pair, with the warm start's weights in pair/warm-start/
    samples.jsonl      sampled explanations with contexts and errors
    alarms.jsonl       what looked wrong and what to do about it

Axes: P prompts of a step, G samples per prompt, N = P * G, B samples of a micro-batch, T tokens, D vector width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import Tensor

from nlakit.claims.readers import claim_reader
from nlakit.config import Recipe, TrainConfig, derive_seed, fingerprint
from nlakit.data import extract
from nlakit.data.store import Store
from nlakit.models.pair import Pair
from nlakit.progress import Progress
from nlakit.runs import MetricsWriter, RunFolder, now, versions
from nlakit.train import warm_start
from nlakit.train.batches import prompts_at, validation_rows
from nlakit.train.checkpoints import Checkpoints, State
from nlakit.train.journals import Journals
from nlakit.train.learner import Learner, Learnt
from nlakit.train.optimise import require_finite
from nlakit.train.rewording import Reworder
from nlakit.train.validation import ValidationRows, round_trip

STAGE = "train"

NO_RESULT = {"checkpoint_every", "sample_every"}
"""Settings that change nothing of what is learnt, so that a run may go on with others."""
SHOWN_PROMPTS = 4
"""Vectors whose first sample goes to samples.jsonl, each time."""


@dataclass(frozen=True)
class PromptRows:
    """Rows of the split ``rl``: those that train, and those of other documents that validate."""

    store: Store
    table: pa.Table
    """row_id, document_id, position, token and context of each row of the split."""
    training: list[int]
    """Indices into the table."""
    validation: ValidationRows

    @classmethod
    def load(cls, store: Store, config: TrainConfig, seed: int) -> PromptRows:
        """Divide the split by document; InputError where it has too few."""
        table = store.rows("rl", ["row_id", "document_id", "position", "token", "context"])
        documents = table["document_id"].to_pylist()
        training, validation = validation_rows(documents, config.evaluate_rows, seed, STAGE)
        chosen = [documents[row] for row in validation]
        vectors_ND = store.vectors(table["row_id"].take(validation).to_pylist())
        return cls(store, table, training, ValidationRows.of(vectors_ND, chosen, seed, STAGE))

    def vectors(self, rows: list[int]) -> Tensor:
        """Read the vectors of rows of the table; (P, D), float32."""
        return self.store.vectors(self.table["row_id"].take(rows).to_pylist())


def run(recipe: Recipe, folder: RunFolder, progress: Progress) -> Path:
    """Train the warm-started pair by reinforcement learning and return the folder of the best pair.

    A run that was killed goes on from its last checkpoint and ends with the weights of an unbroken one.

    Raises:
        RunError: if an earlier stage is missing, or what is there was made with other settings.
        InputError: if the split ``rl`` has too few documents.
        DivergedError: if a loss, gradient or weight is not finite; the last checkpoint is kept.
    """
    config, seed = recipe.train, recipe.seed
    warm = folder.stage(warm_start.STAGE)
    store = extract.open_store(folder)
    settings = {
        "warm_start": warm.outputs["pair"],
        "store": store.fingerprint,
        "train": config.model_dump(mode="json", exclude=NO_RESULT),
        "seed": seed,
    }
    stage, output = folder.stage(STAGE), folder.path / "pair"
    if folder.check_stage(STAGE, settings, output) == "done":
        return output
    pair = Pair.from_pretrained(warm.path / "pair", load_target=False)
    pair.verbalizer.require_room(config.max_new_tokens)
    reader = claim_reader(pair.card) if config.agreement else None
    learner = Learner.of(pair, config.optimizer, Reworder.of(recipe.corpus.name, config.rewordings), reader)
    learner.compute(recipe.memory, pair.card.target.dtype)
    rows = PromptRows.load(store, config, seed)
    stage.begin(settings)

    checkpoints = Checkpoints(stage.path / "checkpoints", learner.modules, learner.optimizers)
    state = checkpoints.resume() or State(step=-1)
    # Kept with the checkpoints: where a batch is cut moves the last digits, and a resumed run has to have the same ones.
    micro_batch: int = state.numbers.get("micro_batch") or learner.fitting(config, recipe.memory.fill)
    if micro_batch < config.micro_batch:
        progress.say(f"train: {micro_batch} samples in a backward pass, which is what the memory holds")
    fitted = config.model_copy(update={"micro_batch": micro_batch})
    active = state.numbers.get("active_alarms", [])
    with Journals.open(folder, STAGE, progress, after=state.step, steps=config.steps, active=active) as journals:
        state = reinforce(learner, rows, fitted, seed, checkpoints, state, journals)

    best_step = state.best_step or 0
    checkpoints.load_weights(best_step)
    figures = {
        "steps": config.steps,
        "best_step": best_step,
        "fve_validation": state.best_value,
        "fve_validation_warm_start": journals.history[0]["fve_validation"],
    }
    save_pair(pair, config, warm.path / "pair", output, figures)
    stage.finish(settings, {"pair": fingerprint(warm_start.weight_hashes(output)), **figures})
    return output


def reinforce(
    learner: Learner,
    rows: PromptRows,
    config: TrainConfig,
    seed: int,
    checkpoints: Checkpoints,
    state: State,
    journals: Journals,
) -> State:
    """Take every step after that of ``state``, and return the state after the last."""
    for step in range(state.step + 1, config.steps + 1):
        line: dict[str, Any] = {}
        if step > 0:  # step 0 only measures the warm start
            chosen = prompts_at(step - 1, count=len(rows.training), size=config.prompts_per_step, seed=seed)
            chosen = [rows.training[row] for row in chosen]
            learnt = learner.step(rows.vectors(chosen), config, step=step, seed=seed)
            line = learnt.line
            if step % config.sample_every == 0:
                write_samples(journals.samples, step, rows.table, chosen, learnt)

        # Now and then, measure on rows that nothing trains on.
        last, improved = step == config.steps, False
        if last or step % config.evaluate_every == 0:
            line |= round_trip(
                learner.verbalizer,
                learner.reconstructor,
                rows.validation,
                variance=learner.variance,
                max_new_tokens=config.max_new_tokens,
                seed=derive_seed(seed, STAGE, "validation"),
            )
            improved = state.best_value is None or line["fve_validation"] > state.best_value
        journals.record(step, line)
        require_finite(learner.reconstructor.value_head.weight, f"train: step {step}: the reconstructor's value head")

        # Keep the best and the last weights.
        state = State(
            step,
            best_step=step if improved else state.best_step,
            best_value=line["fve_validation"] if improved else state.best_value,
            numbers={"active_alarms": sorted(journals.active), "micro_batch": config.micro_batch},
        )
        if last or improved or step % config.checkpoint_every == 0:
            journals.sync()
            checkpoints.save(state)
    return state


def write_samples(samples: MetricsWriter, step: int, table: pa.Table, chosen: list[int], learnt: Learnt) -> None:
    """Append the first sample of a few vectors to ``samples.jsonl``, for people to read."""
    for prompt, row in enumerate(chosen[:SHOWN_PROMPTS]):
        sample = prompt * learnt.rolled.group_size
        found = learnt.rolled.samples[sample]
        place = table.slice(row, 1).to_pylist()[0]
        samples.write(
            step,
            {
                **place,
                "outcome": found.outcome.value,
                "text": found.text,
                "error": float(learnt.errors_N[sample]),
                "reward": float(learnt.rewards_N[sample]),
            },
        )


def save_pair(
    pair: Pair, config: TrainConfig, warm_folder: Path, output: Path, figures: Mapping[str, float | None]
) -> None:
    """Write the finished pair, its card's training record, and the warm start's weights beside it."""
    record = {"settings": config.model_dump(mode="json"), "figures": dict(figures)}
    card = pair.card.model_copy(
        update={
            "training": {**pair.card.training, "train": record},
            "max_new_tokens": config.max_new_tokens,
            "results": {},
            "versions": versions(),
            "created_at": now(),
        }
    )
    Pair(pair.target, pair.verbalizer, pair.reconstructor, card).save(output, warm_start=warm_folder)
