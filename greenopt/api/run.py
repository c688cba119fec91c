"""Runs a study from Python, each trial in a process of its own as everywhere."""

import re
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from greenopt.api.functions import kept_function
from greenopt.api.study import Study
from greenopt.cli.executors import Executor
from greenopt.cli.options import ExecutorName
from greenopt.errors import ExitCode, ProblemsError, UsageError, shown
from greenopt.runs.folder import RunFolder
from greenopt.runs.requests import SIGNALS
from greenopt.spec import NAME_PATTERN, StudySpec, overrides_of, read_study_file, study_of

Objective = Callable[[Any], Any]


def run_study(
    study: str | Path | Mapping[str, Any],
    *,
    objective: Objective | str | None = None,
    name: str | None = None,
    trials: int | None = None,
    sampler: str | None = None,
    seed: int | None = None,
    stopping: str | None = None,
    budget: str | Sequence[str] = (),
    gpus: str | None = None,
    share_gpus: bool = False,
    executor: str = "local",
    address: str | None = None,
    slots: int | None = None,
    gpu_model: str | None = None,
    storage: str | None = None,
    runs: str | Path = "runs",
    accept_changes: bool = False,
    progress: bool = True,
    dry_run: bool = False,
) -> Study:
    """Run a study, or go on with it where it was left, and return its results.

    Trials run in processes of their own, as with `greenopt run`; interrupting (Ctrl-C, a notebook's stop) lets the
    running trials end, a second time ends them too, and the next call goes on.

    Args:
        study: path of a study file, or a mapping with its tables: `{"study": {"trials": 20}, "space": {...}}`.
        objective: a function that trains, in place of the study's own; it is given a `greenopt.Trial`. One of a
            notebook, or of the script that runs, is copied with what it uses into the study's folder.
        name: name of the study, in place of the file's; a mapping has to name it here or in `study.name`.
        trials: number of trials, in place of the file's.
        sampler: sampler by name, in place of the file's.
        seed: seed, in place of the file's.
        stopping: rule by which trials are stopped early, in place of the file's.
        budget: the most that the study may use: `"2 kWh"`, `"3 h"`, `"5 EUR"`, `"1 kgCO2"`, or several of these.
        gpus: the GPUs to use, as `greenopt run --gpus` takes them; all that are free unless given.
        share_gpus: whether GPUs are used on which other programs compute; energies are flagged then.
        executor: `"local"`, or `"ray"` for the machines of a Ray cluster.
        address: of a Ray cluster; `RAY_ADDRESS`, or the one of which this machine is a node, unless given.
        slots: on a cluster, the most trials at once; one a GPU unless given.
        gpu_model: a part of the GPUs' model, or `"all"` for GPUs of different models; the model of most unless given.
        storage: URL of the study's storage; its folder's file unless given.
        runs: folder of all studies' results.
        accept_changes: whether the study goes on with changed code or data, or on another kind of device.
        progress: whether a line is printed for each trial.
        dry_run: whether nothing is run or written: what can be checked is checked, and the plan is printed, with the
            forecast and the first settings.

    Raises:
        UsageError: something of the study is wrong, or it cannot be run; a line for each thing. Nothing was run.
    """
    if threading.current_thread() is not threading.main_thread():
        raise UsageError("run_study: has to be called from the main thread, where interrupts arrive")
    described = _described(study)
    given = overrides_of(sampler, study__name=name, study__trials=trials, study__seed=seed, stopping__kind=stopping)
    budgets = [budget] if isinstance(budget, str) else list(budget)
    with _arguments_named(), _objective_in_place(described, given, objective, Path(runs), dry_run) as folder:
        spec = study_of(described.raw, described.where, folder, name=described.name, overrides=given, budgets=budgets)
        place = _executor(executor, address, gpus, share_gpus, slots, gpu_model)
        spec = _run(spec, described.where, place, storage, Path(runs), accept_changes, progress, dry_run)
    return Study(RunFolder(Path(runs).resolve() / spec.name), storage)


class _Described(NamedTuple):
    """A study's tables, what messages call it, the folder that its paths start from, and its name unless given."""

    raw: dict[str, Any]
    where: Path
    folder: Path
    name: str | None


def _described(study: str | Path | Mapping[str, Any]) -> _Described:
    if isinstance(study, Mapping):
        return _Described(_plain(study, "study"), Path("run_study"), Path.cwd(), None)
    if not isinstance(study, str | Path):
        raise UsageError(
            f"run_study: study={shown(study)}: give the path of a study file, or a mapping with its tables"
        )
    path = Path(study)
    return _Described(read_study_file(path), path, path.parent.resolve(), path.stem)


