"""`greenopt analyze`: what the trials of a study say, in tables, in words, or as JSON."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs, Storage, StudyName, named_path


class Response(StrEnum):
    """What a regression explains; the names of `greenopt.analysis.results.Response`."""

    LOG_ENERGY_WH = "log_energy_wh"
    ENERGY_WH = "energy_wh"
    ACCURACY = "accuracy"
    EFFICIENCY = "efficiency"
    WH_PER_EPOCH = "wh_per_epoch"


class Coding(StrEnum):
    """How values become columns; the names of `greenopt.analysis.results.Coding`."""

    TREATMENT = "treatment"
    EFFECTIVE = "effective"
    PAPER = "paper"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyze")(analyze)


def analyze(
    study: StudyName,
    response: Annotated[
        list[Response] | None,
        typer.Option("--response", help="Regressions to show; log_energy_wh and accuracy unless given."),
    ] = None,
    coding: Annotated[
        Coding,
        typer.Option(
            "--coding",
            help="treatment: values against the baseline's. effective: the same, values without effect in a setting "
            "set to what they amount to. paper: all values, no constant, minimum norm.",
        ),
    ] = Coding.EFFECTIVE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document with every figure.")] = False,
    following: Annotated[
        Path | None,
        typer.Option(
            "--next",
            callback=named_path,
            help="Write the settings that would settle most to this TOML file, to run next.",
        ),
    ] = None,
    storage: Storage = None,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Say what saves energy in a study, and how sure that is.

    Figures, rankings, the Pareto front, regressions with their diagnostics, importances, and advice in words.
    """
    import json
    import os

    # The designs are long and thin: on a shared machine threads spend more time waiting for one another than they save.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from rich.console import Console

    from greenopt.analysis import results
    from greenopt.analysis.document import build_document
    from greenopt.cli.analysis_tables import print_analysis
    from greenopt.cli.output import say, say_json
    from greenopt.errors import UsageError
    from greenopt.files import requested_file
    from greenopt.report.study_analysis import analyse_study
    from greenopt.runs.folder import RunFolder

    if following is not None:
        refuse_precious(following)
    analysis = analyse_study(RunFolder(runs.resolve() / study), storage)
    if following is not None:
        if not analysis.advice.toml:
            raise UsageError(f"{following}: not written; there is no setting to be run next")
        with requested_file(following) as scratch:
            scratch.write_text(analysis.advice.toml, encoding="utf-8")
    if as_json:
        say_json(json.dumps(build_document(analysis), allow_nan=False, ensure_ascii=False))
        return
    shown = [results.Response(name) for name in response or (Response.LOG_ENERGY_WH, Response.ACCURACY)]
    print_analysis(Console(), analysis, shown, results.Coding(coding))
    if following is not None:
        say(f"{len(analysis.advice.next_settings)} settings -> {following}")


def refuse_precious(path: Path) -> None:
    """Refuse to write the next settings over a file that holds anything else, such as the study itself.

    Raises:
        UsageError: it does, or cannot be read.
    """
    import tomllib

    from greenopt.errors import UsageError

    try:
        before = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        before = {}
    study = before.get("study")
    if set(before) != {"study"} or not isinstance(study, dict) or set(study) != {"enqueue"}:
        raise UsageError(f"{path}: is there already, and holds more than next settings; name another file with --next")
