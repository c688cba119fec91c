"""`greenopt confirm`: is a study's best setting as good when it is trained again?"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from greenopt.cli.options import (
    DEFAULT_RUNS,
    DEFAULT_STORAGE_PATIENCE_S,
    AcceptChanges,
    Address,
    DryRun,
    ExecutorName,
    ExecutorOption,
    GpuModel,
    Gpus,
    Runs,
    ShareGpus,
    Slots,
    Storage,
    StoragePatience,
    StudyName,
    Verbose,
)
from greenopt.errors import ExitCode

MAX_COUNT = 2**31 - 1

if TYPE_CHECKING:
    from rich.console import Console

    from greenopt.cli.executors import Executor
    from greenopt.confirmation import Confirmation, Picked
    from greenopt.runs.folder import RunFolder
    from greenopt.search import StudySnapshot
    from greenopt.spec import StudySpec


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("confirm")(confirm)


def confirm(
    study: StudyName,
    pick: Annotated[
        str, typer.Option(help="Best by efficiency, accuracy or energy (the least), or a trial's number.")
    ] = "efficiency",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_COUNT, help="Epochs per training. Default: the study's.", show_default=False),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=MAX_COUNT, help="Number of trainings, each with its own seed.")] = 3,
    name: Annotated[
        str | None, typer.Option(help="Name of the confirming study. Default: STUDY-confirm-TRIAL.")
    ] = None,
    gpus: Gpus = None,
    share_gpus: ShareGpus = False,
    executor: ExecutorOption = ExecutorName.LOCAL,
    address: Address = None,
    slots: Slots = None,
    gpu_model: GpuModel = None,
    storage: Storage = None,
    storage_patience: StoragePatience = DEFAULT_STORAGE_PATIENCE_S,
    runs: Runs = DEFAULT_RUNS,
    dry_run: DryRun = False,
    accept_changes: AcceptChanges = False,
    verbose: Verbose = False,
) -> None:
    """Train a study's best setting again with several seeds, keep the models, and say whether the win held.

    The trainings are a study of their own: the same command goes on with it after an interruption, and shows the
    verdict again once it is done. Figures are compared after the same number of epochs, with 95 % intervals.
    Exit code 0: all trainings are done, whatever the verdict; 3: stopped before.
    """
    from greenopt.cli.executors import Executor
    from greenopt.confirmation import confirming_study, pick_trial
    from greenopt.coordination.preflight import check_study
    from greenopt.identity.inputs import check_inputs
    from greenopt.identity.place import locate
    from greenopt.identity.snapshot import read_folder
    from greenopt.logs import show_logs
    from greenopt.runs.folder import RunFolder

    if verbose:
        show_logs()
    folder = RunFolder(runs.resolve() / study)
    url = locate(folder, storage).url
    snapshot = read_folder(folder, storage)
    picked = pick_trial(snapshot, pick)
    spec = confirming_study(snapshot.spec, picked, epochs or snapshot.spec.epochs_of(picked.row), seeds, name)
    check_study(spec, folder.study_file)
    if not accept_changes:
        check_inputs(spec, picked.row, picked.trial)
    work = _Work(
        folder, snapshot, picked, spec, None if url == folder.default_storage else url, accept_changes, storage_patience
    )
    where = Executor(executor, address, gpus, share_gpus, slots, gpu_model)
    raise typer.Exit(_train_and_judge(work, where, dry_run=dry_run))


@dataclass(frozen=True)
class _Work:
    folder: "RunFolder"
    study: "StudySnapshot"
    picked: "Picked"
    spec: "StudySpec"
    storage: str | None
    accepts_changes: bool
    storage_patience_s: float


def _train_and_judge(work: _Work, where: "Executor", *, dry_run: bool) -> ExitCode:
    """Run the confirming study, or go on with it, and print the verdict; a dry run prints the plan alone."""
    from rich.console import Console

    from greenopt.cli.plan import print_plan
    from greenopt.cli.session import run_session
    from greenopt.confirmation import read_confirmation
    from greenopt.identity.device import check_device, device_of_slots, device_of_trials
    from greenopt.identity.snapshot import read_folder
    from greenopt.runs.folder import RunFolder

    slots = where.find_slots()
    if not work.accepts_changes:
        check_device(device_of_trials([work.picked.row]), device_of_slots(slots), work.study.spec.name)
    console = Console(soft_wrap=not sys.stdout.isatty())
    if dry_run:
        print_plan(console, work.spec, slots)
        return ExitCode.DONE
    runs = work.folder.path.parent
    ended = run_session(
        console,
        work.spec,
        slots,
        work.storage,
        runs,
        accepts_changes=work.accepts_changes,
        storage_patience_s=work.storage_patience_s,
        executor=where,
    )
    if ended.end == "storage_lost":
        return ExitCode.STOPPED_EARLY
    target = RunFolder(work.folder.path.with_name(work.spec.name))
    confirming = read_folder(target, work.storage)
    print_confirmation(console, read_confirmation(work.folder, work.study, work.picked, target, confirming), target)
    return ended.exit_code


def print_confirmation(console: "Console", confirmation: "Confirmation", target: "RunFolder") -> None:
    """Print the verdict first, then the figures that it rests on, then where the models are."""
    from greenopt.cli.tables import Table, print_lines, print_table
    from greenopt.confirmation import comparison_table, confirmation_lines, end_lines
    from greenopt.formatting import format_setting

    picked = confirmation.picked
    heads, rows = comparison_table(confirmation)
    table = Table(*heads, left=heads)
    for row in rows:
        table.add_row(*row)
    setting = format_setting({name: picked.row[name] for name in confirmation.parameters})
    print_lines(
        console,
        ["", *confirmation_lines(confirmation), f"trial {picked.trial} of {confirmation.study}: {setting}"],
    )
    print_table(console, table)
    print_lines(console, end_lines(confirmation))
    print_lines(console, (f"model: {path}" for path in sorted(target.path.glob("trials/*/model.*"))))