def _plain(given: Any, where: str) -> Any:
    """Return tables as a study file would hold them: lists and plain numbers in the place of NumPy's and of tuples.

    Raises:
        UsageError: a key is no text.
    """
    if isinstance(given, Mapping):
        for key in given:
            if not isinstance(key, str):
                raise UsageError(f"run_study: {where}: the key {shown(key)} is no text")
        return {key: _plain(value, f"{where}.{key}") for key, value in given.items()}
    if hasattr(given, "tolist"):  # an array, or a number of NumPy's
        return _plain(given.tolist(), where)
    if isinstance(given, list | tuple | range):
        return [_plain(value, where) for value in given]
    return given


@contextmanager
def _objective_in_place(
    described: _Described, overrides: dict[str, Any], objective: Objective | str | None, runs: Path, dry_run: bool
) -> Iterator[Path]:
    """Name the objective in a study's overrides; the function is kept in the study's folder if no module holds it.

    Yields:
        The folder in which the study's data and modules are looked for first.
    """
    if callable(objective):
        table = described.raw.get("study")
        own = table.get("name") if isinstance(table, Mapping) else None
        folder = RunFolder(
            runs.resolve() / _checked(overrides.get("study.name", own or described.name), described.where)
        )
        folder.check_idle()
        # Of a dry run nothing stays: the module is written elsewhere, and compared all the same.
        elsewhere = tempfile.TemporaryDirectory() if dry_run else nullcontext(folder.path)
        with elsewhere as place, kept_function(objective, Path(place)) as found:
            overrides["study.objective"] = found.reference
            yield found.folder
        return
    if objective is not None:
        overrides["study.objective"] = objective
    yield described.folder


def _checked(name: object, where: Path) -> str:
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(f"{where}: study.name: {shown(name)}: letters, digits, '.', '_' and '-' only")
    return name


def _executor(
    name: str, address: str | None, gpus: str | None, share: bool, slots: int | None, model: str | None
) -> Executor:
    if name not in tuple(ExecutorName):
        raise UsageError(f"executor={shown(name)}: there are {', '.join(ExecutorName)}")
    return Executor(ExecutorName(name), address, gpus, share, slots, model)


def _run(
    spec: StudySpec,
    where: Path,
    executor: Executor,
    storage: str | None,
    runs: Path,
    accept_changes: bool,
    progress: bool,
    dry_run: bool,
) -> StudySpec:
    """Run a study and return it, under the name under which it ran."""
    with warnings.catch_warnings():
        # Of tqdm, which Optuna imports: it wants widgets of a notebook for bars that are not shown.
        warnings.filterwarnings("ignore", "IProgress not found")
        from greenopt.cli.session import run_session
        from greenopt.coordination.preflight import check_study
        from greenopt.identity.going_on import take_up

    check_study(spec, where)
    slots = executor.find_slots()
    # Plain lines in a notebook too, where Rich would make each a paragraph of its own.
    console = Console(file=sys.stdout if progress else StringIO(), soft_wrap=True, force_jupyter=False)
    if dry_run:
        from greenopt.cli.plan import plan_run

        plan_run(
            Console(soft_wrap=True, force_jupyter=False), spec, slots, storage, runs, accepts_changes=accept_changes
        )
        return spec
    spec, notes = take_up(spec, runs, storage, slots, accepts_changes=accept_changes)
    with _handlers_restored():
        ended = run_session(
            console,
            spec,
            slots,
            storage,
            runs,
            accepts_changes=accept_changes,
            with_epochs=False,
            notes=notes,
            executor=executor,
        )
    if ended.exit_code is ExitCode.NOTHING_COMPLETED:
        warnings.warn(f"study {spec.name}: no trial completed; the column message of trials says why", stacklevel=3)
    return spec


@contextmanager
def _arguments_named() -> Iterator[None]:
    """Name the arguments of `run_study` in an error that names options of the command line."""
    try:
        yield
    except ProblemsError as error:
        raise UsageError("\n".join(map(_as_arguments, error.lines))) from None
    except UsageError as error:
        raise UsageError(_as_arguments(str(error))) from None


def _as_arguments(text: str) -> str:
    text = text.replace("--accept-changes", "accept_changes=True").replace("--share-gpus", "share_gpus=True")
    return re.sub(r"(?<!\S)--([a-z]+)\b", r"\1", text)


@contextmanager
def _handlers_restored() -> Iterator[None]:
    """Give the interpreter its own signal handlers back: a study takes them over while it runs."""
    before = {number: signal.getsignal(number) for numbers in SIGNALS.values() for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
