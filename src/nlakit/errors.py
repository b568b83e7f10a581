"""Everything nlakit raises on purpose.

::

    NlakitError
    ├── UserError                     the caller can mend it: message only, exit 2
    │   ├── ConfigError               (ValueError)       a recipe or an option is wrong
    │   ├── InputError                (ValueError)       text, positions, vectors or explanations cannot be used
    │   ├── ModelError                (ValueError)       a target model cannot be loaded or read
    │   │   └── UnreachableError                         the Hub gives no answer, and nothing of it was kept
    │   ├── CardError                 (ValueError)       a card is missing, damaged, or disagrees with its model
    │   ├── PairError                 (ValueError)       a folder is no pair
    │   ├── StoreError                (ValueError)       a store cannot be opened, read or extended
    │   │   └── DamagedShardError                        a shard's bytes are not the ones that were written
    │   ├── RunError                  (ValueError)       a run folder is in use, differs, or lacks a stage
    │   ├── PublishError              (PermissionError)  what would be published may not leave, or the Hub refuses it
    │   ├── EndpointError             (ConnectionError)  an endpoint refuses the key or the request, or gives no answer
    │   ├── SpendingError             (RuntimeError)     a cost was not approved, or its cap is reached
    │   ├── BusyError                 (RuntimeError)     a server has more to do than it can take on
    │   ├── UnavailableError          (RuntimeError)     a server was asked for a part that it does not have
    │   ├── StorageFullError          (OSError)          the disk is full
    │   ├── DeviceMemoryError         (MemoryError)      not even the smallest piece of work fits into memory
    │   ├── MissingExtraError         (ImportError)      an optional package is not installed
    │   ├── NotFoundError             (LookupError)      no plugin, recipe or pair has this name
    │   └── DivergedError             (ArithmeticError)  training made numbers that are not finite
    └── InternalError                 (RuntimeError)     our fault: traceback, exit 1

Each class is also the standard type that a caller who knows nothing of nlakit would catch. A message
says what came, what was expected and what to do, with the value, the file and the option.

To add a class: derive it here, extend the tree, give it one sentence, and keep ``__init__`` to a
single message so that it can be pickled (worker processes send errors that way); the module's test
checks all three.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NlakitError(Exception):
    """Base of everything nlakit raises on purpose."""


class UserError(NlakitError):
    """The caller can mend it; commands print the message alone and exit with 2."""


class ConfigError(UserError, ValueError):
    """A recipe or an option has a wrong name or value; all problems found are in one message."""


class InputError(UserError, ValueError):
    """Text, positions, vectors or explanations cannot be used as they came."""


class ModelError(UserError, ValueError):
    """A target model cannot be loaded, or its inside cannot be found."""


class UnreachableError(ModelError):
    """The Hugging Face Hub gives no answer, and what is wanted of it was not kept from an earlier time."""


class CardError(UserError, ValueError):
    """A card is missing, damaged, or disagrees with the live tokenizer or model."""


class PairError(UserError, ValueError):
    """A folder does not hold a verbalizer-reconstructor pair."""


class StoreError(UserError, ValueError):
    """A store of rows cannot be opened, read or extended."""


class DamagedShardError(StoreError):
    """A shard's bytes are not the ones that were written."""


class RunError(UserError, ValueError):
    """A run folder is in use, was made with other settings, or lacks an earlier stage."""


class PublishError(UserError, PermissionError):
    """What would be published may not leave this machine, nobody approved it, or the Hub refuses it; nothing was published."""


class EndpointError(UserError, ConnectionError):
    """An endpoint refuses the key or the request, or gives no answer; what it answered before is kept."""


class SpendingError(UserError, RuntimeError):
    """What a teacher would cost was not approved, or the cap on it is reached; what was paid for is kept."""


class BusyError(UserError, RuntimeError):
    """A server has more to do than it can take on; ask again later."""


class UnavailableError(UserError, RuntimeError):
    """What was asked for needs a part that this pair, or this server, does not have."""


class StorageFullError(UserError, OSError):
    """The disk is full; what was there before is untouched."""


class DeviceMemoryError(UserError, MemoryError):
    """Not even the smallest piece of work fits into the memory that is free."""


class MissingExtraError(UserError, ImportError):
    """An optional package is needed and not installed; the message has the pip command."""


class NotFoundError(UserError, LookupError):
    """No plugin, recipe or pair has this name; the message has the nearest ones."""


class DivergedError(UserError, ArithmeticError):
    """Training produced numbers that are not finite."""


class InternalError(NlakitError, RuntimeError):
    """nlakit broke a promise of its own: a bug, shown with its traceback."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name closest to ``name``, or an empty string."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]!r}?" if found else ""


def not_found(kind: str, name: str, known: Iterable[str]) -> NotFoundError:
    """Build the error for a name that is not among the known ones.

    ``kind`` is a noun such as ``"recipe"``; the message lists every known name, the nearest first.
    """
    listed = sorted(known)
    choices = ", ".join(listed) if listed else "none is installed"
    return NotFoundError(f"there is no {kind} named {name!r}.{nearest(name, listed)} Known: {choices}.")


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    """Build the error for an optional package: which one, what for, and the command that installs it."""
    return MissingExtraError(f"{purpose} needs the package {package!r}. Install it with: pip install 'nlakit[{extra}]'")
