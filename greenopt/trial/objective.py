"""Trains by a function of the user's, with the same meter, events and records as greenopt's own training.

The function takes one argument, a `Trial`, and returns its validation accuracy, or a mapping with `accuracy` and, if it
has one, `test_accuracy`. Imports no framework.
"""

import importlib
import math
import platform
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from greenopt.events import Phase
from greenopt.spec import TrialSpec, Value
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.journal import Journal

_RESULTS = ("accuracy", "test_accuracy")


class _Figures(NamedTuple):
    loss: float
    accuracy: float


class Trial:
    """What a function is given: the setting that the sampler chose, and a way to say how far it is.

    Attributes:
        params: value by parameter, as in the study's `[space]`.
        epochs: `training.epochs` of the study, 1 unless given.
        seed: the trial's seed; equal for equal settings unless the study replicates them.
    """

    def __init__(self, spec: TrialSpec, journal: Journal) -> None:
        self.params: dict[str, Value] = dict(spec.parameters)
        self.epochs = spec.training.epochs
        self.seed = spec.training_seed
        self._journal = journal
        self._has_begun = False
        self._epochs_done = 0

    def begin(self) -> None:
        """The training begins now: what was done before (data, model, compilation) counts as set-up.

        Without this call it begins where the function does.

        Raises:
            RuntimeError: it has begun already.
        """
        if self._has_begun:
            raise RuntimeError("Trial.begin was called twice, or after the first epoch")
        self._journal.end_phase(Phase.BUILD)
        self._open()

    def end_epoch(
        self,
        accuracy: float | None = None,
        *,
        loss: float | None = None,
        train_accuracy: float | None = None,
        validation_loss: float | None = None,
        lr: float | None = None,
    ) -> None:
        """An epoch, its validation included, is over. What comes after the last one is not in `energy_wh`.

        Args:
            accuracy: validation accuracy after it.
            loss: mean training loss; one that is not finite is recorded as missing.
            train_accuracy: on the training images, as trained.
            validation_loss: mean loss on the validation part.
            lr: learning rate at its end.
        """
        if not self._has_begun:
            self._open()
        self._epochs_done += 1
        train, validation = _figures(loss, train_accuracy), _figures(validation_loss, accuracy)
        self._journal.end_epoch(self._epochs_done, max(self.epochs, self._epochs_done), train, validation, lr)

    def _open(self) -> None:
        self._has_begun = True
        self._journal.begin_training(1, {}, {"python": platform.python_version()})

    def _close(self, accuracy: float) -> None:
        """The function has returned; one that told of no epoch had one."""
        if self._epochs_done == 0:
            self.end_epoch(accuracy)
        self._journal.end_training()


def run_objective(spec: TrialSpec, journal: Journal) -> None:
    """Call the study's function and say all that happens; the last word is said unless an exception is raised.

    Raises:
        WrongSettingError: there is no such function, or it returned something else than accuracies.
    """
    assert spec.objective is not None
    function = _resolved(spec.objective)
    journal.end_phase(Phase.IMPORT)
    trial = Trial(spec, journal)
    results = _results(spec.objective, function(trial))
    accuracy = results["accuracy"]
    trial._close(accuracy)
    if not math.isfinite(accuracy):
        journal.diverge(f"{spec.objective} returned an accuracy of {accuracy}")
        return
    energy = journal.training_energy()
    journal.end_phase(Phase.TEST)
    test_accuracy = results.get("test_accuracy", math.nan)
    journal.complete(accuracy, test_accuracy if math.isfinite(test_accuracy) else None, None, energy)


def _resolved(reference: str) -> Callable[[Trial], Any]:
    module_name, _, name = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    except ModuleNotFoundError as error:
        raise WrongSettingError(f"study.objective: {reference}: {error}") from error
    if not callable(found):
        raise WrongSettingError(f"study.objective: {module_name} has no function {name}")
    return found  # type: ignore[no-any-return]


def _results(reference: str, returned: object) -> dict[str, float]:
    """What a function returned, as floats by name."""
    given: Mapping[Any, Any] = returned if isinstance(returned, Mapping) else {"accuracy": returned}
    unknown = [str(name) for name in given if name not in _RESULTS]
    if unknown or "accuracy" not in given:
        raise WrongSettingError(
            f"study.objective: {reference} returned {', '.join(map(str, given))}; known: accuracy, test_accuracy"
        )
    try:
        return {str(name): float(value) for name, value in given.items()}
    except (TypeError, ValueError):
        raise WrongSettingError(
            f"study.objective: {reference} returned {returned!r:.80}; wanted is the validation accuracy, a number, "
            "or a mapping with accuracy and test_accuracy"
        ) from None


def _figures(loss: float | None, accuracy: float | None) -> _Figures:
    return _Figures(math.nan if loss is None else float(loss), math.nan if accuracy is None else float(accuracy))
