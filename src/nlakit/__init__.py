"""nlakit: a language model's activations put into words, and the words checked.

``Pair`` and ``Reading`` are loaded on first use, so that ``import nlakit`` stays free of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlakit.models.pair import Pair
    from nlakit.models.readings import Reading

    __version__: str

__all__ = ["Pair", "Reading", "__version__"]


def __getattr__(name: str) -> object:
    """Import the heavy public names when they are first asked for."""
    if name == "Pair":
        from nlakit.models.pair import Pair

        return Pair
    if name == "Reading":
        from nlakit.models.readings import Reading

        return Reading
    if name == "__version__":
        from importlib.metadata import version

        return version("nlakit")
    raise AttributeError(f"module 'nlakit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, the lazy ones included."""
    return sorted(__all__)
