"""`greenopt rename`: another name for a study."""

from typing import Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, StudyName


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rename")(rename)


def rename(
    study: StudyName,
    new: Annotated[str, typer.Argument(help="Its new name.")],
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Give a study another name: its folder, its name in the storage, and the studies that confirm it.

    A study whose folder was renamed by other means is found under its folder's name, too.
    """
    from greenopt.cli.output import say
    from greenopt.identity.rename import rename_study
    from greenopt.runs.folder import RunFolder

    renamed = rename_study(RunFolder(runs.resolve() / study), new)
    say(f"study {study} is now {new}: {renamed.path}")
