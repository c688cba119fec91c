"""`greenopt doctor`: checks this machine and advises on what is missing; `--meter` tests its energy meter."""

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenopt.cli.options import DEFAULT_RUNS, Runs
from greenopt.cli.output import say, say_json
from greenopt.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from greenopt.doctor.machine import Finding
    from greenopt.doctor.meter import MeterCheck

MARKS = {"good": "✔", "limited": "◐", "bad": "✖"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    runs: Runs = DEFAULT_RUNS,
    meter: Annotated[
        bool, typer.Option("--meter", help="Test the GPU's energy meter instead; takes two minutes of load.")
    ] = False,
    gpus: Annotated[
        str | None, typer.Option(help="With --meter: the GPU, by NVML index or UUID; the first unless given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    address: Annotated[
        str | None,
        typer.Option(help="Look at a Ray cluster's nodes too: auto, HOST:PORT of the head node, or ray://HOST:10001."),
    ] = None,
) -> None:
    """Say what this machine has and what is missing.

    Looks at GPUs, energy readings, TensorFlow and data sets, and says what to do about what is missing.
    With --meter: how often the GPU's readings change, whether counter and power agree when it is idle, under steady and
    under changing load, what metering costs, how well a training repeats, and whether to trust all that.
    Exit code 1 where something keeps studies from running, or where the meter should not be trusted. What cannot be
    looked at is a finding of its own; --json prints JSON of the same form whatever happens.
    """
    if meter:
        _check_meter(gpus, as_json=as_json)
    else:
        _examine(runs, gpus, address, as_json=as_json)


def _examine(runs: Path, gpus: str | None, address: str | None, *, as_json: bool) -> None:
    from dataclasses import asdict
    from itertools import chain

    from greenopt.doctor.machine import Finding, Health, examine, in_a_line
    from greenopt.errors import UsageError

    findings: list[Finding] = []
    try:
        if gpus is not None:
            raise UsageError("--gpus: needs --meter; without it, doctor checks all GPUs")
        for finding in chain(examine(runs), _examine_cluster(address)):
            findings.append(finding)
            if not as_json:
                _print_finding(finding)
    except Exception as error:
        findings.append(Finding("doctor", Health.BAD, in_a_line(error), "doctor stopped here"))
        raise
    finally:
        if as_json:
            _print_json([asdict(finding) for finding in findings])
    if any(finding.health is Health.BAD for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _examine_cluster(address: str | None) -> "Iterator[Finding]":
    if address is not None:
        from greenopt.doctor.cluster import examine_cluster

        yield from examine_cluster(address)


def _print_finding(finding: "Finding") -> None:
    say(f"{MARKS[finding.health]} {finding.topic:<18} {finding.text}")
    if finding.advice:
        say(f"{'':<20} → {finding.advice}")


def _check_meter(selection: str | None, *, as_json: bool) -> None:
    from greenopt.doctor.machine import in_a_line
    from greenopt.doctor.meter import MeterCheck, Trust, assess_meter

    check, shown = MeterCheck("no GPU"), _Shown(quiet=as_json)
    trust, sentences = Trust.NO, ["Not known: interrupted"]
    try:
        for check in _checks(selection):
            shown.update(check)
        trust, sentences = assess_meter(check)
    except Exception as error:
        sentences = [f"Not known: {in_a_line(error)}"]
        raise
    finally:
        if as_json:
            _print_json({**vars(check), "trust": trust, "verdict": sentences})
    if not as_json:
        say("\n" + "\n".join(sentences))
    if trust is Trust.NO:
        raise typer.Exit(ExitCode.FAILED)


def _checks(selection: str | None) -> "Iterator[MeterCheck]":
    """Give the figures of the chosen GPU's meter, more of them each time."""
    from greenopt.doctor.meter import check_meter
    from greenopt.energy.source_choice import open_source
    from greenopt.errors import GreenoptError, UsageError
    from greenopt.execution import GpuLeases, child_environment
    from greenopt.execution.gpus import CPU, choose_slots
    from greenopt.spec import EnergySpec

    slots = choose_slots(selection)
    if slots[0] == CPU:
        kind = open_source(None, EnergySpec()).kind
        raise GreenoptError(
            "there is no NVIDIA GPU here to test the meter of; the energy of trials on this CPU is "
            + ("measured by RAPL" if kind.is_measured else "an estimate, which no test can confirm")
        )
    if len(slots) > 1 and selection is not None:
        raise UsageError(f"--gpus {selection}: --meter tests one GPU at a time")
    slot = slots[0]
    assert slot.gpu_uuid is not None
    with GpuLeases([slot.gpu_uuid]):
        source = open_source(slot.gpu_uuid, EnergySpec())
        try:
            yield from check_meter(source, slot.gpu_uuid, environment=child_environment(os.environ, slot))
        finally:
            with suppress(Exception):
                source.close()


def _print_json(value: object) -> None:
    """Print JSON that every reader takes: no NaN, no infinity."""
    import json

    from pydantic_core import to_jsonable_python

    say_json(json.dumps(_finite(to_jsonable_python(value, fallback=str)), indent=1))


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list) else value


class _Shown:
    """Prints each measurement once, as soon as it is available."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._lines = 0

    def update(self, check: "MeterCheck") -> None:
        from greenopt.doctor.meter import format_comparison, format_overhead, format_reading_stats, format_repeats

        lines = [f"metering {check.device}; about two minutes"]
        if check.counter is not None and check.power is not None:
            lines += [format_reading_stats("energy counter", check.counter), format_reading_stats("power", check.power)]
        lines += [format_comparison(agreement) for agreement in check.agreements]
        lines += [format_overhead(check.overhead)] if check.overhead is not None else []
        lines += [format_repeats(check.repeats)] if check.repeats is not None else []
        if not self._quiet:
            for line in lines[self._lines :]:
                say(line)
        self._lines = len(lines)
