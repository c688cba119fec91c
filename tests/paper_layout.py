"""Runs in the paper's layout, for tests of the import: made, not the paper's own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

SETTING = {
    "model": "resnet50",
    "preprocessing": "minmax",
    "augmentation": "None",
    "precision": "float16",
    "batch_size": "64",
    "partitioning": "70-15-15",
    "lr": "0.00625",
    "lr_schedule": "exponential",
    "optimizer_momentum": "0.0",
    "optimizer": "Adam",
    "internal": "None",
    "seed ": "22",
    "n_parameters": "23792612",
    "test_accuracy": "0.5",
}
HEAD = "epoch,time,loss,accuracy,val_loss,val_accuracy,gpu_power_W,gpu_temp_C,gpu_util_%"
ENDS = datetime(2023, 2, 25, 14, 39, 12)
EPOCH_S = 36
POWER_W = 100.0
POST_S, POST_W = 9, 50.0


def write_run(folder: Path, epochs: int = 3, accuracy: float = 0.6, post: bool = True, **setting: str) -> Path:
    """A run: each epoch takes 36 s at 100 W, which is 1 Wh; the row `post` 9 s at 50 W, 0.125 Wh."""
    folder.mkdir(parents=True)
    lines = [f"{name}: {value}" for name, value in {**SETTING, **setting}.items()]
    (folder / "parameters.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_log(folder, log_lines(epochs, accuracy, post=post))
    return folder


def log_lines(epochs: int, accuracy: float = 0.6, *, post: bool = True) -> list[str]:
    """The lines of a log."""
    lines = [HEAD, f"pre,{ENDS},0,0,0,0,100.80,41,0"]
    for epoch in range(epochs):
        time = ENDS + timedelta(seconds=EPOCH_S * (epoch + 1))
        reached = accuracy if epoch == epochs - 1 else accuracy / 2
        lines.append(f"{epoch},{time},1.5,{reached},inf,{reached},{POWER_W},50,17")
    if post:
        lines.append(f"post,{ENDS + timedelta(seconds=EPOCH_S * epochs + POST_S)},0,0,0,0,{POST_W},60,0")
    return lines


def write_log(folder: Path, lines: Sequence[str]) -> None:
    """Replace a run's log."""
    (folder / "logs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
