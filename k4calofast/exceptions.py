"""What can go wrong for a user, a class per failure; each carries one clear sentence."""

from __future__ import annotations

from importlib.util import find_spec


class K4CaloFastError(Exception):
    """Base of all errors that are the input's, not the program's."""


class UnknownDetectorError(K4CaloFastError):
    """There is no detector of that name."""


class FileFormatError(K4CaloFastError):
    """A file is missing, is not what it should be, or is damaged."""


class MissingCollectionError(K4CaloFastError):
    """A file or an event lacks a collection that is needed."""


class InvalidEventError(K4CaloFastError):
    """An event's content makes no sense: no header, NaN momenta, broken relations."""


class OutputError(K4CaloFastError):
    """The output cannot be written."""


class ModelError(K4CaloFastError):
    """A model folder is incomplete, contradicts its card, or cannot be run."""


class FetchError(K4CaloFastError):
    """A model cannot be fetched: no connection, no such file, or not the one in the index."""


class NotSimulatedWarning(UserWarning):
    """Particles were handed on: no model that was asked simulates them."""


class OutOfDomainError(K4CaloFastError):
    """A particle is outside the model's domain and the steering says to fail."""


class SteeringError(K4CaloFastError):
    """A steering file or a command line asks for something that does not exist."""


class MissingExtraError(K4CaloFastError):
    """An optional package is needed; the message names the extra to install."""


class FullSimulationError(K4CaloFastError):
    """Geant4 cannot run here, or a worker failed."""


class TrainingError(K4CaloFastError):
    """A generator cannot be trained on this sample, or with these settings."""


def install(extra: str) -> str:
    """Command that installs the packages of an extra of this package."""
    return f"pip install 'k4calofast[{extra}]'"


def require(extra: str, what: str, *modules: str) -> None:
    """Make sure that modules of an extra are there, without importing them.

    Parameters
    ----------
    extra
        Name of the extra in pyproject.toml.
    what
        What the modules are for, in words that begin a sentence.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(f"{what} needs {install(extra)}: there is no {module} here")
