"""`greenopt track`: a study's trials as runs of an experiment tracker."""

from typing import Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, Storage, StudyName, Tracker


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("track")(track)


def track(
    study: StudyName,
    to: Annotated[Tracker, typer.Option("--to", help="The tracker: mlflow or wandb, each an extra of greenopt.")],
    project: Annotated[
        str | None,
        typer.Option(help="What the tracker calls the study: an experiment or a project; the study's name by default."),
    ] = None,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Send a study's trials to MLflow or Weights & Biases, each as a run.

    Parameters, every figure, the curves by epoch with their energy, the log and a kept model. Each trial is sent once;
    later calls send what has ended since. Where it goes is set as everywhere with that tracker: MLFLOW_TRACKING_URI,
    WANDB_MODE=offline, WANDB_API_KEY. `greenopt run --track mlflow` does it as trials end.
    """
    from greenopt.cli.output import say
    from greenopt.runs.folder import RunFolder
    from greenopt.tracking.send import send_trials
    from greenopt.tracking.tracker import TrackerName, check_installed, open_tracker

    folder = RunFolder(runs.resolve() / study)
    name, called = TrackerName(to), project or study
    check_installed(name)
    count = send_trials(folder, storage, name, called, lambda: open_tracker(name, called, folder.study_id))
    say(f"{count} trials -> {name}, {called}" if count else f"nothing new for {name}, {called}")
