"""`greenopt doctor --meter`: tests how well this machine's GPU can be metered.

What needs an idle GPU runs here, what needs a load in a process of its own (`greenopt.trial.meter_check`).
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO

from greenopt.energy.check import Comparison, Overhead, ReadingStats, Repeats, compare, measure_readings
from greenopt.energy.source import PowerSource

READING_STATS_S = 3.0
WINDOW_S = 15.0
MAX_DIFFERENCE_UNDER_LOAD = 0.02
MAX_DIFFERENCE_AT_IDLE = 0.05
MAX_OVERHEAD = 0.005
MAX_CORE_SHARE = 0.01
MAX_VARIATION = 0.02
LOAD_COMMAND = (sys.executable, "-m", "greenopt.trial.meter_check")
IDLE = "idle"


@dataclass
class MeterCheck:
    """All measurements so far; later ones are missing.

    Attributes:
        device: the GPU in words.
        counter: of the energy counter.
        power: of the power reading.
        agreements: counter against integral, a load each.
        overhead: of metering, on steps of training.
        repeats: of forty steps of training.
        failure: why the loads did not run to their end.
        problems: what else could not be looked at, and why.
    """

    device: str
    counter: ReadingStats | None = None
    power: ReadingStats | None = None
    agreements: list[Comparison] = field(default_factory=list)
    overhead: Overhead | None = None
    repeats: Repeats | None = None
    failure: str | None = None
    problems: list[str] = field(default_factory=list)


def check_meter(
    source: PowerSource,
    gpu_uuid: str | None,
    command: Sequence[str] = LOAD_COMMAND,
    idle: Callable[[], object] = lambda: time.sleep(WINDOW_S),
    reading_stats_s: float = READING_STATS_S,
    environment: Mapping[str, str] | None = None,
) -> Iterator[MeterCheck]:
    """Measure the meter; gives the figures so far after each part. A part that fails is a problem, the next follows.

    Args:
        source: the GPU, on which nothing computes.
        gpu_uuid: the GPU's UUID, for the loads' process.
        command: program that runs the loads.
        idle: waits while the idle GPU is looked at.
        reading_stats_s: how long to look at each reading, in s.
        environment: of the loads' process; this one's unless given.
    """
    check = MeterCheck(source.name)
    with _noting(check, "energy counter"):
        check.counter = measure_readings(source.energy_j, reading_stats_s)
    with _noting(check, "power"):
        check.power = measure_readings(source.power_w, reading_stats_s)
    yield check
    with _noting(check, IDLE):
        check.agreements.append(compare(source, IDLE, idle, counts_core=True))
    yield check
    given = ["--gpu-uuid", gpu_uuid] if gpu_uuid is not None else []
    # A file, because nobody reads a pipe's other end while TensorFlow logs.
    with tempfile.TemporaryFile("w+") as log:
        try:
            process = subprocess.Popen(
                [*command, *given], stdout=subprocess.PIPE, stderr=log, text=True, errors="replace", env=environment
            )
        except OSError as error:
            check.failure = f"{command[0]}: {error.strerror or error}"
            yield check
            return
        yield from _loads(check, process, log)


def _loads(check: MeterCheck, process: "subprocess.Popen[str]", log: IO[str]) -> Iterator[MeterCheck]:
    """Take in what the loads' process prints, until it ends."""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("{"):
                with _noting(check, "loads"):
                    _take(check, json.loads(line))
                yield check
        if process.wait() != 0:
            log.seek(0)
            lines = [text.strip() for text in log if text.strip()]
            check.failure = lines[-1] if lines else f"exit code {process.returncode}"
            yield check
    finally:
        process.kill()
        process.wait()


