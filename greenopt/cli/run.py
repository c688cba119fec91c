"""`greenopt run`: a study from its file to its last trial, watched in a terminal or as lines."""

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenopt.cli.options import DEFAULT_RUNS, AcceptChanges, DryRun, Gpus, Runs, ShareGpus, Storage
from greenopt.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from greenopt.coordination.coordinator import Coordinator
    from greenopt.execution import Slot
    from greenopt.runs.study_log import StudyEnd
    from greenopt.spec import StudySpec


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    study: Annotated[
        Path,
        typer.Argument(
            help="Study file, such as studies/quickstart.toml. Data and modules that it names are looked for beside "
            "it, then in this folder.",
            show_default=False,
        ),
    ],
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials, in place of the file's.")] = None,
    sampler: Annotated[str | None, typer.Option(help="Sampler by name: random, tpe, nsga2, ...")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, in place of the file's.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the study, in place of the file's.")] = None,
    gpus: Gpus = None,
    share_gpus: ShareGpus = False,
    country: Annotated[
        str | None, typer.Option(help="ISO code of the electricity's country, for carbon: DE, FR, US, ...")
    ] = None,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
    plain: Annotated[bool, typer.Option("--plain", help="Run in this process and print lines.")] = False,
    dry_run: DryRun = False,
    accept_changes: AcceptChanges = False,
) -> None:
    """Run a study, or go on with it where it was left.

    In a terminal the study runs as a process of its own and is shown live; closing the view or the terminal leaves it
    running, and `greenopt watch` shows it again. In a pipe, or with --plain, it runs here and prints lines: Ctrl-C lets
    the running trials end; a second one ends them too, and they run again when the study goes on.
    Exit code 0: all trials are done; 3: stopped before; 2: something was wrong with the input.
    """
    from rich.console import Console

    from greenopt.coordination.preflight import check_study
    from greenopt.execution.gpus import choose_slots
    from greenopt.spec import load_study

    changes = {"study.trials": trials, "study.seed": seed, "study.name": name, "energy.country": country}
    overrides: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    if sampler is not None:
        overrides["sampler"] = {"name": sampler}
    spec = load_study(study, overrides)
    check_study(spec, study)
    slots = choose_slots(gpus, share=share_gpus)
    console = Console(soft_wrap=not sys.stdout.isatty())
    if dry_run:
        from greenopt.cli.plan import print_plan
        from greenopt.identity.start import check_start
        from greenopt.runs.folder import RunFolder

        check_start(spec, RunFolder(runs.resolve() / spec.name), storage, slots, accepts_changes=accept_changes)
        print_plan(console, spec, slots)
        return
    if not plain and _is_interactive():
        from greenopt.cli.watch import run_attached

        raise typer.Exit(run_attached(console, spec, storage, runs))
    end = conduct(console, spec, slots, storage, runs, accepts_changes=accept_changes)
    raise typer.Exit(ExitCode.DONE if end == "done" else ExitCode.STOPPED_EARLY)


def _is_interactive() -> bool:
    """Return whether a person sits at both ends of a terminal that can be drawn on."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def conduct(
    console: "Console",
    spec: "StudySpec",
    slots: "Sequence[Slot]",
    storage: str | None,
    runs: Path,
    *,
    accepts_changes: bool = False,
) -> "StudyEnd":
    """Take the study's lock and leases, run it, and print the result."""
    from greenopt.cli.summary_output import print_summary
    from greenopt.coordination.coordinator import Coordinator, Observer
    from greenopt.coordination.progress import Forecast, PlainProgress
    from greenopt.coordination.study_log_writer import StudyLogWriter
    from greenopt.dashboard import DashboardPublisher
    from greenopt.execution import GpuLeases, LocalEngine
    from greenopt.identity.start import open_study
    from greenopt.runs.folder import RunFolder
    from greenopt.runs.provenance import code_in_force
    from greenopt.search import check_url
    from greenopt.storage.url import without_password

    folder = RunFolder(runs.resolve() / spec.name)
    for early in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(early, signal.SIG_IGN)
    with ExitStack() as stack:
        stack.enter_context(GpuLeases(slot.gpu_uuid for slot in slots if slot.gpu_uuid))
        if storage is not None:
            check_url(storage)
        stack.enter_context(folder.claim())
        study = open_study(spec, folder, storage, slots, accepts_changes=accepts_changes)
        search, spec, opened = study.search, study.search.spec, study.storage
        stack.callback(search.lease.release)
        folder.write_study(
            spec.model_dump(mode="json"),
            without_password(study.url),
            code_in_force(),
            study_id=search.study_id,
            run_id=search.run_id,
        )
        engine = LocalEngine(slots)
        stack.callback(engine.close)
        lines = PlainProgress(console, Forecast(spec.study.trials, len(slots)))
        study_log = StudyLogWriter(folder.study_log, slots, study_id=search.study_id, run_id=search.run_id)
        publisher = DashboardPublisher(
            spec, opened, folder, lambda text: console.print(text, highlight=False, markup=False)
        )
        stack.callback(publisher.close)
        observers: tuple[Observer, ...] = (study_log, lines, publisher)
        coordinator = Coordinator(
            spec,
            search,
            engine,
            folder,
            observers,
            annotator=publisher,
            inputs=study.guard,
            metered_by=study.device.energy,
        )
        _listen(coordinator, console)
        end = coordinator.run()
    print_summary(console, folder, opened, end, coordinator.repeated_failure)
    return end


def _listen(coordinator: "Coordinator", console: "Console") -> None:
    """Install handlers: Ctrl-C stops gently, then at once; SIGTERM and SIGHUP at once; SIGUSR1/2 pause and resume."""

    def gently(*_: object) -> None:
        console.print("no new trials; Ctrl-C again ends the running ones too", highlight=False)
        coordinator.stop()

    def at_once(*_: object) -> None:
        coordinator.stop_now()

    signal.signal(signal.SIGUSR1, lambda *_: coordinator.pause())
    signal.signal(signal.SIGUSR2, lambda *_: coordinator.resume())
    signal.signal(signal.SIGINT, gently)
    signal.signal(signal.SIGTERM, at_once)
    signal.signal(signal.SIGHUP, at_once)
