"""The card: the contract of a pair, kept beside its weights and verified before any compute.

``card.yaml`` holds prompts, marker, site, scales, what the pair was trained from and on, and what was
measured; ``stats.safetensors`` holds the mean direction. One writer, one reader, one version number.

Axes: D width of a vector.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, Self

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from nlakit.calibration import Calibration
from nlakit.errors import CardError
from nlakit.prompts import Prompts, beginnings, encode_once, locate_marker, tokenizer_fingerprint
from nlakit.runs import now, versions
from nlakit.storage import atomic_write_bytes, atomic_write_text
from nlakit.vectors import VectorStats

SCHEMA_VERSION = 1
CARD_FILE = "card.yaml"
STATS_FILE = "stats.safetensors"
REPLACE = "embedding"
"""The injection in which the vector takes the place of the marker's embedding."""


class HasShape(Protocol):
    """What of a target the card checks."""

    name: str
    revision: str | None
    fingerprint: str
    n_layers: int
    d_model: int
    tokenizer: Any

    @property
    def dtype(self) -> str:
        """Number type of its weights."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Measure(_Part):
    """One measured number with its interval."""

    value: float | None
    """The number; ``None`` where it could not be measured."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""
    n: int
    """Rows (or claims) that the number is an average of."""
    split: str
    """Split that the rows come from."""


class TargetRecord(_Part):
    """The target model that the pair reads."""

    model: str
    """Plugin name, folder or Hugging Face id."""
    revision: str | None = None
    """Commit, tag or branch; ``None`` for folders and the default branch."""
    dtype: str = "float32"
    """Number type in which it computes the vectors."""
    fingerprint: str | None
    """Hash over the target's weights; ``None`` where whoever made the pair did not record one."""
    n_layers: int | None = Field(ge=1)
    """Blocks of the target; ``None`` where that is not recorded."""
    d_model: int = Field(ge=1)
    """Width of its residual stream."""
    tokenizer_fingerprint: str | None
    """Hash over the tokenizer; ``None`` where that is not recorded."""

    @classmethod
    def of(cls, target: HasShape) -> Self:
        """Record a live target."""
        return cls(
            model=target.name,
            revision=target.revision,
            dtype=target.dtype,
            fingerprint=target.fingerprint,
            n_layers=target.n_layers,
            d_model=target.d_model,
            tokenizer_fingerprint=tokenizer_fingerprint(target.tokenizer),
        )


