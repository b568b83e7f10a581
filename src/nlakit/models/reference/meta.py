"""The side file ``nla_meta.yaml``: what a released checkpoint or data set says about itself.

Both spellings of the two roles are read (``av``/``ar`` and ``actor``/``critic``), and only the first is
written. What nlakit has no use for is kept in ``carried`` and written back as it came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nlakit.errors import CardError

META_FILE = "nla_meta.yaml"
SCHEMA_VERSIONS = (1, 2)
ROLES = {"av": "av", "actor": "av", "ar": "ar", "critic": "ar"}
MARKER_FIELD, EXPLANATION_FIELD = "injection_char", "explanation"
SQRT_D = "sqrt_d_model"
"""A scale may be spelt so; it means the square root of the width."""

Role = Literal["av", "ar"]


class MarkerTokens(BaseModel):
    """The marker and what stands beside it; a community file may leave the neighbours out."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True, strict=True)

    injection_char: str
    """The marker as text."""
    injection_token_id: int
    """Its token."""
    injection_left_neighbor_id: int | None = None
    """Token before it in the finished prompt."""
    injection_right_neighbor_id: int | None = None
    """Token after it."""
    critic_suffix_ids: list[int] | None = None
    """Last tokens of the finished reconstructor prompt, whatever the explanation."""


class SideFile(BaseModel):
    """One side file in one spelling; ``None`` where it says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, strict=True)

    kind: Literal["nla_model", "nla_dataset"]
    schema_version: int | None = None
    role: Role | None = None
    """``None`` in data sets, and where the community leaves it out."""
    d_model: int = Field(ge=1)
    """Width of the vectors."""
    base_checkpoint: str | None = None
    """The target model."""
    layer: int | None = Field(default=None, ge=0)
    """K: vectors are the output of block K, counted from 0."""
    injection_scale: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """L2 norm that a vector is set to before injection."""
    injection: str | None = Field(default=None, pattern=r"^(embedding|resid\.\d{1,4})$")
    """Where nlakit wrote that the vector goes in (see :class:`~nlakit.card.Card`); other writers say nothing."""
    mse_scale: float | None = None
    """Norm at which vectors are compared."""
    tokens: MarkerTokens | None = None
    verbalizer: str | None = None
    """User message with ``{marker}``."""
    reconstructor: str | None = None
    """Raw text with ``{explanation}``."""
    carried: dict[str, Any] = {}
    """Everything else, by its key."""

    @classmethod
    def parse(cls, content: Mapping[str, Any], where: str | Path) -> SideFile:
        """Read a side file's content; raises ``CardError`` with all faults together, naming ``where``."""
        rest = dict(content)
        faults: list[str] = []
        extraction = _mapping(rest.pop("extraction", None), "extraction", faults)
        templates = _mapping(rest.pop("prompt_templates", None), "prompt_templates", faults)
        d_model = _one(faults, "d_model", rest.pop("d_model", None), extraction.pop("d_model", None))
        found = {
            "kind": rest.pop("kind", None),
            "schema_version": rest.pop("schema_version", None),
            "role": ROLES.get(str(role)) if (role := rest.pop("role", None)) is not None else None,
            "d_model": d_model,
            "base_checkpoint": _one(
                faults, "base_checkpoint", rest.pop("base_checkpoint", None), extraction.pop("base_model", None)
            ),
            "layer": _layer(rest, extraction, faults),
            "injection_scale": _scale(extraction.pop("injection_scale", None), d_model),
            "injection": extraction.pop("injection", None),
            "mse_scale": _mse_scale(extraction, d_model, faults),
            "tokens": rest.pop("tokens", None),
            "verbalizer": _template(_either(templates, "av", "actor"), MARKER_FIELD, "marker", faults),
            "reconstructor": _template(
                _either(templates, "ar", "critic"), EXPLANATION_FIELD, EXPLANATION_FIELD, faults
            ),
        }
        if role is not None and found["role"] is None:
            faults.append(f"role is {role!r}, one of {', '.join(ROLES)} was expected")
        version = found["schema_version"]
        if version is not None and version not in SCHEMA_VERSIONS:
            faults.append(f"schema_version is {version!r}, and versions 1 and 2 are known")
        if extraction.get("norm") not in (None, "none"):
            faults.append(
                f"extraction.norm is {extraction['norm']!r}: its vectors are not raw, which nlakit cannot represent"
            )
        carried = {**rest, **({"extraction": extraction} if extraction else {})}
        try:
            side = cls.model_validate({**found, "carried": carried})
        except ValidationError as error:
            faults += [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        if faults:
            raise CardError(f"{where} cannot be used: {'; '.join(faults)}.")
        return side

    @classmethod
    def load(cls, path: Path) -> SideFile:
        """Read a side file from the disk; raises ``CardError`` when it is missing, no YAML mapping, or cannot be used."""
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise CardError(
                f"there is no {path.name} in {path.parent}; it says how what it belongs to is to be used."
            ) from error
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise CardError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}.") from error
        if not isinstance(content, dict):
            raise CardError(f"{path} holds {type(content).__name__}, a mapping was expected.")
        return cls.parse(content, path)

    def content(self) -> dict[str, Any]:
        """Return the mapping to write, in the current spelling."""
        dataset = self.kind == "nla_dataset"
        carried = {key: value for key, value in self.carried.items() if key != "extraction"}
        extraction: dict[str, Any] = dict(self.carried.get("extraction", {}))
        if dataset:
            extraction |= {"base_model": self.base_checkpoint, "d_model": self.d_model, "layer_index": self.layer}
        else:
            extraction |= {"injection_scale": self.injection_scale, "mse_scale": self.mse_scale}
        if self.injection is not None:
            extraction["injection"] = self.injection
        head: dict[str, Any] = {"kind": self.kind, "schema_version": SCHEMA_VERSIONS[-1]}
        if not dataset:
            head |= {"role": self.role, "d_model": self.d_model, "base_checkpoint": self.base_checkpoint}
            head |= {"extraction_layer_index": self.layer}
        head["extraction"] = extraction
        head["tokens"] = None if self.tokens is None else self.tokens.model_dump()
        head["prompt_templates"] = {
            "av": None if self.verbalizer is None else braced(self.verbalizer, "marker", MARKER_FIELD),
            "ar": None
            if self.reconstructor is None
            else braced(self.reconstructor, EXPLANATION_FIELD, EXPLANATION_FIELD),
        }
        if self.role == "ar":
            head["ar"] = {"num_hidden_layers": self.layer}
        return {**head, **carried}

    def to_yaml(self) -> str:
        """Return the file's text."""
        return yaml.safe_dump(self.content(), sort_keys=False, allow_unicode=True, width=10_000)


