"""`greenopt doctor`: what this machine has, and what to do about what is missing."""

from typing import Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs
from greenopt.errors import ExitCode

MARKS = {"good": "✔", "limited": "◐", "bad": "✖"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    runs: Runs = DEFAULT_RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what this machine has and what is missing.

    Looks at GPUs, energy readings, TensorFlow and data sets, and says what to do about what is missing.
    Exit code 1 where something keeps studies from running.
    """
    import json
    from dataclasses import asdict

    from greenopt.doctor import Health, examine

    findings = []
    for finding in examine(runs):
        findings.append(finding)
        if not as_json:
            print(f"{MARKS[finding.health]} {finding.topic:<18} {finding.text}", flush=True)
            if finding.advice:
                print(f"{'':<20} → {finding.advice}", flush=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    if any(finding.health is Health.BAD for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
