"""`greenopt dashboard`: optuna-dashboard on a study's storage, for this machine's browser."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, Storage, StudyName
from greenopt.cli.output import say

if TYPE_CHECKING:
    from greenopt.runs.folder import RunFolder
    from greenopt.search import Storage as OpenStorage

IDLE_CHECK_S = 1.0
END_CHECK_S = 0.1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dashboard")(dashboard)


def dashboard(
    study: StudyName,
    storage: Storage = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; a free one unless given.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Show a study in optuna-dashboard until Ctrl-C; a running study is shown live.

    The Pareto front, the trial table, notes, logs and curves of trials, hypervolume, power and more. It listens on this
    machine only; from elsewhere use ssh -L PORT:127.0.0.1:PORT.
    """
    import signal
    from threading import Thread

    from greenopt.identity.place import locate
    from greenopt.runs.folder import RunFolder
    from greenopt.search import open_storage, read_study

    folder = RunFolder(runs.resolve() / study)
    found = locate(folder, storage)
    opened = open_storage(found.url)
    read_study(found.name, opened)
    from greenopt.dashboard.server import open_server, study_url  # takes seconds; an unknown study is said at once

    server = open_server(opened, folder.artifacts, port)
    url = study_url(server, found.name, opened)
    ending = False

    def end(*_: object) -> None:
        nonlocal ending
        ending = True

    # Handlers that only note it: a KeyboardInterrupt may arise inside a destructor, where Python drops it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    with server:
        serving = Thread(target=server.serve_forever, daemon=True)
        serving.start()
        say(f"study {study}: {url}\nCtrl-C ends it")
        if browser:
            _open_browser(url)
        is_idle = _idle_check(found.name, opened, folder)
        adding = Thread(
            target=_add_what_is_missing, args=(found.name, opened, folder, lambda: not ending and is_idle())
        )
        adding.start()
        while not ending:
            time.sleep(END_CHECK_S)
        server.shutdown()
        adding.join()


def _open_browser(url: str) -> None:
    """Open a graphical browser; a text browser would take over the terminal."""
    if any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        import webbrowser

        webbrowser.open(url)


def _add_what_is_missing(study: str, storage: "OpenStorage", folder: "RunFolder", is_idle: Callable[[], bool]) -> None:
    """Add what is missing from an idle study; a failure is reported in one line, and the pages are still served."""
    from greenopt.dashboard import catch_up
    from greenopt.plain_text import in_one_line
    from greenopt.storage.url import without_secrets

    try:
        if is_idle():
            catch_up(study, storage, folder, is_idle)
    except Exception as error:
        reason = in_one_line(without_secrets(str(error).strip().partition("\n")[0]))
        say(f"greenopt: notes and figures not added: {type(error).__name__}: {reason}", is_error=True)


def _idle_check(study: str, storage: "OpenStorage", folder: "RunFolder") -> Callable[[], bool]:
    """Return whether nobody runs the study, looked up at most every `IDLE_CHECK_S`."""
    from greenopt.search import lease_holder

    checked_s, is_idle = float("-inf"), False

    def check() -> bool:
        nonlocal checked_s, is_idle
        if time.monotonic() - checked_s >= IDLE_CHECK_S:
            is_idle = folder.holder() is None and lease_holder(study, storage) is None
            checked_s = time.monotonic()
        return is_idle

    return check