def agree(sides: Sequence[tuple[str, SideFile]]) -> None:
    """Raise ``CardError`` naming every field in which two side files that belong together differ."""
    (first_name, first), (second_name, second) = sides
    fields = ("d_model", "base_checkpoint", "layer", "verbalizer", "reconstructor")
    values = {name: (getattr(first, name), getattr(second, name)) for name in fields}
    if first.tokens is not None and second.tokens is not None:
        for name in (
            "injection_char",
            "injection_token_id",
            "injection_left_neighbor_id",
            "injection_right_neighbor_id",
        ):
            values[f"tokens.{name}"] = (getattr(first.tokens, name), getattr(second.tokens, name))
    differing = [
        f"{name} is {a!r:.60} in {first_name} and {b!r:.60} in {second_name}"
        for name, (a, b) in values.items()
        if a is not None and b is not None and a != b
    ]
    if differing:
        raise CardError(f"the two halves do not belong together: {'; '.join(differing)}.")


def braced(text: str, ours: str, theirs: str) -> str:
    """Write a template with ``{ours}`` as one for ``str.format`` with ``{theirs}``."""
    parts = text.split(f"{{{ours}}}")
    return f"{{{theirs}}}".join(part.replace("{", "{{").replace("}", "}}") for part in parts)


def _template(text: Any, theirs: str, ours: str, faults: list[str]) -> Any:
    """Turn a template for ``str.format`` with ``{theirs}`` into plain text with ``{ours}``."""
    if not isinstance(text, str):
        return text
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        faults.append(f"the template with {{{theirs}}} is no format string: {error}")
        return None
    names = [name for _, name, _, _ in parts if name is not None]
    if names != [theirs]:
        faults.append(f"a template has the fields {names}, exactly one {{{theirs}}} was expected")
        return None
    return "".join(literal + ("" if name is None else f"{{{ours}}}") for literal, name, _, _ in parts)


def _layer(rest: dict[str, Any], extraction: dict[str, Any], faults: list[str]) -> Any:
    """Take K out of whichever of its spellings is there; all that are there must agree."""
    found = [rest.pop("extraction_layer_index", None), extraction.pop("layer_index", None)]
    for role in ("ar", "critic"):
        part = rest.pop(role, None)
        if isinstance(part, dict):
            found += [part.pop(key, None) for key in ("extraction_layer_index", "num_hidden_layers")]
        if part:
            rest[role] = part
    return _one(faults, "the layer", *found)


def _one(faults: list[str], name: str, *values: Any) -> Any:
    """Return the one value that is there; several that differ are a fault."""
    known = [value for value in values if value is not None]
    if any(value != known[0] for value in known):
        faults.append(f"{name} is given as {' and as '.join(map(repr, known))}")
    return known[0] if known else None


def _scale(value: Any, d_model: Any) -> Any:
    """Return a scale as a number; ``sqrt_d_model`` is one, and "raw" means none."""
    if value in ("raw", "none"):
        return None
    if value == SQRT_D and isinstance(d_model, int):
        return math.sqrt(d_model)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _mse_scale(extraction: dict[str, Any], d_model: Any, faults: list[str]) -> Any:
    """Check that vectors are compared by direction, each at norm sqrt(d): that makes the mean squared error 2(1 - cos)."""
    if "mse_scale" not in extraction or not isinstance(d_model, int):
        return None
    value = _scale(given := extraction.pop("mse_scale"), d_model)
    if not isinstance(value, float) or not math.isclose(value, math.sqrt(d_model), rel_tol=0.01):
        faults.append(
            f"extraction.mse_scale is {given!r}, and the error that nlakit computes, 2(1 - cos), needs the square root of "
            f"d_model ({math.sqrt(d_model):.4g})"
        )
        return None
    return value


def _mapping(value: Any, name: str, faults: list[str]) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        faults.append(f"{name} holds {type(value).__name__}, a mapping was expected")
    return dict(value) if isinstance(value, dict) else {}


def _either(table: Mapping[str, Any], *names: str) -> Any:
    return next((table[name] for name in names if table.get(name) is not None), None)
