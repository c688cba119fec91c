"""Runs a user's objective function with the same meter and events as greenopt's own training.

The function takes one argument, a `Trial`, and returns its validation accuracy, or a mapping with `accuracy` and, if it
has one, `test_accuracy`. Imports no framework.
"""

import math
import platform
from collections.abc import Mapping
from typing import Any, NamedTuple

from greenopt.events import Phase
from greenopt.spec import TrialSpec, Value
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.journal import Journal
from greenopt.trial.reference import resolve_function
from greenopt.trial.reported_metrics import finite_or_nan, fraction, learning_rate

_RESULTS = ("accuracy", "test_accuracy")
_OR_BOTH = "or a mapping with accuracy and test_accuracy"
_END_EPOCH = "Trial.end_epoch"


class _EpochMetrics(NamedTuple):
    loss: float
    accuracy: float


class Trial:
    """The argument of an objective function: the sampled setting, and methods for reporting progress.

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
        """Begin the training: what was done before (data, model, compilation) counts as set-up.

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
        """Report the end of an epoch and its validation; what follows the last epoch is not in `energy_wh`.

        Args:
            accuracy: validation accuracy after it, 0..1.
            loss: mean training loss; one that is not finite is recorded as missing.
            train_accuracy: on the training images, as trained, 0..1.
            validation_loss: mean loss on the validation part.
            lr: learning rate at its end.

        Raises:
            WrongSettingError: a figure is no number, or an accuracy none of 0..1; nothing of the epoch is recorded.
        """
        train = _metrics(("loss", loss), ("train_accuracy", train_accuracy))
        validation = _metrics(("validation_loss", validation_loss), ("accuracy", accuracy))
        rate = None if lr is None else learning_rate(lr, _END_EPOCH)
        if not self._has_begun:
            self._open()
        self._epochs_done += 1
        self._journal.end_epoch(self._epochs_done, max(self.epochs, self._epochs_done), train, validation, rate)

    def _open(self) -> None:
        self._has_begun = True
        self._journal.begin_training(1, {}, {"python": platform.python_version()})

    def _close(self, accuracy: float) -> None:
        """End the training of a function that has returned; without a reported epoch it had one."""
        if self._epochs_done == 0:
            self.end_epoch(accuracy)
        self._journal.end_training()


def run_objective(spec: TrialSpec, journal: Journal) -> None:
    """Call the study's objective function and write its events; the final event too, unless it raises.

    Raises:
        WrongSettingError: there is no such function, or it gave something else than accuracies of 0..1.
    """
    assert spec.objective is not None
    function = resolve_function(spec.objective, "study.objective")
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


def _results(reference: str, returned: object) -> dict[str, float]:
    """Return the results of a function as floats by name."""
    given: Mapping[Any, Any] = returned if isinstance(returned, Mapping) else {"accuracy": returned}
    unknown = [str(name) for name in given if name not in _RESULTS]
    if unknown or "accuracy" not in given:
        names = ", ".join(map(str, given)) or "an empty mapping"
        raise WrongSettingError(
            f"study.objective: {reference} returned {names}; known: accuracy, test_accuracy. "
            "greenopt measures energy and time itself"
        )
    where = f"study.objective: {reference}"
    if given["accuracy"] is None:
        raise WrongSettingError(f"{where} returned None; expected the validation accuracy, a number 0..1, {_OR_BOTH}")
    return {str(name): fraction(str(name), value, where) for name, value in given.items() if value is not None}


def _metrics(loss: tuple[str, float | None], accuracy: tuple[str, float | None]) -> _EpochMetrics:
    (loss_name, loss_given), (accuracy_name, accuracy_given) = loss, accuracy
    return _EpochMetrics(
        math.nan if loss_given is None else finite_or_nan(loss_name, loss_given, _END_EPOCH),
        math.nan if accuracy_given is None else fraction(accuracy_name, accuracy_given, _END_EPOCH),
    )
