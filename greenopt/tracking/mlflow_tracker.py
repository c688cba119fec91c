"""MLflow: a study is an experiment, a trial a run. Its server or folder is what MLFLOW_TRACKING_URI names."""

from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from greenopt.storage.trial_state import TrialState
from greenopt.tracking.record import TrialRecord

_STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "KILLED", TrialState.EXCLUDED: "KILLED"}
MOST_AT_ONCE = 900
"""Metrics in a call; MLflow takes 1,000."""


class MlflowTracker:
    """One experiment."""

    def __init__(self, project: str, study_id: str | None) -> None:
        self._client = MlflowClient()
        found = self._client.get_experiment_by_name(project)
        self._experiment = self._client.create_experiment(project) if found is None else found.experiment_id
        self._study = {} if study_id is None else {"greenopt.study_id": study_id}

    def send(self, record: TrialRecord) -> str:
        """Make a run of a trial, and end it when all is there; one that was begun and not ended before is removed."""
        self._remove_half_sent(record)
        tags = {
            **self._study,
            "greenopt.attempt": record.attempt,
            "greenopt.state": record.state,
            **record.texts,
        }
        began_ms = _milliseconds(record.began_s)
        run = self._client.create_run(self._experiment, start_time=began_ms, run_name=record.name).info.run_id
        ended_ms = _milliseconds(record.ended_s)
        metrics = [Metric(name, value, ended_ms, 0) for name, value in record.figures.items()]
        metrics += [
            Metric(name, value, _milliseconds(epoch.utc_s), epoch.epoch)
            for epoch in record.epochs
            for name, value in epoch.figures.items()
        ]
        self._client.log_batch(
            run,
            params=[Param(name, str(value)) for name, value in record.parameters.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        for first in range(0, len(metrics), MOST_AT_ONCE):
            self._client.log_batch(run, metrics=metrics[first : first + MOST_AT_ONCE])
        for path in record.files:
            self._client.log_artifact(run, str(path))
        self._client.set_terminated(run, _STATUS.get(TrialState(record.state), "FAILED"), ended_ms)
        return str(run)

    def _remove_half_sent(self, record: TrialRecord) -> None:
        wanted = f"tags.`greenopt.attempt` = '{record.attempt}' and attributes.status = 'RUNNING'"
        found: Any = self._client.search_runs([self._experiment], wanted)
        for run in found:
            self._client.delete_run(run.info.run_id)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
