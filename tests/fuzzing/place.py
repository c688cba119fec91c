"""A folder with studies, files and nuisances that fuzzed commands are given, made anew where one was changed."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from greenopt.exchange.export import export_trials
from greenopt.runs.folder import RunFolder
from tests.fuzzing.study_files import built_studies, to_toml
from tests.known_effects import write_known_study
from tests.paper_layout import write_run

_DEVICES = {"null": "/dev/null", "zero": "/dev/zero", "full": "/dev/full", "memory": "/proc/self/mem", "loop": "loop"}


class Place:
    """A working folder; `folder` lies inside of another one, so that `..` stays within."""

    def __init__(self, root: Path) -> None:
        self._template, self._work = root / "template", root / "work"
        _fill(self._template / "here")
        self.folder = self._work / "here"
        self.restore()

    def restore(self) -> None:
        """Put everything back."""
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._template, self._work, symlinks=True, copy_function=shutil.copy2, ignore=_fifos)
        for name in ("fifo", "fifo.csv"):
            os.mkfifo(self.folder / name)

    @property
    def root(self) -> Path:
        """The folder in which nothing may change."""
        return self._work


def _fifos(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_fifo()]


def as_file(known: Path) -> dict[str, Any]:
    """The study that was imported, as its file would be."""
    spec = json.loads((known / "study.json").read_text())["spec"]
    space = {name: distribution["values"] for name, distribution in spec["space"]["distributions"].items()}
    return {
        "study": {"trials": spec["study"]["trials"]},
        "data": {"name": "cifar100"},
        "training": {"epochs": spec["training"]["epochs"]},
        "sampler": {"name": "tpe", "n_startup_trials": 2},
        "space": space,
    }


def _fill(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_known_study(folder / "runs", 8, epochs=2, pruned=1, failed=1)
    known = RunFolder(folder / "runs" / "known")
    shutil.copytree(known.path, folder / "runs" / "damaged")
    (folder / "runs" / "damaged" / "study.json").write_text('{"storage": 3, "spec": [')
    export_trials(known, None, folder / "trials.csv", "csv")
    export_trials(known, None, folder / "trials.parquet", "parquet")
    assert pq.read_metadata(folder / "trials.parquet").num_rows == 8
    for name in ("a", "b"):
        write_run(folder / "paper" / name)
    good = to_toml(built_studies()[0])
    (folder / "known.toml").write_text(to_toml(as_file(known.path)))
    (folder / "objective.py").write_text("def train(trial):\n    return 0.5\n")
    (folder / "good.toml").write_text(good)
    (folder / "empty.toml").write_bytes(b"")
    (folder / "nul.toml").write_bytes(good.encode() + b"\0")
    (folder / "latin.toml").write_bytes(f"# \xe9\n{good}".encode("latin-1"))
    (folder / "bom.toml").write_bytes(good.encode("utf-8-sig"))
    for name in ("folder", "folder.csv"):
        (folder / name).mkdir()
    for name, target in _DEVICES.items():
        (folder / name).symlink_to(target)
