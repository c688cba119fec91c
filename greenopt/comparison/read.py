"""Reads studies for a comparison; no regression is fitted here, and nothing is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from greenopt.analysis.describe import completed
from greenopt.analysis.results import Counts
from greenopt.analysis.trials import analysed_trials, count_trials
from greenopt.errors import UsageError
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.identity.snapshot import read_folder
from greenopt.report.environment import Environment, read_environment
from greenopt.runs.folder import RunFolder
from greenopt.spec import StudySpec
from greenopt.storage.trial_state import FINISHED_STATES

FEWEST = 2


@dataclass(frozen=True, eq=False)
class ComparedStudy:
    """A study as a comparison sees it.

    Attributes:
        trials: a row a trial, as in `greenopt.analysis.results.Analysis.trials`.
        code: `greenopt` (version) and `git` (commit) that it was last run with; empty where not recorded.
    """

    name: str
    spec: StudySpec
    trials: pd.DataFrame
    counts: Counts
    environment: Environment
    code: dict[str, str]

    @property
    def complete(self) -> pd.DataFrame:
        """The completed trials."""
        return completed(self.trials)

    def values(self, column: str) -> tuple[str, ...]:
        """Return the different values of a column over the completed trials, the most frequent first."""
        if column not in self.trials:
            return ()
        return tuple(str(value) for value in self.complete[column].dropna().value_counts().index if str(value))

    def facts(self, name: str) -> tuple[str, ...]:
        """Return what trials recorded of a version, or of data, by its name."""
        return dict(self.environment.facts).get(name, ())


def read_compared(
    names: Sequence[str], runs: Path, storage: str | None = None, tell: Callable[[str], None] = lambda _: None
) -> tuple[ComparedStudy, ...]:
    """Read the studies of these names, in this order.

    Args:
        names: at least two, each once.
        runs: folder that holds the studies' results.
        storage: URL of a storage that holds all of them; each folder's own unless given.
        tell: called with the current step, for a progress display.

    Raises:
        UsageError: there are fewer than two names, one comes twice, or a study does not exist.
    """
    if len(names) < FEWEST:
        raise UsageError(f"compare: at least {FEWEST} studies are needed, given is {', '.join(names) or 'none'}")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise UsageError(f"compare: {', '.join(twice)}: named twice; each study is compared once")
    folders = [RunFolder(runs / name) for name in names]
    absent = [folder.name for folder in folders if storage is None and not folder.study_file.exists()]
    if absent:
        raise UsageError(f"{runs}: no study {', '.join(absent)} here; `greenopt list` shows the existing ones")
    return tuple(_read(folder, storage, tell) for folder in folders)


def _read(folder: RunFolder, storage: str | None, tell: Callable[[str], None]) -> ComparedStudy:
    tell(f"reading {folder.name}")
    snapshot = read_folder(folder, storage)
    trials = analysed_trials(snapshot.spec, snapshot.rows)
    ended = {int(row["trial"]): row.get(ATTEMPT_ATTRIBUTE) for row in snapshot.rows if row["state"] in FINISHED_STATES}
    return ComparedStudy(
        name=folder.name,
        spec=snapshot.spec,
        trials=trials,
        counts=count_trials(trials, snapshot.spec),
        environment=read_environment(folder, ended),
        code=folder.code(),
    )