@contextmanager
def _noting(check: MeterCheck, part: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        check.problems.append(f"{part}: {type(error).__name__}: {' '.join(str(error).split())}")


def _take(check: MeterCheck, line: dict[str, object]) -> None:
    ((name, metrics),) = line.items()
    match name:
        case "agreement":
            check.agreements.append(Comparison.model_validate(metrics))
        case "overhead":
            check.overhead = Overhead.model_validate(metrics)
        case "repeats":
            check.repeats = Repeats.model_validate(metrics)


class Trust(StrEnum):
    """The trust that a meter deserves."""

    YES = "yes"
    LIMITED = "limited"
    NO = "no"


def format_reading_stats(name: str, stats: ReadingStats) -> str:
    """Format the statistics of a reading in one line."""
    if stats.cost_s is None:
        return f"{name}: not reported by this GPU"
    period = "did not change" if stats.period_s is None else f"changes every {stats.period_s * 1000:.0f} ms"
    return f"{name}: {period}, a reading takes {_short(stats.cost_s)}"


def format_comparison(agreement: Comparison) -> str:
    """Format the comparison of counter and integral in one line."""
    reading = agreement.reading
    if agreement.difference is None:
        return f"{agreement.load}: {reading.reason or 'counter and power cannot be compared'}"
    watts, energy_mwh = reading.average_power_w or 0.0, 1000 * (reading.energy_wh or 0.0)
    doubt = "" if reading.uncertainty_wh is None else f" +-{reading.uncertainty_wh * 1000:.1f}"
    return (
        f"{agreement.load}: {watts:.0f} W for {reading.seconds:.0f} s, {energy_mwh:.1f}{doubt} mWh; "
        f"integral {100 * agreement.difference:+.2f} % from the counter"
    )


def format_overhead(overhead: Overhead) -> str:
    """Format the metering overhead in one line."""
    return (
        f"metering adds {100 * overhead.share:+.2f} +-{100 * overhead.noise:.2f} % to training steps "
        f"({overhead.pairs} pairs of {overhead.work_s:.2f} s, with and without)"
    )


def format_repeats(repeats: Repeats) -> str:
    """Format the repeatability in one line."""
    if repeats.variation is None:
        return "the same training again: not measured"
    shown = ", ".join(f"{energy * 1000:.1f}" for energy in repeats.energies_wh)
    return (
        f"the same training {len(repeats.energies_wh)} times: {shown} mWh, varying by {100 * repeats.variation:.2f} %"
    )


def assess_meter(check: MeterCheck) -> tuple[Trust, list[str]]:
    """Judge whether to trust the meter; the first sentence is the answer, the others its reasons."""
    reasons, trust = [], Trust.YES
    if check.failure is not None:
        return Trust.NO, [f"Not known: the loads did not run to their end: {check.failure}", *check.problems]
    if check.problems or not check.agreements:
        return Trust.NO, [f"Not known: {'; '.join(check.problems) or 'nothing was measured'}"]
    for agreement in check.agreements:
        most = MAX_DIFFERENCE_AT_IDLE if agreement.load == IDLE else MAX_DIFFERENCE_UNDER_LOAD
        if agreement.reading.energy_wh is None:
            return Trust.NO, [f"Do not trust it: {agreement.load}: not measured: {agreement.reading.reason}"]
        if agreement.difference is None:
            trust = Trust.LIMITED
        elif abs(agreement.difference) > most:
            reasons.append(
                f"counter and power differ by {100 * abs(agreement.difference):.1f} % ({agreement.load}); "
                f"up to {100 * most:.0f} % is usual"
            )
    if reasons:
        return Trust.NO, ["Do not trust it: " + "; ".join(reasons) + ". One of the two sensors is wrong."]
    if trust is Trust.LIMITED:
        lines = ["Trust it with care: only one of energy counter and power can be read, so nothing confirms it."]
    else:
        worst = max(abs(agreement.difference or 0.0) for agreement in check.agreements)
        lines = [
            "Trust it: energy counter and integral of power, two ways to the same energy, "
            f"agree to {100 * worst:.1f} % in every load."
        ]
    return trust, [*lines, *_cautions(check)]


def _cautions(check: MeterCheck) -> Iterator[str]:
    """Return further caveats for the user, as sentences."""
    core = next((agreement.core_share for agreement in check.agreements if agreement.core_share is not None), None)
    if core is not None:
        much = "" if core <= MAX_CORE_SHARE else ", more than it should"
        yield f"The meter uses {100 * core:.1f} % of a CPU core{much}."
    if check.overhead is not None and check.overhead.share - check.overhead.noise > MAX_OVERHEAD:
        yield f"It slows training down by {100 * check.overhead.share:.1f} %, more than it should."
    if check.overhead is not None and check.overhead.noise > MAX_OVERHEAD:
        yield f"Steps vary so much here that a slowdown of less than {100 * check.overhead.noise:.1f} % cannot be seen."
    gap = check.repeats.distinguishable if check.repeats is not None else None
    if gap is not None and check.repeats is not None:
        yield (
            f"Two trials whose energies differ by less than {100 * gap:.1f} % may be equal; "
            'for smaller differences repeat them (on_duplicate = "replicate") and compare means.'
        )
        if (check.repeats.variation or 0.0) > MAX_VARIATION:
            yield "That is a lot: look for other load on this machine, a shared power cap or heat."
    yield "Boards differ by about 5 % from a wall meter: compare trials on one board, not joules between boards."


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"
