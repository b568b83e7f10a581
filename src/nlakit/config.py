"""Recipes: every setting of a run as frozen, validated models, and the seeds derived from them.

A recipe is a TOML file whose tables are the models below. The docstring under a field is its help text, its row in
``docs/config.md`` and the only place where its unit and special values are written. "our choice" marks a default that no source
prescribes; "paper" is Fraser-Taliente et al. 2026 and "its code" the code published with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nlakit.validation import setting_fields

Scalar = str | int | float | bool
"""What a plugin's options may hold: values that TOML, JSON and the card write the same way."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
StorageDtype = Literal["float32", "bfloat16"]
ComputeDtype = Literal["auto", "float32", "bfloat16"]
AUTO = "auto"
STANDARD = "standard"
"""As a part of the evaluation: every part that takes seconds to a few minutes."""
OptimizerName = Literal["adamw", "muon"]
NOTHING = "nothing"
"""As ``ground.by``: the teacher's text is learnt as it is."""

GROWN = "grown"
"""As ``target.model``: the target is grown from the corpus before anything else, as the table ``grow`` says."""

SPLITS = ("av", "ar", "rl", "heldout")
"""Names of the splits, in the order in which a document's draw is compared with the fractions."""


def derive_seed(seed: int, *labels: object) -> int:
    """Return a 63-bit seed that depends on ``seed`` and every label, the same on all machines.

    Labels are strings, numbers, booleans or ``None``; ``derive_seed(0, "positions", "doc-7")`` is
    what keys every draw to the thing it belongs to, so that order, shards and workers cannot change
    it and a resumed run needs no saved random state.
    """
    text = json.dumps([seed, *labels], ensure_ascii=True, separators=(",", ":"), default=str)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def plain(value: object) -> Any:
    """Return a model, mapping or sequence as JSON-ready built-in types."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def fingerprint(*values: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 over the canonical JSON of the values."""
    text = json.dumps([plain(value) for value in values], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Settings(BaseModel):
    """Base of every settings model: frozen, no unknown keys, docstrings as field descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TargetConfig(Settings):
    """The model whose activations are explained, and where in it they are read."""

    model: str = "terrarium"
    """Name of an installed target, a folder with a Hugging Face model, an identifier on the hub, or ``grown`` (table ``grow``)."""
    revision: str | None = None
    """Commit, tag or branch on the hub; none for the default branch. Folders have no revision."""
    site: str = ""
    """Where a vector is read: ``resid.K`` is the output of block K, counted from 0. Empty for two-thirds depth (paper)."""
    dtype: ComputeDtype = "auto"
    """Number type the target computes in; `auto` is float32 on a processor and the stored one on a GPU."""


class GrowthConfig(Settings):
    """Shape and schedule of a small target that is grown from nothing (defaults: our choice, LOG.md)."""

    documents_per_step: Positive = 32
    """Documents in a batch, or pieces of documents that are longer than the window of 512 tokens."""
    width: Annotated[int, Field(ge=32, multiple_of=32)] = 192
    """Width of the residual stream; heads are 32 wide."""
    blocks: Annotated[int, Field(ge=2)] = 4
    """Transformer blocks."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3e-3
    """Peak learning rate, of Muon for the matrices of the blocks and of AdamW for everything else."""
    warmup_steps: Natural = 200
    """Steps of linear warm-up."""
    decay_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the steps at the end over which the learning rate falls linearly to 0."""
    weight_decay: Rate = 0.02
    """Muon's, on the matrices of the blocks."""
    checkpoint_every: Positive = 500
    """Steps between checkpoints."""


class GrowConfig(GrowthConfig):
    """How a target is grown from the corpus; of use where ``target.model`` is ``grown``, and the held-out split is not read."""

    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3.0
    """Passes over the documents; with more, a megabyte is learnt by heart (LOG.md)."""
    vocabulary: Annotated[int, Field(ge=512)] = 4096
    """Tokens of the byte-level BPE tokenizer, which is learnt from the same documents; a small text may not give as many."""
    warmup_steps: Natural = 50
    """Steps of linear warm-up."""
    checkpoint_every: Positive = 50
    """Steps between checkpoints."""


class CorpusConfig(Settings):
    """The documents that the target reads."""

    name: str = "terrarium"
    """Name of an installed corpus; built in are ``terrarium``, ``text``, ``jsonl``, ``parquet``, ``csv`` and ``datasets``."""
    path: str | None = None
    """File or folder for the corpora ``text``, ``jsonl``, ``parquet`` and ``csv``; folder for ``datasets``."""
    documents: Positive = 20_000
    """Number of documents; a corpus of files may hold fewer."""
    seed: int = 0
    """Seed of a generated corpus; files do not depend on it."""
    options: dict[str, Scalar] = Field(default_factory=dict)
    """Settings of the corpus itself, such as ``column`` of a table, passed on as they are (docs/guide.md)."""


class SplitConfig(Settings):
    """Share of the documents in each split; no document is in two."""

    av: Fraction = 0.25
    """Warm start of the verbalizer (its code: 0.25)."""
    ar: Fraction = 0.25
    """Warm start of the reconstructor (its code: 0.25)."""
    rl: Fraction = 0.4
    """Reinforcement learning; a slice of it serves for validation (its code: 0.5, with nothing held out)."""
    heldout: Fraction = 0.1
    """Never trained on; every headline number comes from here (our choice)."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> SplitConfig:
        total = self.av + self.ar + self.rl + self.heldout
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the fractions sum to {total:g}, expected 1")
        return self


class ExtractConfig(Settings):
    """Which token positions become rows, and how they are stored."""

    rows_per_document: Positive = 5
    """Positions drawn from each document, without replacement (paper: 5)."""
    min_position: Natural = 50
    """Earliest token position that is drawn, counted from 0 (its code: 50); half of its length for a document that ends before."""
    max_tokens: Positive = 4096
    """Longest part of a document that the target reads, in tokens; the model's own window caps it (paper)."""
    split: SplitConfig = SplitConfig()
    """Share of the documents in each split."""
    shard_rows: Positive = 16_384
    """Rows in one shard; kill -9 loses at most one (our choice)."""
    batch_tokens: Positive = 8192
    """Tokens in one forward pass, padding included (our choice)."""
    dtype: StorageDtype = "float32"
    """Number type on disk; float16 is refused because activations overflow it."""
    workers: Positive = 1
    """Processes that share the shards and the threads, each with its own copy of the target; decides no row (our choice)."""


class CallsConfig(Settings):
    """How a teacher behind an endpoint is called, and what it may cost; no explanation depends on these settings."""

    key_env: str = ""
    """Environment variable that holds the key; empty for the provider's usual one, and for none at another address."""
    price_input: Rate | None = None
    """Price of a million input tokens, in the currency of your bill; none when unknown: tokens are counted alone."""
    price_output: Rate | None = None
    """Price of a million output tokens, in the same currency; give the prices of batches with ``batch``."""
    max_cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Most that the explanations of a run may cost, in the same currency; needs both prices, none for no cap."""
    max_tokens: Positive | None = None
    """Most tokens, input and output together, that the explanations of a run may use; none for no cap."""
    batch: bool = False
    """Send requests through the provider's batch interface: cheaper, and answered within a day."""
    concurrency: Positive = 8
    """Requests under way at once (our choice)."""
    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 120.0
    """Seconds without a sign of life after which a request is given up and sent again (our choice)."""
    attempts: Positive = 6
    """Times that a request is sent before the stage stops; waits double from one second (our choice)."""


class AnnotateConfig(Settings):
    """Who writes the explanations for the warm start."""

    teacher: str = "terrarium"
    """Name of an installed teacher: ``terrarium``, ``extractive``, ``anthropic``, ``openai``, ``target``, ``pair``, or another."""
    options: dict[str, Scalar] = Field(default_factory=dict)
    """Settings of the teacher itself, passed on as they are."""
    calls: CallsConfig = CallsConfig()
    """How a teacher behind an endpoint is called, and what it may cost."""


class GroundConfig(Settings):
    """Which claims of the teacher's text the warm start may learn: only those that the vectors bear out."""

    by: Literal["nothing", "likelihood", "swap", "probes"] = "nothing"
    """``likelihood``: a first-round verbalizer does more than guess the value; ``swap``: a first-round reconstructor misses it
    when it is exchanged; ``probes``: a linear probe finds it (needs known truth); ``nothing`` keeps the teacher's text (LOG.md)."""
    claims: Literal["corpus", "frames"] = "corpus"
    """Who finds the claims in a text: the corpus's own reader, where it has one, or ``frames`` learnt from the texts alone."""
    threshold: Rate | None = None
    """Score that a kept claim has to exceed; none for the sign's own: 0.2 of the way from the value's frequency to certainty
    by ``likelihood`` and 0.5 of it by ``probes``, a rise of the error by 0.02 Var by ``swap``."""
    epochs: Rate = 1.0
    """Passes of the first round over the explanations, before anything is scored (our choice)."""
    reuse: bool = True
    """Whether the warm start goes on from the half that the first round taught, instead of beginning anew (LOG.md)."""
    silence: str = "Unclear."
    """What stands in place of an explanation of which nothing is kept."""


class PromptConfig(Settings):
    """Prompts of the pair; none takes the target's own, or the built-in ones."""

    verbalizer: str | None = None
    """User message of the verbalizer; must hold ``{marker}`` once."""
    reconstructor: str | None = None
    """Raw text that the reconstructor reads; must hold ``{explanation}`` once."""
    marker: str | None = None
    """A single token whose embedding is overwritten with the vector."""

    @model_validator(mode="after")
    def _placeholders(self) -> PromptConfig:
        for field, placeholder in (("verbalizer", "{marker}"), ("reconstructor", "{explanation}")):
            text = getattr(self, field)
            if text is not None and text.count(placeholder) != 1:
                raise ValueError(f"{field} must hold {placeholder} exactly once, found {text.count(placeholder)} times")
        return self


class AdapterConfig(Settings):
    """Whether both halves are adapters on one frozen base, or whole models of their own."""

    mode: Literal["auto", "lora", "full"] = "auto"
    """`lora` keeps the target's weights in memory once; `full` trains copies of them; `auto` is `lora` from 0.5 B parameters."""
    rank: Positive = 16
    """Rank of an adapter (our choice)."""
    alpha: Positive = 32
    """An adapter's output is scaled by alpha / rank (our choice)."""


class MemoryConfig(Settings):
    """What training may keep in memory. Nothing here changes what is learnt, but for rounding."""

    recompute: Literal["auto", "always", "never"] = "auto"
    """Whether the inside of blocks is computed again in the backward pass instead of kept; `auto` is from 0.5 B parameters on."""
    fill: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the memory that is free which a backward pass may take; micro-batches that would need more are cut (our choice)."""


class WarmStartConfig(Settings):
    """Supervised training of both halves on the teacher's explanations."""

    verbalizer_epochs: Rate = 1.0
    """Passes over the ``av`` split; fractions are allowed (its code: 1)."""
    reconstructor_epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Passes over the ``ar`` split; fractions are allowed (its code: 1)."""
    batch_size: Positive = 64
    """Rows in one optimizer step (our choice; paper: 256)."""
    micro_batch: Positive = 64
    """Most rows in one backward pass; fewer where the memory does not hold them (`memory.fill`)."""
    optimizer: OptimizerName = "adamw"
    """``muon`` trains the matrices of the blocks with Muon: much faster for tiny models (LOG.md)."""
    verbalizer_learning_rate: Rate = 5e-4
    """Peak learning rate of AdamW; tiny models want more (our choice; paper: 1e-5)."""
    reconstructor_learning_rate: Rate = 5e-4
    """Peak learning rate of AdamW (our choice; paper: 1e-5)."""
    warmup_fraction: Fraction = 0.05
    """Share of the steps over which the learning rate rises; it then falls along a cosine to a tenth (its code)."""
    weight_decay: Rate = 0.01
    """Weight decay of matrices (with ``muon`` those of the blocks); norms and biases have none (our choice)."""
    max_grad_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Gradients above this norm are scaled down to it (our choice)."""
    rewordings: Fraction = 0.0
    """Share of the explanations that the reconstructor learns from in other words (our choice)."""
    max_explanation_tokens: Positive = 128
    """Longest teacher text, tags included; longer rows are counted and left out, never cut (our choice)."""
    injection_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Norm that every vector is set to before injection; none for the 75th percentile of the row norms (paper)."""
    checkpoint_every: Positive = 200
    """Steps between checkpoints (our choice)."""
    log_every: Positive = 10
    """Steps between lines of ``metrics.jsonl`` (our choice)."""


class TrainConfig(Settings):
    """Reinforcement learning of the verbalizer with the reconstructor trained alongside (GRPO)."""

    steps: Positive = 400
    """Optimizer steps of each half; one for each batch of rollouts, so training is on-policy (our choice; paper: thousands)."""
    prompts_per_step: Positive = 32
    """Different vectors in one step (our choice; paper: 128)."""
    group_size: Annotated[int, Field(ge=2)] = 8
    """Explanations sampled for each vector; the reward is normalised within the group (paper: 8)."""
    max_new_tokens: Positive = 96
    """Longest sampled explanation, closing tag included (our choice; paper: 150)."""
    optimizer: OptimizerName = "adamw"
    """The verbalizer's; ``muon`` trains the matrices of its blocks with Muon (LOG.md). The reconstructor's is AdamW."""
    verbalizer_learning_rate: Rate = 1e-4
    """Learning rate after warm-up; tiny models want more (our choice; paper: about 1e-5)."""
    reconstructor_learning_rate: Rate = 2e-4
    """Learning rate after warm-up (our choice; paper: about 1e-5)."""
    kl_coefficient: Rate = 0.01
    """Weight of the divergence from the warm start (its code: 0.01)."""
    length_penalty: Rate = 0.001
    """Reward lost for each sampled token; keeps explanations from growing (our choice; paper: none)."""
    agreement: Rate = 0.0
    """Reward for each claim that all others of its group make too; one that all contradict costs twice as much (our choice)."""
    rewordings: Fraction = 0.0
    """Share of the sampled explanations that the reconstructor reads in other words, so that no private code survives."""
    failed_reward: Annotated[float, Field(allow_inf_nan=False)] = -2.0
    """Reward of an output that failed; as bad as an unrelated direction (error 2; its code)."""
    max_grad_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Gradients above this norm are scaled down to it (our choice)."""
    warmup_steps: Natural = 10
    """Steps over which both learning rates rise (our choice)."""
    final_learning_rate: Fraction = 1.0
    """Share of both learning rates that is left at the last step, after half a cosine; 1 keeps them (our choice)."""
    micro_batch: Positive = 64
    """Most samples in one backward pass; fewer where the memory does not hold them (`memory.fill`)."""
    checkpoint_every: Positive = 50
    """Steps between checkpoints (our choice)."""
    evaluate_every: Positive = 25
    """Steps between measurements on the validation slice, which pick the best checkpoint (our choice)."""
    evaluate_rows: Positive = 128
    """Rows of the validation slice; they are never trained on (our choice)."""
    sample_every: Positive = 10
    """Steps between lines of ``samples.jsonl`` (our choice)."""


class AskConfig(Settings):
    """A model that an evaluation asks: to judge claims (part ``evidence``), or to say explanations in other words (``words``)."""

    teacher: str = ""
    """An installed teacher that answers any prompt: ``anthropic``, ``openai``, or another; empty to ask nobody."""
    options: dict[str, Scalar] = Field(default_factory=dict)
    """Its model, address, temperature and longest reply, as for a teacher of that name."""
    calls: CallsConfig = CallsConfig()
    """How it is called, and what it may cost."""


class NewCorpusConfig(CorpusConfig):
    """Documents to measure on in place of the held-out ones, without those that the pair's own corpus has too; left out, those are.

    For a last measurement, when recipes were compared on the held-out ones; and for a released pair, which records no corpus and
    is measured on the held-out part of this one.
    """

    name: str
    """Name of an installed corpus, as in the table ``corpus``."""


class EvaluateConfig(Settings):
    """Measures on held-out rows."""

    rows: Positive = 1000
    """Held-out rows; fewer when the corpus has no more."""
    parts: tuple[str, ...] = (STANDARD,)
    """What is measured: names of parts (docs/evaluation.md), ``standard``, or ``all``; the round trip always is."""
    seed: int = 0
    """Seed of the choice of rows, of sampling and of the bootstrap."""
    against: str = ""
    """Another pair of the same target and layer, by name or folder, that is held against this one on the same rows."""
    corpus: NewCorpusConfig | None = None
    """Documents to measure on in place of the held-out ones; none for those."""
    bootstrap: Positive = 1000
    """Resamples of documents for the 95 % intervals."""
    max_new_tokens: Positive | None = None
    """Longest sampled explanation, closing tag included; none for what the pair was trained with."""
    batch_size: Positive = 128
    """Rows in one decoding batch."""
    judge: AskConfig = AskConfig()
    """Who judges claims against the text; nobody: their words do."""
    paraphraser: AskConfig = AskConfig()
    """Who says explanations in other words; nobody: the corpus's own paraphraser."""


class Recipe(Settings):
    """Everything that decides what a run produces."""

    name: str
    """Short name, by which an installed recipe is run."""
    description: str
    """One sentence for ``nlakit recipes list``."""
    seed: int = 0
    """Seed of splits, positions, batches and sampling."""
    target: TargetConfig = TargetConfig()
    """The model whose activations are explained."""
    grow: GrowConfig = GrowConfig()
    """How the target is grown, where it is."""
    corpus: CorpusConfig = CorpusConfig()
    """The documents that the target reads."""
    extract: ExtractConfig = ExtractConfig()
    """Which token positions become rows."""
    annotate: AnnotateConfig = AnnotateConfig()
    """Who writes the explanations for the warm start."""
    ground: GroundConfig = GroundConfig()
    """Which of the teacher's claims are kept."""
    prompts: PromptConfig = PromptConfig()
    """Prompts of the pair."""
    adapters: AdapterConfig = AdapterConfig()
    """Whether both halves are adapters on one frozen base."""
    memory: MemoryConfig = MemoryConfig()
    """What training may keep in memory."""
    warm_start: WarmStartConfig = WarmStartConfig()
    """Supervised training of both halves."""
    train: TrainConfig = TrainConfig()
    """Reinforcement learning."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Measures on held-out rows."""

    @property
    def grown(self) -> bool:
        """Whether the target is grown from the corpus first."""
        return self.target.model == GROWN

    @model_validator(mode="after")
    def _grows_what_it_says(self) -> Recipe:
        if not self.grown and self.grow != GrowConfig():
            raise ValueError(
                f"the table grow is of use only with target.model = {GROWN!r}; it is {self.target.model!r}"
            )
        return self


def recipe_fields() -> Iterator[tuple[str, type[BaseModel], str]]:
    """Yield (dotted key, owning model, field name) for every setting of a recipe."""
    return setting_fields(Recipe)
