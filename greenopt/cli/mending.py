"""`greenopt retry`, `exclude` and `delete`: what is done about trials that failed, trials that mislead, and studies."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, Storage, StudyName, is_interactive
from greenopt.cli.output import say
from greenopt.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from greenopt.identity.deletion import Deletion
    from greenopt.runs.folder import RunFolder


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("retry")(retry)
    app.command("exclude")(exclude)
    app.command("delete")(delete)


def retry(
    study: StudyName,
    trials: Annotated[
        list[int] | None, typer.Argument(min=0, metavar="[TRIAL]...", help="Their numbers. Default: all failed trials.")
    ] = None,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Run failed trials again, once their cause was mended: the next `greenopt run` trains their settings first.

    Each becomes a new trial with the same setting (`retry_of` names the old one), which takes the old one's place in
    the study's number of trials. The old one stays on record as failed. Excluded trials can be run again, too.
    """
    from greenopt.formatting import counted
    from greenopt.identity.mending import retry_trials
    from greenopt.runs.folder import RunFolder

    retried = retry_trials(RunFolder(runs.resolve() / study), storage, trials or ()).trials
    for number, new in retried.items():
        say(f"trial {number} runs again as trial {new}")
    say(f"study {study}: {counted(len(retried))} waiting; run the study again with `greenopt run` to train them")


def exclude(
    study: StudyName,
    trials: Annotated[list[int], typer.Argument(min=0, metavar="TRIAL...", help="Their numbers.", show_default=False)],
    why: Annotated[str | None, typer.Option(help="Why, in a line; it is shown with the trials.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take them back in.")] = False,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Leave trials out of front, analysis, report and best results; they are kept, and shown with the reason.

    Samplers no longer learn from them. Their energy still counts as used, and they count towards the study's number of
    trials; `greenopt retry` runs their settings again.
    """
    from greenopt.identity.mending import exclude_trials, include_trials
    from greenopt.runs.folder import RunFolder

    folder = RunFolder(runs.resolve() / study)
    listed = ", ".join(map(str, dict.fromkeys(trials)))
    if undo:
        if why is not None:
            raise UsageError("exclude: --why has no effect with --undo; leave it out")
        include_trials(folder, storage, trials)
        _tell_dashboard(folder, storage, trials)
        say(f"study {study}: trial {listed} counts again")
        return
    if why is None:
        raise UsageError(f'exclude: --why is missing; say why, as in greenopt exclude {study} {trials[0]} --why "..."')
    exclude_trials(folder, storage, trials, why)
    _tell_dashboard(folder, storage, trials)
    say(f"study {study}: trial {listed} is excluded: {why.strip()}")


def _tell_dashboard(folder: "RunFolder", storage: str | None, trials: list[int]) -> None:
    """Say in the trials' notes what was said of them; the exclusion itself is done."""
    from greenopt.dashboard import publish_exclusions
    from greenopt.identity.place import locate
    from greenopt.search import open_storage

    stored = locate(folder, storage)
    publish_exclusions(stored.name, open_storage(stored.url), folder, trials)


def delete(
    study: StudyName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Delete a study: its trials in the storage, and its folder with all that lies in it. It cannot be undone.

    A study that runs is not deleted. Links are not followed: what a link inside the folder names is left alone.
    """
    from greenopt.identity.deletion import delete_study, plan_deletion
    from greenopt.runs.folder import RunFolder

    plan = plan_deletion(RunFolder(runs.resolve() / study))
    if not yes and not (is_interactive() or sys.stdin.isatty()):
        raise UsageError(f"delete: say --yes to delete study {study}, or run the command in a terminal")
    for line in _told(plan):
        say(line)
    if not yes and not typer.confirm(f"Delete study {study}?", default=False):
        say("nothing was deleted")
        raise typer.Exit(ExitCode.FAILED)
    delete_study(plan)
    say(f"study {study} is deleted")


def _told(plan: "Deletion") -> list[str]:
    from greenopt.formatting import counted
    from greenopt.storage.url import without_password

    lines = [f"{plan.folder.path}: {counted(plan.trials)}, with their logs, events and models"]
    if plan.stored is not None:
        lines.append(f"study {plan.stored.name} in {without_password(plan.stored.url)}")
    if plan.shares_with is not None:
        lines.append(f"kept: its trials in the storage, which are those of study {plan.shares_with} too")
    if plan.confirmed_by:
        lines.append(f"kept: what confirms it: {', '.join(plan.confirmed_by)}")
    return lines
