"""The parts of a pair's folder, each loaded as the card says."""

from __future__ import annotations

from pathlib import Path

from nlakit.card import Card
from nlakit.config import AUTO
from nlakit.models.loading import DeviceMap
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.models.verbalizer import ADAPTER, Verbalizer

VERBALIZER, RECONSTRUCTOR = "verbalizer", "reconstructor"
TAUGHT = "taught"
"""Name of the adapter of a verbalizer from before reinforcement learning, beside that of the finished one."""


def moved_target(card: Card, folder: Path) -> Path | None:
    """Return the target that the pair's run has grown, when it is no longer where the card says; None for any other."""
    if not Path(card.target.model).is_absolute() or Path(card.target.model).is_dir():
        return None
    return next((place for parent in folder.parents[:2] if (place := parent / "grow" / "target").is_dir()), None)


def load_target_of(
    card: Card, target: str | Path | None = None, device: str = AUTO, device_map: DeviceMap = None
) -> Target:
    """Load the target that a card names, or the one that lies elsewhere now."""
    known = card.target
    return Target.load(known.model if target is None else target, known.revision, known.dtype, device, device_map)


def load_verbalizer_of(
    card: Card,
    folder: Path,
    device: str = AUTO,
    device_map: DeviceMap = None,
    base: Target | None = None,
    adapter: str = ADAPTER,
) -> Verbalizer:
    """Load the verbalizer of a pair's folder as its card says; an adapter needs ``base``, and gets a name there."""
    return Verbalizer.load(
        folder / VERBALIZER,
        card.prompts,
        injection_scale=card.injection_scale,
        max_new_tokens=card.max_new_tokens,
        injection=card.injection,
        device=device,
        device_map=device_map,
        base=base,
        adapter=adapter,
    )


def load_reconstructor_of(
    card: Card, folder: Path, device: str = AUTO, device_map: DeviceMap = None, base: Target | None = None
) -> Reconstructor:
    """Load the reconstructor of a pair's folder as its card says; an adapter needs ``base``."""
    site = Site.parse(card.site)
    return Reconstructor.load(
        folder / RECONSTRUCTOR, card.prompts, device=device, device_map=device_map, base=base, site=site
    )
