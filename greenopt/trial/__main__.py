"""The process of one trial: `python -m greenopt.trial SPEC.json --events-fd N`.

The kernel ends it when the process that started it ends. SIGTERM ends it with a final event. Exit code 0 once the final
event is written, whatever it is.
"""

import argparse
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from greenopt.energy.gpus import Gpu, list_gpus
from greenopt.energy.source import DriverError
from greenopt.events import FailReason, Outcome, TrialEnded, TrialStarted
from greenopt.logs import show_logs_if_told
from greenopt.reading import EnergyReading
from greenopt.spec import TrialSpec
from greenopt.trial.failures import Failure, GpuBusyError, classify_failure
from greenopt.trial.journal import EventPipe, Journal
from greenopt.trial.metering import open_meters
from greenopt.trial.parent_watchdog import die_with_parent

_STOPS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one trial and end the process."""
    die_with_parent()
    # Blocked before the first thread starts, and thereby in all threads: one thread waits for these signals, which
    # works during long calls into C too; a thread that did not block them would be killed by them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    parser = argparse.ArgumentParser(prog="python -m greenopt.trial", description="Train one setting and meter it.")
    parser.add_argument("spec", type=Path, help="specification of the trial, JSON")
    parser.add_argument("--events-fd", type=int, required=True, help="file descriptor that events are written to")
    parsed = parser.parse_args(arguments)
    show_logs_if_told()
    spec = TrialSpec.model_validate_json(parsed.spec.read_text(encoding="utf-8"))
    pipe = EventPipe(parsed.events_fd)
    pipe.emit(_started(spec))
    reporter = _LastEventReporter(pipe)
    threading.Thread(target=_end_when_told, args=(reporter,), name="stop", daemon=True).start()
    try:
        with open_meters(spec, pipe.emit, pipe.emit_sample) as meter:
            reporter.journal = journal = Journal(meter, pipe.emit)
            _run(spec, journal)
    except GpuBusyError as error:
        reporter.fail(classify_failure(error))
    _exit(0)


def _run(spec: TrialSpec, journal: Journal) -> None:
    try:
        # TensorFlow, or what a function needs, is imported here, while metering.
        if spec.objective is not None:
            from greenopt.trial.objective import run_objective as run
        else:
            from greenopt.trial.run import run_trial as run
        # Only now, so that no file beside the study takes the place of a module of TensorFlow's or greenopt's.
        if spec.modules_folder is not None and spec.modules_folder not in sys.path[:1]:
            sys.path.insert(0, spec.modules_folder)
        run(spec, journal)
    except BaseException as error:
        traceback.print_exc()
        journal.fail(classify_failure(error))


class _LastEventReporter:
    """Writes the final event of an interrupted trial, whether or not its journal exists yet."""

    def __init__(self, pipe: EventPipe) -> None:
        self._pipe = pipe
        self.journal: Journal | None = None

    def interrupt(self) -> None:
        if self.journal is not None:
            self.journal.interrupt()
        else:
            self.fail(Failure(FailReason.INTERRUPTED, "interrupted before it began"))

    def fail(self, failure: Failure) -> None:
        nothing = EnergyReading.missing("the trial ended before metering began")
        self._pipe.emit(
            TrialEnded(
                t_s=time.monotonic(),
                outcome=Outcome.FAILED,
                reason=str(failure.reason),
                message=failure.message,
                energy=nothing,
                total=nothing,
            )
        )


def _started(spec: TrialSpec) -> TrialStarted:
    gpu = _gpu(spec.gpu_uuid)
    return TrialStarted(
        t_s=time.monotonic(),
        utc=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        trial=spec.trial,
        pid=os.getpid(),
        host=socket.gethostname(),
        gpu_uuid=spec.gpu_uuid,
        gpu_name=gpu.name if gpu else None,
        gpu_memory_bytes=gpu.memory_bytes if gpu else None,
        driver=gpu.driver if gpu else None,
    )


def _gpu(uuid: str | None) -> Gpu | None:
    """Return the facts of the trial's GPU; None where the driver does not tell, which the meter will say."""
    try:
        return next((gpu for gpu in list_gpus() if gpu.uuid == uuid), None) if uuid is not None else None
    except DriverError:
        return None


def _end_when_told(reporter: _LastEventReporter) -> None:
    signal.sigwait(_STOPS)
    reporter.interrupt()
    _exit(0)


def _exit(code: int) -> None:
    """Exit without cleanup: threads of TensorFlow and of greenopt may still be working."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
