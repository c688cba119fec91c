"""A training that takes its time and needs no framework."""

import os
import time
from pathlib import Path

from greenopt.trial.objective import Trial


def waits(trial: Trial) -> float:
    trial.begin()
    for _ in range(trial.epochs):
        time.sleep(float(trial.params["epoch_s"]))
        trial.end_epoch(0.5)
    return 0.5


def breaks_gpus(trial: Trial) -> float:
    """Lose this trial's GPU while it trains, if the file that says so allows for it."""
    trial.begin()
    allowed, lost = Path("to-lose"), Path("lost")
    gpu = os.environ["CUDA_VISIBLE_DEVICES"]
    if gpu in allowed.read_text().split():
        time.sleep(0.3)
        with lost.open("a") as file:
            file.write(f"{gpu}\n")
        raise RuntimeError("CUDA_ERROR_UNKNOWN")
    time.sleep(0.3)
    trial.end_epoch(0.5)
    return 0.5
