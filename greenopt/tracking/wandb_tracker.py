"""Weights & Biases: a study is a project, a trial a run. WANDB_MODE=offline keeps the runs on disk for `wandb sync`."""

import re
import shutil
from typing import Any

import wandb

from greenopt.storage.trial_state import TrialState
from greenopt.tracking.record import TrialRecord


class WandbTracker:
    """One project."""

    def __init__(self, project: str, study_id: str | None) -> None:
        self._project, self._study_id = project, study_id

    def send(self, record: TrialRecord) -> str:
        """Make a run of a trial. It is named by the trial's attempt, so that sending it again replaces it."""
        run: Any = wandb.init(
            project=self._project,
            name=record.name,
            id=re.sub(r"[^A-Za-z0-9_-]", "-", f"{self._project}-{record.attempt}")[-64:],
            resume="allow",
            config=dict(record.parameters),
            tags=[record.state],
            settings=wandb.Settings(console="off", silent=True, x_disable_stats=True, x_disable_meta=True),
        )
        try:
            for epoch in record.epochs:
                run.log({**epoch.figures, "epoch": epoch.epoch}, step=epoch.epoch)
            run.summary.update({**record.figures, **record.texts, "study_id": self._study_id})
            for path in record.files:
                shutil.copy(path, run.dir)  # what lies there is sent
        except BaseException:
            run.finish(exit_code=1)
            raise
        run.finish(exit_code=0 if record.state in (TrialState.COMPLETE, TrialState.PRUNED) else 1)
        return str(run.id)
