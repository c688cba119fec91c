"""Studies to draw and to report on: made analyses, and run folders that a coordinator has filled."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from greenopt.analysis.analyse import analyse
from greenopt.coordination.coordinator import Coordinator
from greenopt.events import Outcome
from greenopt.execution import ProcessEnded
from greenopt.report.report_data import Curve, ReportData
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, open_storage
from greenopt.spec import StudySpec, TrialSpec
from tests.builders import ended, epoch, prepared_phases, reading, started, study
from tests.fakes import FakeEngine, Script
from tests.known_effects import known_rows, paper_study


def made_rows(trials: int, **changed: Any) -> tuple[StudySpec, list[dict[str, Any]]]:
    """Trials of the paper's space with every figure that a metered GPU gives; `changed` holds for all of them."""
    spec = paper_study(trials)
    noise = np.random.default_rng(3).standard_normal((trials, 2))
    rows = []
    for row, (first, second) in zip(known_rows(spec, trials, seed=2), noise, strict=True):
        energy_wh = row["energy_wh"]
        figures = {
            "test_accuracy": row["accuracy"] - 0.01 + 0.01 * first,
            "train_accuracy": row["accuracy"] + 0.1,
            "avg_power_w": energy_wh * 3600 / row["seconds"],
            "counter_wh": energy_wh,
            "integral_wh": energy_wh * (1 + 0.002 * second),
            "total_wh": energy_wh * 1.1,
        }
        rows.append({**row, **figures, **changed})
    return spec, rows


def curve(trial: int, accuracy: float, energy_wh: float, epochs: int = 10, state: str = "complete") -> Curve:
    """A training that learns evenly."""
    number = np.arange(1.0, epochs + 1)
    learned = accuracy * number / epochs
    return Curve(
        trial, state, number, learned, learned, 1 / number, 1.1 / number, energy_wh * number / epochs, 60 * number
    )


@cache
def made_report_data(trials: int = 60, source: str = "nvml_counter") -> ReportData:
    """A study that has everything to draw."""
    spec, rows = made_rows(trials, energy_source=source)
    curves = tuple(curve(row["trial"], row["accuracy"], row["energy_wh"]) for row in rows[:50])
    return ReportData(analyse(spec, rows), curves, trials)


def run_study(
    runs: Path, script: Script, trials: int, spec: StudySpec | None = None, **tables: Any
) -> tuple[RunFolder, StudySpec]:
    """A run folder whose trials went as scripted; with 0 trials nothing has run yet."""
    spec = spec or study(**{"study": {"trials": max(1, trials)}, **tables})
    folder = RunFolder(runs / spec.name)
    folder.path.mkdir(parents=True)
    search = Search(spec, open_storage(folder.default_storage))
    folder.write_study(spec.model_dump(mode="json"), folder.default_storage, {"greenopt": "9.9", "git": "abc123"})
    if trials:
        Coordinator(spec, search, FakeEngine(script), folder).run()
    search.lease.release()
    return folder, spec


def learns(spec: TrialSpec) -> list[Any]:
    """A trial whose accuracy and energy follow its learning rate and its seed."""
    lr = float(spec.values["lr"])
    accuracy, energy_wh = 0.6 - lr + (spec.training_seed % 7) / 1000, 2 - math.log10(lr)
    each = [epoch(number, accuracy * number / 2, reading(energy_wh / 2)) for number in (1, 2)]
    last = ended(accuracy=accuracy, test_accuracy=accuracy - 0.01, energy=reading(energy_wh, 20.0))
    return [started(spec.trial), *prepared_phases(), *each, last, ProcessEnded(spec.trial, 0, None, "")]


def diverges(spec: TrialSpec) -> list[Any]:
    """A trial that is stopped after its first epoch."""
    last = ended(Outcome.DIVERGED, reason="diverged", message="the loss was not finite")
    return [started(spec.trial), epoch(1), last, ProcessEnded(spec.trial, 0, None, "")]
