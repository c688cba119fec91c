"""Classifies the exception that ended a trial as a `FailReason`.

Needs no TensorFlow: exceptions of libraries are known by the name of their class and by their text.
"""

from typing import NamedTuple

from greenopt.errors import GreenoptError
from greenopt.events import FailReason

_OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "oom when allocating",
    "failed to allocate memory",
    "cuda_error_out_of_memory",
    "status_alloc_failed",
    "resource_exhausted",
    "unable to allocate",
)
_MESSAGE_LENGTH = 300


class DataMissingError(GreenoptError):
    """The images of the study are not there; the text says where to put them."""


class WrongSettingError(GreenoptError):
    """The setting, the model or the data cannot be used together; the text says why."""


class CallbackError(GreenoptError):
    """A Keras callback of the user's own raised an exception; the text names it."""


class DivergedError(GreenoptError):
    """The training of a function of the user's has diverged; the text says by what."""


class GpuBusyError(GreenoptError):
    """Another process computes on the trial's GPU; the text says which."""


class Failure(NamedTuple):
    """A reason, and one line for the user."""

    reason: FailReason
    message: str


def classify_failure(error: BaseException) -> Failure:
    """Return the reason and a one-line message for an exception.

    Returns:
        The reason with the first line of the exception's text.
    """
    message = first_line(error)[:_MESSAGE_LENGTH]
    if isinstance(error, DataMissingError):
        return Failure(FailReason.DATA_MISSING, message)
    if isinstance(error, WrongSettingError):
        return Failure(FailReason.WRONG_SETTING, message)
    if isinstance(error, GpuBusyError):
        return Failure(FailReason.GPU_BUSY, message)
    if isinstance(error, CallbackError):
        cause = error.__cause__ or error
        return Failure(FailReason.OUT_OF_MEMORY if _is_out_of_memory(cause) else FailReason.CRASH, message)
    if isinstance(error, KeyboardInterrupt):
        return Failure(FailReason.INTERRUPTED, "interrupted")
    name = type(error).__name__
    if _is_out_of_memory(error):
        return Failure(FailReason.OUT_OF_MEMORY, f"{name}: {message}")
    return Failure(FailReason.CRASH, f"{name}: {message}")


def _is_out_of_memory(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).lower()
    return bool(names & {"MemoryError", "ResourceExhaustedError"}) or any(part in text for part in _OUT_OF_MEMORY_TEXTS)


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text that says something; its type's name where none does."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
