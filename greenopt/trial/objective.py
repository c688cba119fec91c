"""Runs a user's objective function with the same meter and events as greenopt's own training.

The function takes one argument, a `Trial`, and returns its validation accuracy, or a mapping of figures by name:
`accuracy`, `test_accuracy` and any others, all of which are kept. Imports no framework.
"""

import math
import platform
from typing import NamedTuple

from greenopt.events import Phase
from greenopt.spec import Metric, TrialSpec, Value
from greenopt.trial.failures import DivergedError
from greenopt.trial.function_figures import function_figures
from greenopt.trial.journal import Figures, Journal
from greenopt.trial.reference import resolve_function
from greenopt.trial.reported_metrics import finite_or_nan, fraction, learning_rate

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
            loss: mean training loss; one that is not finite is recorded as missing, and ends the trial as diverged.
            train_accuracy: on the training images, as trained, 0..1.
            validation_loss: mean loss on the validation part.
            lr: learning rate at its end.

        Raises:
            WrongSettingError: a figure is no number, or an accuracy none of 0..1; nothing of the epoch is recorded.
            DivergedError: the loss is not finite; the epoch is recorded. It ends the trial, and is not to be caught.
        """
        train = _metrics(("loss", loss), ("train_accuracy", train_accuracy))
        validation = _metrics(("validation_loss", validation_loss), ("accuracy", accuracy))
        rate = None if lr is None else learning_rate(lr, _END_EPOCH)
        if not self._has_begun:
            self._open()
        self._epochs_done += 1
        self._journal.end_epoch(self._epochs_done, max(self.epochs, self._epochs_done), train, validation, rate)
        if loss is not None and not math.isfinite(train.loss):
            raise DivergedError(f"the training loss was not finite in epoch {self._epochs_done}")

    def _open(self) -> None:
        self._has_begun = True
        self._journal.begin_training(1, {}, {"python": platform.python_version()})

    def _close(self, accuracy: float | None) -> None:
        """End the training of a function that has returned; without a reported epoch it had one."""
        if self._epochs_done == 0:
            self.epochs = 1
            self.end_epoch(accuracy)
        self._journal.end_training()


def run_objective(spec: TrialSpec, journal: Journal) -> None:
    """Call the study's objective function and write its events; the final event too, unless it raises.

    Raises:
        WrongSettingError: there is no such function, or it gave something else than figures.
    """
    assert spec.objective is not None
    function = resolve_function(spec.objective, "study.objective")
    journal.end_phase(Phase.IMPORT)
    trial = Trial(spec, journal)
    try:
        returned = function(trial)
    except DivergedError as error:
        journal.diverge(str(error))
        return
    results = function_figures(spec, returned)
    accuracy = results.pop(Metric.ACCURACY, None)
    test_accuracy = results.pop("test_accuracy", None)
    trial._close(accuracy)
    wanted = {Metric.ACCURACY: accuracy, **results} if accuracy is not None else results
    wrong = [f"{name} of {value}" for name, value in wanted.items() if name in spec.objectives and not _is_known(value)]
    if wrong:
        journal.diverge(f"{spec.objective} returned {'an' if wrong[0].startswith('accuracy') else 'a'} {wrong[0]}")
        return
    energy = journal.training_energy()
    journal.end_phase(Phase.TEST)
    missing = {name: f"the function returned {value}" for name, value in results.items() if not _is_known(value)}
    figures = Figures({name: value for name, value in results.items() if name not in missing}, missing)
    journal.complete(_known(accuracy), _known(test_accuracy), None, energy, figures)


def _is_known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _known(value: float | None) -> float | None:
    return value if _is_known(value) else None


def _metrics(loss: tuple[str, float | None], accuracy: tuple[str, float | None]) -> _EpochMetrics:
    (loss_name, loss_given), (accuracy_name, accuracy_given) = loss, accuracy
    return _EpochMetrics(
        math.nan if loss_given is None else finite_or_nan(loss_name, loss_given, _END_EPOCH),
        math.nan if accuracy_given is None else fraction(accuracy_name, accuracy_given, _END_EPOCH),
    )
