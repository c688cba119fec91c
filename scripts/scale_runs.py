"""One simulated study from its first to its last trial, and what it cost its coordinator."""

import itertools
import os
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil
import sqlalchemy as sa
from rich.console import Console

from greenopt.coordination.coordinator import Coordinator
from greenopt.coordination.progress import Forecast, PlainProgress
from greenopt.coordination.study_log_writer import StudyLogWriter
from greenopt.dashboard import DashboardPublisher
from greenopt.exchange.studies import PAPER_SPACE
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, open_storage, read_study
from greenopt.spec import StudySpec
from greenopt.storage.url import complete
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import StudyReader
from scripts.many_trials_study import write_many
from scripts.scale_simulation import SimulatedEngine, SkippingClock

EPOCHS = 10
NAME = "many"


@dataclass(frozen=True)
class Case:
    """What is simulated.

    Attributes:
        slots: GPUs.
        trials: how many are simulated.
        trial_s: their mean duration, in s.
        sampler: its name.
        finished: how many trials the study has before, written straight into its storage.
        counts_cpu: whether the clock counts this process's CPU time alone, in place of all time that passes.
        samples_hz: how often a trial tells its steps and its power, each.
    """

    slots: int
    trials: int
    trial_s: float = 60.0
    sampler: str = "tpe"
    finished: int = 0
    counts_cpu: bool = False
    samples_hz: float = 1.0

    def spec(self) -> StudySpec:
        return StudySpec.model_validate(
            {
                "study": {"name": NAME, "trials": self.finished + self.trials, "seed": 7, "on_duplicate": "run"},
                "data": {"name": "synthetic", "images": 100, "classes": 4},
                "training": {"epochs": EPOCHS},
                "sampler": {"name": self.sampler},
                "space": PAPER_SPACE,
            }
        )


@dataclass
class Figures:
    """What it cost. Times in s, sizes in bytes."""

    case: Case
    busy_share: float = 0.0
    full_share: float = 0.0
    simulated_s: float = 0.0
    work_s: float = 0.0
    cpu_s: float = 0.0
    events: int = 0
    waits_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    calls_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    storage_bytes: int = 0
    folder_bytes: int = 0
    folder_files: int = 0
    memory_bytes: int = 0
    view_first_s: float | None = None
    view_next_s: float | None = None
    recorded: int = 0
    problems: list[str] = field(default_factory=list)


class TimedSearch:
    """A search whose calls are timed, as the thread that makes them sees them."""

    def __init__(self, search: Search, calls_s: dict[str, list[float]]) -> None:
        self._search, self._calls_s = search, calls_s

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._search, name)
        if not callable(found) or name == "lease":
            return found

        def timed(*arguments: Any, **named: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return found(*arguments, **named)
            finally:
                self._calls_s[name].append(time.perf_counter() - began_s)

        return timed


def simulate(case: Case, root: Path, url: str | None = None, profile: Callable[[], Any] | None = None) -> Figures:
    """Run a study of a case in an empty folder and return its figures.

    Args:
        case: what is simulated.
        root: made; the folder of all studies.
        url: an empty database; SQLite in the run folder unless given.
        profile: returns a context in which the coordinator runs.
    """
    spec, folder = case.spec(), RunFolder(root / NAME)
    if case.finished:
        write_many(folder.path, case.finished, spec=spec, url=url)
    else:
        folder.path.mkdir(parents=True)
    storage = open_storage(url or folder.default_storage)
    search = Search(spec, storage)
    folder.write_study(
        spec.model_dump(mode="json"), url or folder.default_storage, {}, study_id=search.study_id, run_id=search.run_id
    )
    clock = SkippingClock(time.process_time if case.counts_cpu else time.monotonic)
    engine = SimulatedEngine(case.slots, clock, trial_s=case.trial_s, samples_hz=case.samples_hz)
    figures = Figures(case)
    before_bytes = _stored_bytes(folder, url)
    with (folder.path / "lines.txt").open("w") as lines:
        said = figures.problems.append
        publisher = DashboardPublisher(spec, storage, folder, said, clock, is_busy=lambda: coordinator.is_storage_busy)
        observers = (
            StudyLogWriter(folder.study_log, engine.slots, study_id=search.study_id, run_id=search.run_id),
            PlainProgress(Console(file=lines), Forecast(spec.study.trials, case.slots, clock)),
            publisher,
        )
        coordinator = Coordinator(
            spec,
            cast(Search, TimedSearch(search, figures.calls_s)),
            engine,
            folder,
            observers,
            clock=clock,
            annotator=publisher,
            wait=clock.skip,
        )
        engine.is_busy = lambda: coordinator.is_storage_busy
        engine.after_trials[max(case.slots, case.trials * 3 // 4)] = lambda: _watch(folder, url, figures)
        memory_bytes = psutil.Process().memory_info().rss
        began_s, began_cpu_s = clock(), time.process_time()
        if profile is None:
            coordinator.run()
        else:
            with profile():
                coordinator.run()
        figures.cpu_s = time.process_time() - began_cpu_s
        figures.simulated_s = clock() - began_s
        figures.work_s = figures.simulated_s - clock.skipped_s
        publisher.close()
    figures.memory_bytes = psutil.Process().memory_info().rss - memory_bytes
    search.lease.release()
    figures.full_share = engine.busy_share(when_full=True)
    figures.busy_share, figures.events, figures.late_s = engine.busy_share(), engine.events, engine.late_s
    figures.waits_s = [each.waited_s for each in itertools.islice(engine.times.values(), case.slots, None)]
    figures.recorded = sum(row["state"] == "complete" for row in read_study(NAME, storage).rows[case.finished :])
    figures.storage_bytes = _stored_bytes(folder, url) - before_bytes
    files = [file for file in folder.path.rglob("*") if file.is_file()]
    figures.folder_files = len(files)
    figures.folder_bytes = sum(file.stat().st_size for file in files if not file.name.startswith("study.db"))
    return figures


def _watch(folder: RunFolder, url: str | None, figures: Figures) -> None:
    """Time the live view's first and second reading of the study while its slots are full."""
    began_s = time.perf_counter()
    reader = StudyReader(folder, url or folder.default_storage)
    model = StudyModel(reader.spec)
    model.apply(reader.read())
    figures.view_first_s = time.perf_counter() - began_s
    began_s = time.perf_counter()
    model.apply(reader.read())
    figures.view_next_s = time.perf_counter() - began_s
    reader.close()


def _stored_bytes(folder: RunFolder, url: str | None) -> int:
    if url is None:
        return sum(file.stat().st_size for file in folder.path.glob("study.db*"))
    engine = sa.create_engine(complete(url))
    with engine.connect() as connection:
        size = connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar()
    engine.dispose()
    return int(size or 0)


def quantile(values: list[float], share: float) -> float | None:
    """Return the value that this share of all does not exceed; None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def median(values: list[float]) -> float | None:
    """Return the median; None of no values."""
    return statistics.median(values) if values else None


def peak_memory_bytes() -> int:
    """Return this process's peak memory in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def load() -> str:
    """Return the machine's load in words."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
