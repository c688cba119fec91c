"""The trackers that are known, and what each has to do."""

from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from greenopt.errors import UsageError
from greenopt.tracking.record import TrialRecord


class TrackerName(StrEnum):
    """A tracker, as the command line names it; each is an extra of greenopt."""

    MLFLOW = "mlflow"
    WANDB = "wandb"


class Tracker(Protocol):
    """A tracker that is open for one study."""

    def send(self, record: TrialRecord) -> str:
        """Send a trial and return what the tracker calls its run.

        Raises:
            Exception: it could not be sent.
        """
        ...


TRACKERS = {
    TrackerName.MLFLOW: "greenopt.tracking.mlflow_tracker:MlflowTracker",
    TrackerName.WANDB: "greenopt.tracking.wandb_tracker:WandbTracker",
}


def check_installed(name: TrackerName) -> None:
    """Check that a tracker's package is installed, without importing it.

    Raises:
        UsageError: it is not.
    """
    if find_spec(name) is None:
        raise UsageError(f"{name} is not installed: pip install 'greenopt[{name}]'")


def open_tracker(name: TrackerName, project: str, study_id: str | None) -> Tracker:
    """Open a tracker; where it writes to is its own matter (`MLFLOW_TRACKING_URI`, `WANDB_MODE`).

    Args:
        name: which.
        project: what it calls the study: an experiment or a project.
        study_id: the study's identity.

    Raises:
        UsageError: it is not installed.
    """
    check_installed(name)
    module, _, kind = TRACKERS[name].partition(":")
    opened: Tracker = getattr(import_module(module), kind)(project, study_id)
    return opened
