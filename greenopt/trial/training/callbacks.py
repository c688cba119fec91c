"""Keras callbacks of the user's own: made, called as Keras calls them, and held responsible for their errors.

Invariants: their hooks are called at the places of Keras's `fit`, of the batch hooks those of a `fit` with
`steps_per_execution`; what they cost lies inside the epoch that they are called in; a training without callbacks makes
no call more than it would.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from greenopt.trial.failures import CallbackError, WrongSettingError
from greenopt.trial.reference import resolve_function

_KEY = "training.callbacks"
_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
_LEARNING_RATE_DIGITS = 1e-6

Logs = dict[str, float]


class _Named(NamedTuple):
    reference: str
    callback: Any


class Callbacks:
    """The callbacks of one training, in the order of the study file. Used by one thread."""

    def __init__(self, named: Sequence[tuple[str, Any]] = ()) -> None:
        """Take callbacks, each with what the study calls it."""
        self._named = [_Named(*each) for each in named]
        self._model: Any = None
        self._optimizer: Any = None
        self.stopped_by: str | None = None
        """What the study calls the callback that ended the training; None where none has."""
        self.wants_batches = any(
            getattr(type(callback), hook) is not getattr(keras.callbacks.Callback, hook)
            for _, callback in self._named
            for hook in _BATCH_HOOKS
        )
        """Whether any of them has a batch hook; only then is a block waited for."""

    def __bool__(self) -> bool:
        return bool(self._named)

    def bind(self, model: keras.Model, epochs: int, steps: int) -> None:
        """Give the callbacks their model and `params`: `epochs`, `steps` of an epoch, `verbose` 0."""
        self._model, self._optimizer = model, model.optimizer
        for reference, callback in self._named:
            self._call(reference, callback, "set_params", {"verbose": 0, "epochs": epochs, "steps": steps})
            self._call(reference, callback, "set_model", model)
        if self._named:
            model.stop_training = False

    @property
    def is_stopping(self) -> bool:
        """Whether one of them has set `model.stop_training`."""
        return bool(self._named) and bool(self._model.stop_training)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of all callbacks, with its arguments.

        Raises:
            CallbackError: one of them raised; the text names it and the hook.
            WrongSettingError: one of them changed the learning rate.
        """
        for reference, callback in self._named:
            rate = self._learning_rate()
            self._call(reference, callback, hook, *arguments)
            if not math.isclose(self._learning_rate(), rate, rel_tol=_LEARNING_RATE_DIGITS):
                raise WrongSettingError(
                    f"{_KEY}: {reference}: changed the learning rate in {hook}, which the setting's lr and "
                    "lr_schedule decide; leave it out"
                )
            if self._model.optimizer is not self._optimizer:
                raise WrongSettingError(f"{_KEY}: {reference}: compiled the model anew in {hook}; leave it out")
            if self.stopped_by is None and self.is_stopping:
                self.stopped_by = reference

    def begin_block(self, step: int) -> None:
        """Call `on_train_batch_begin`; `step` is the first one of a block, from 0."""
        self.call("on_train_batch_begin", step)

    def end_block(self, step: int, loss: float, accuracy: float) -> bool:
        """Call `on_train_batch_end`; `step` is the last one of a block; return whether the training ends."""
        self.call("on_train_batch_end", step, {"accuracy": accuracy, "loss": loss})
        return self.is_stopping

    def _call(self, reference: str, callback: Any, hook: str, *arguments: Any) -> None:
        try:
            getattr(callback, hook)(*arguments)
        except (Exception, SystemExit) as error:
            text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
            raise CallbackError(f"{_KEY}: {reference}: {hook}: {type(error).__name__}: {text}".rstrip(": ")) from error

    def _learning_rate(self) -> float:
        optimizer = getattr(self._optimizer, "inner_optimizer", self._optimizer)
        return float(optimizer.learning_rate)


def build_callbacks(references: Sequence[str]) -> Callbacks:
    """Make the callbacks that a study names, each by calling `module:make` without arguments.

    Raises:
        WrongSettingError: there is no such function, or it made something else.
        CallbackError: it raised.
    """
    found: list[tuple[str, Any]] = []
    for reference in references:
        make = resolve_function(reference, _KEY)
        try:
            made = make()
        except (Exception, SystemExit) as error:
            raise CallbackError(f"{_KEY}: {reference}: {type(error).__name__}: {error}") from error
        for callback in made if isinstance(made, list | tuple) else [made]:
            if not isinstance(callback, keras.callbacks.Callback):
                raise WrongSettingError(
                    f"{_KEY}: {reference} returned {_kind(callback)}, not a keras.callbacks.Callback or a list of them"
                )
            is_one = not isinstance(made, list | tuple)
            found.append((reference if is_one else f"{reference} ({type(callback).__name__})", callback))
    return Callbacks(found)


def logs_of(train: Any, validation: Any | None = None) -> Logs:
    """Return the figures of an epoch under Keras's names."""
    logs = {"accuracy": float(train.accuracy), "loss": float(train.loss)}
    if validation is not None:
        logs |= {"val_accuracy": float(validation.accuracy), "val_loss": float(validation.loss)}
    return logs


def _kind(callback: object) -> str:
    return f"the class {callback.__name__}" if isinstance(callback, type) else f"a {type(callback).__name__}"
