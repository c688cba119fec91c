"""`greenopt run`: a study from its file to its last trial, watched in a terminal or as lines."""

import sys
from pathlib import Path
from typing import Annotated

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
    Rule,
    Runs,
    ShareGpus,
    Slots,
    Storage,
    StoragePatience,
    Tracker,
    Verbose,
    is_interactive,
    optional_study_name,
    study_file,
    study_files,
)
from greenopt.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    study: Annotated[
        Path,
        typer.Argument(
            help="Study file, or the name of one that comes along: quickstart, paper. Data and modules that it names "
            "are looked for beside it, then in this folder.",
            callback=study_file,
            show_default=False,
            autocompletion=study_files,
        ),
    ],
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials, in place of the file's.")] = None,
    sampler: Annotated[str | None, typer.Option(help="Sampler by name: random, tpe, nsga2, ...")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, in place of the file's.")] = None,
    stopping: Annotated[
        Rule | None, typer.Option(help="Rule by which trials are stopped early, in place of the file's.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the study, in place of the file's.")] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AMOUNT",
            help="The most that the study may use: 2kWh, 500Wh, 3h, 90min, 5EUR, 1kgCO2. Repeatable, one of each "
            "kind; in place of the file's of that kind.",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="End the study when its front has stood still for so many trials that ended."),
    ] = None,
    gpus: Gpus = None,
    share_gpus: ShareGpus = False,
    executor: ExecutorOption = ExecutorName.LOCAL,
    address: Address = None,
    slots_at_once: Slots = None,
    gpu_model: GpuModel = None,
    country: Annotated[
        str | None, typer.Option(help="ISO code of the electricity's country, for carbon: DE, FR, US, ...")
    ] = None,
    storage: Storage = None,
    storage_patience: StoragePatience = DEFAULT_STORAGE_PATIENCE_S,
    track: Annotated[
        list[Tracker] | None,
        typer.Option(help="Send each trial that ends to this tracker, as `greenopt track` does. Repeatable."),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    plain: Annotated[bool, typer.Option("--plain", help="Run in this process and print lines.")] = False,
    dry_run: DryRun = False,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY", callback=optional_study_name, help="With --dry-run: forecast from this study's trials."
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="With --dry-run: train each shape for some seconds, and forecast from that what the study takes.",
        ),
    ] = False,
    accept_changes: AcceptChanges = False,
    verbose: Verbose = False,
) -> None:
    """Run a study, or go on with it where it was left.

    In a terminal the study runs as a process of its own and is shown live; closing the view or the terminal leaves it
    running, and `greenopt watch` shows it again. In a pipe, or with --plain, it runs here and prints lines: Ctrl-C lets
    the running trials end; a second one ends them too, and they run again when the study goes on.
    Exit code 0: all trials are done; 3: stopped before, by you, a budget, patience or a storage that stayed away; 4: it
    ended, and no trial completed; 2: wrong input.
    """
    from rich.console import Console

    from greenopt.cli.executors import Executor
    from greenopt.cli.plan import plan_run, start_notes
    from greenopt.cli.tables import print_lines
    from greenopt.coordination.preflight import check_study, fetch_inputs, input_notes
    from greenopt.identity.going_on import take_up
    from greenopt.spec import load_study, overrides_of
    from greenopt.tracking.tracker import TrackerName, check_installed

    overrides = overrides_of(
        sampler,
        study__trials=trials,
        study__seed=seed,
        study__name=name,
        energy__country=country,
        study__patience=patience,
        stopping__kind=None if stopping is None else str(stopping),
    )
    spec = load_study(study, overrides, budget or ())
    check_study(spec, study)
    for tracker in track or ():
        check_installed(TrackerName(tracker))
    where = Executor(executor, address, gpus, share_gpus, slots_at_once, gpu_model)
    slots = where.find_slots()
    console = Console(soft_wrap=not sys.stdout.isatty())
    if dry_run:
        if measure and like is not None:
            raise UsageError("--measure, --like: the forecast is made from one of them; give one")
        measured_on = where if measure else None
        plan_run(
            console, spec, slots, storage, runs, like=like, measured_on=measured_on, accepts_changes=accept_changes
        )
        return
    if measure:
        raise UsageError("--measure: is for --dry-run, which says what the study will take")
    if like is not None:
        raise UsageError("--like: is for --dry-run, which says what the study will take")
    notes = start_notes(spec)
    spec, taken_up = take_up(spec, runs, storage, slots, accepts_changes=accept_changes)
    print_lines(console, taken_up)
    if not plain and is_interactive():
        from greenopt.cli.watch import run_attached

        print_lines(console, [*notes, *(f"note: {note}" for note in input_notes(spec))])
        fetch_inputs(spec)
        raise typer.Exit(run_attached(console, spec, storage, runs))
    from greenopt.cli.session import run_session

    if verbose:
        from greenopt.logs import show_logs

        show_logs()
    ended = run_session(
        console,
        spec,
        slots,
        storage,
        runs,
        accepts_changes=accept_changes,
        storage_patience_s=storage_patience,
        trackers=[TrackerName(tracker) for tracker in track or ()],
        notes=notes,
        executor=where,
    )
    raise typer.Exit(ended.exit_code)
