"""The model under a pair: whether others can load it, and which licence it comes under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nlakit import plugins
from nlakit.card import Card, TargetRecord
from nlakit.errors import PublishError, UnreachableError
from nlakit.models.hub import REPOSITORY, Repository, download, look_up
from nlakit.models.locate import split_revision
from nlakit.models.reconstructor import read_config

LICENCE_FIELDS = ("license", "license_name", "license_link")
"""What a model card on the Hub declares of a licence."""


@dataclass(frozen=True, slots=True)
class Base:
    """What a model card says of the target beside what the pair's own card records."""

    on_hub: bool = False
    """Whether it is a repository of the Hugging Face Hub."""
    package: str | None = None
    """The package that installs it, if one does."""
    licence: Mapping[str, str] = field(default_factory=dict)
    """Fields of a model card that name its licence; empty where nobody says."""
    said_by: str = ""
    """Who names the licence."""
    remarks: tuple[str, ...] = ()
    """What whoever publishes should know."""


def published_target(card: Card, given: str | None) -> TargetRecord:
    """Return the target as others can load it: the one on the card, or the one ``given`` as ``owner/name[@revision]``.

    Raises ``PublishError`` for a target that only this machine has.
    """
    known = card.target
    if given is not None:
        name, revision = split_revision(given, None)
        if not REPOSITORY.fullmatch(str(name)):
            raise PublishError(
                f"--target {given!r} is no repository of the Hugging Face Hub; give it as owner/name[@revision]."
            )
        return known.model_copy(update={"model": str(name), "revision": revision})
    if known.model in plugins.names(plugins.MODELS) or REPOSITORY.fullmatch(known.model):
        return known
    raise PublishError(
        f"the pair {card.name!r} reads the target {known.model!r}, which only this machine has, so nobody else could load it; "
        "publish the target first, and name it with --target OWNER/NAME (in Python, target=)."
    )


def find_base(target: TargetRecord, licence: str | None) -> Base:
    """Look up where a target comes from and its licence, on the Hub or in the package that installs it.

    ``licence`` is the identifier that whoever publishes gives, and then nobody else is asked for it. Raises ``PublishError``
    when there is no such repository, or one with a model of another shape.
    """
    if target.model in plugins.names(plugins.MODELS):
        package, declared = plugins.package(plugins.MODELS, target.model)
        base = Base(False, package, _declared({"license": declared}), f"the package {package}")
    else:
        base = _on_hub(target)
    if licence is not None:
        return Base(
            base.on_hub, base.package, {"license": licence.lower()}, "whoever published this pair", base.remarks
        )
    if not base.licence:
        remark = f"the licence of {target.model} is not known here: look it up, and give it with --license"
        return Base(base.on_hub, base.package, {}, "", (*base.remarks, remark))
    return base


def _on_hub(target: TargetRecord) -> Base:
    """Ask the Hub for the target's repository; without a network, nothing is known of it."""
    try:
        repository = look_up(target.model, target.revision)
        if repository is not None:
            _require_same_shape(repository, target)
    except UnreachableError:
        return Base(True, remarks=(f"the Hub was not reached, so {target.model} was not looked up",))
    if repository is None:
        raise PublishError(
            f"there is no repository {target.model!r} on the Hugging Face Hub that you may read, and the pair reads that model; "
            "name the right one with --target OWNER/NAME."
        )
    remarks = (f"{target.model} is private: others cannot load it",) if repository.private else ()
    return Base(True, None, _declared(repository.metadata or {}), f"the model card of {target.model}", remarks)


def _require_same_shape(repository: Repository, target: TargetRecord) -> None:
    """Compare width and depth in the repository's configuration with the card's, which costs no weights."""
    if "config.json" not in repository.sizes:
        raise PublishError(f"the repository {repository.name!r} holds no model: it has no config.json.")
    config = read_config(download(repository, ["config.json"]).folder).get_text_config()
    found, known = (
        (config.hidden_size, config.num_hidden_layers),
        (target.d_model, target.n_layers or config.num_hidden_layers),
    )
    if found != known:
        raise PublishError(
            f"{repository.name!r} is {found[0]} wide with {found[1]} blocks, and the pair reads a model that is {known[0]} wide "
            f"with {known[1]}; name the right one with --target OWNER/NAME."
        )


def _declared(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields that name a licence, as a model card spells them; empty for "unknown", which names none."""
    found = {key: str(metadata[key]) for key in LICENCE_FIELDS if metadata.get(key)}
    if "license" not in found or found["license"].lower() == "unknown":
        return {}
    return {**found, "license": found["license"].lower()}