class Card(BaseModel):
    """What a pair promises. Frozen: a changed card is a new one (``card.model_copy(update=...)``)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True)

    schema_version: int = SCHEMA_VERSION
    """Version of this file's layout."""
    name: str
    """Name of the pair."""
    target: TargetRecord
    """The target that the pair reads."""
    site: str
    """Where in the target vectors are read, such as ``resid.3``."""
    prompts: Prompts
    """Both prompts and the marker."""
    injection_scale: float = Field(gt=0, allow_inf_nan=False)
    """L2 norm that a vector is set to before it replaces the marker's embedding; where ``injection`` adds it, the multiple
    of the state's own norm that it is set to."""
    injection: str = Field(default=REPLACE, pattern=r"^(embedding|resid\.\d{1,4})$")
    """Where the vector goes in: ``embedding`` (it replaces the marker's embedding) or ``resid.K`` (it is added to the output
    of the verbalizer's block K at the marker)."""
    max_new_tokens: int = Field(ge=1)
    """Length limit of an explanation in tokens, tags included."""
    stats: VectorStats | None = Field(exclude=True)
    """Mean and variance of the training rows' directions, the baseline of every FVE; ``None`` where whoever made the pair did
    not record them, and then no FVE can be given."""
    training: dict[str, Any] = {}
    """How the pair was trained."""
    data: dict[str, Any] = {}
    """Corpus and extraction settings with their seed, so that held-out rows can be built again; ``statistics``, where the corpus
    was named for a pair made elsewhere, says how many of its rows mean and variance are of."""
    results: dict[str, Measure] = {}
    """What was measured, by name of the measure."""
    errors: tuple[float, ...] = ()
    """Errors 2(1 - cos) that the explanations of held-out rows had, from the least to the greatest in steps of equally many
    rows: what the error of a reading is to be held against. Empty where nothing was measured."""
    measured: dict[str, Any] = {}
    """How it was measured: rows and documents, seed, length limit, version and date, and what was left out for which reason."""
    support: Calibration | None = None
    """How the support of a claim follows from its signals; ``None`` for the calibration that comes with nlakit."""
    source: dict[str, Any] = {}
    """For a pair that was not made here: its format, repositories with their commits, and what their side files say."""
    versions: dict[str, str] = Field(default_factory=versions)
    """Library versions of the training run."""
    created_at: str = Field(default_factory=now)
    """When the card was written, UTC."""

    @property
    def min_position(self) -> int:
        """Earliest token position that the pair was trained on; 0 when the card does not say."""
        return int(self.data.get("extract", {}).get("min_position", 0))

    def require_stats(self) -> VectorStats:
        """Return mean and variance; raises ``CardError`` for a pair whose card has none."""
        if self.stats is None:
            raise CardError(
                f"the card of {self.name!r} has no mean and variance of its vectors, which an FVE and the support of claims are "
                f"measured against; 'nlakit calibrate {self.name} --corpus FILE --out DIR' writes a copy of the pair that has them "
                "from a text of yours (in Python: Pair.with_statistics)."
            )
        return self.stats

    def save(self, folder: Path) -> Path:
        """Write ``card.yaml`` and, where there are statistics, ``stats.safetensors`` into a folder; returns the card's path."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.stats is not None:
            mean_D = self.stats.mean_D.float().contiguous().cpu()
            atomic_write_bytes(folder / STATS_FILE, save_tensors({"mean": mean_D}))
        atomic_write_text(folder / CARD_FILE, self.to_yaml())
        return folder / CARD_FILE

    def to_yaml(self) -> str:
        """Return the text of ``card.yaml``; the mean of its vectors lies beside it."""
        content = self.model_dump(mode="json")
        content["variance"] = None if self.stats is None else self.stats.variance
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a card; raises ``CardError`` when a file is missing or damaged, listing all wrong fields together."""
        path = folder / CARD_FILE
        if not path.is_file():
            raise CardError(f"there is no {CARD_FILE} in {folder}.")
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise CardError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
        if not isinstance(content, dict):
            raise CardError(f"{path} holds {type(content).__name__}, a mapping was expected.")
        version = content.get("schema_version")
        if version != SCHEMA_VERSION:
            raise CardError(
                f"{path} has schema_version {version!r}, and this nlakit reads {SCHEMA_VERSION}; upgrade nlakit."
            )
        stats = _load_stats(folder, content)
        try:
            card = cls.model_validate(content | {"stats": stats})
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise CardError(f"{path} is damaged: {faults}") from error
        if stats is not None and stats.mean_D.shape != (card.target.d_model,):
            raise CardError(
                f"{folder / STATS_FILE} has a mean of shape {tuple(stats.mean_D.shape)}, and the card's vectors have "
                f"{card.target.d_model} components."
            )
        return card

    def verify_tokenizer(self, tokenizer: Any, *, exact: bool = True) -> int:
        """Check that prompts come out of this tokenizer as declared; returns the marker's position in the prompt.

        The marker must be one token, once, between its declared neighbours, and a beginning-of-sequence
        token may stand at most once. ``exact`` demands the declared tokenizer fingerprint as well.
        Raises ``CardError`` with what was found.
        """
        position = self.verify_marker(tokenizer)
        for which, count in self.beginnings(tokenizer).items():
            if count > 1:
                raise CardError(
                    f"the {which} prompt has {count} beginning-of-sequence tokens, at most one was expected."
                )
        if exact:
            self.verify_fingerprint(tokenizer)
        return position

    def verify_fingerprint(self, tokenizer: Any) -> None:
        """Check that a tokenizer is the one that the card was made with, where the card says; raises ``CardError``."""
        known = self.target.tokenizer_fingerprint
        if known is not None and (live := tokenizer_fingerprint(tokenizer)) != known:
            raise CardError(
                f"the card was made with tokenizer {known}, and this one is {live}: "
                "its vocabulary, special tokens or chat template differ."
            )

    def verify_marker(self, tokenizer: Any) -> int:
        """Check that the marker is one token, once, between its declared neighbours; returns its position in the prompt.

        Raises ``CardError`` with the tokens found.
        """
        marker, position = locate_marker(tokenizer, self.prompts.verbalizer, self.prompts.marker)
        declared = self.prompts.marker_token
        if marker != declared:
            raise CardError(
                f"the card declares the marker as token {declared.id} between {declared.left_id} and {declared.right_id}, "
                f"and this tokenizer gives {marker.id} between {marker.left_id} and {marker.right_id}; "
                "it is not the tokenizer that the pair was trained with."
            )
        return position

    def beginnings(self, tokenizer: Any) -> dict[str, int]:
        """Count the beginning-of-sequence tokens that both finished prompts start with, by the half that reads them."""
        texts = {
            "verbalizer": self.prompts.verbalizer_text(tokenizer),
            "reconstructor": self.prompts.reconstructor_text("text"),
        }
        return {
            which: beginnings(tokenizer, encode_once(tokenizer, text)["input_ids"]) for which, text in texts.items()
        }

    def verify_target(self, target: HasShape) -> None:
        """Check the target's width, depth and weights against what the card records; differences are named together."""
        pairs = {
            "d_model": (self.target.d_model, target.d_model),
            "n_layers": (self.target.n_layers, target.n_layers),
            "fingerprint": (self.target.fingerprint, target.fingerprint),
        }
        differences = [
            f"{key} {card!r} on the card, {live!r} live"
            for key, (card, live) in pairs.items()
            if card not in (None, live)
        ]
        if differences:
            raise CardError(
                f"target {target.name!r} is not the one the pair {self.name!r} was trained on: {'; '.join(differences)}."
            )


def _load_stats(folder: Path, content: dict[str, Any]) -> VectorStats | None:
    """Take the variance out of a card's content and read the mean beside it; ``None`` where a pair made elsewhere has none."""
    variance = content.pop("variance", None)
    if variance is None and content.get("source"):
        return None
    if not isinstance(variance, float) or not 0 < variance <= 1:
        raise CardError(f"{folder / CARD_FILE} has variance {variance!r}; a number above 0 and at most 1 was expected.")
    return VectorStats(_load_mean(folder / STATS_FILE), variance)


def _load_mean(path: Path) -> torch.Tensor:
    """Read the mean direction; raises ``CardError`` when the file is missing, damaged or not finite."""
    try:
        mean_D = load_tensors(path.read_bytes())["mean"]
    except (OSError, SafetensorError, KeyError) as error:
        raise CardError(f"{path} with the mean direction cannot be read: {type(error).__name__}: {error}") from error
    if mean_D.ndim != 1 or not bool(torch.isfinite(mean_D).all()):
        raise CardError(f"{path} has a mean of shape {tuple(mean_D.shape)} or with values that are not finite.")
    return mean_D.float()
