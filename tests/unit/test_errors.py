"""Tests of nlakit.errors."""

from __future__ import annotations

import inspect
import pickle

import pytest

from nlakit import errors

CLASSES = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, errors.NlakitError)]


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_every_error_survives_pickling(error: type[errors.NlakitError]) -> None:
    """An error that a worker process sends arrives with its class and message."""
    received = pickle.loads(pickle.dumps(error("what came, what to do")))  # noqa: S301 - pickled two calls ago

    assert error is type(received)
    assert str(received) == "what came, what to do"


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_the_tree_at_the_top_names_every_class(error: type[errors.NlakitError]) -> None:
    """A reader finds every class in the module's drawing, and in one sentence of its own."""
    assert error.__name__ in (errors.__doc__ or "")
    assert (error.__doc__ or "").rstrip().endswith(".")


@pytest.mark.parametrize(
    ("error", "standard"),
    [
        (errors.ConfigError, ValueError),
        (errors.InputError, ValueError),
        (errors.ModelError, ValueError),
        (errors.UnreachableError, errors.ModelError),
        (errors.CardError, ValueError),
        (errors.PairError, ValueError),
        (errors.StoreError, ValueError),
        (errors.DamagedShardError, errors.StoreError),
        (errors.RunError, ValueError),
        (errors.PublishError, PermissionError),
        (errors.EndpointError, ConnectionError),
        (errors.SpendingError, RuntimeError),
        (errors.StorageFullError, OSError),
        (errors.MissingExtraError, ImportError),
        (errors.NotFoundError, LookupError),
        (errors.DivergedError, ArithmeticError),
        (errors.InternalError, RuntimeError),
    ],
)
def test_each_error_is_the_standard_one_a_caller_expects(error: type[Exception], standard: type[Exception]) -> None:
    """Code that knows nothing of nlakit catches the standard type."""
    assert issubclass(error, standard)


def test_our_own_faults_are_not_the_users() -> None:
    """An InternalError is never shown as something the user can mend."""
    assert not issubclass(errors.InternalError, errors.UserError)


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    """A misspelt name is answered with the one that was probably meant, and with all that there are."""
    error = errors.not_found("recipe", "terarium-quick", ["terrarium-full", "terrarium-quick"])

    assert "there is no recipe named 'terarium-quick'. Did you mean 'terrarium-quick'?" in str(error)
    assert "terrarium-full" in str(error)


def test_an_unknown_name_without_any_known_one_says_so() -> None:
    """With nothing installed the message does not suggest anything."""
    assert "none is installed" in str(errors.not_found("teacher", "x", []))


def test_a_missing_extra_names_the_pip_command() -> None:
    """The message holds the command that installs what is missing."""
    assert "pip install 'nlakit[eval]'" in str(errors.missing_extra("matplotlib", "eval", "the report"))
