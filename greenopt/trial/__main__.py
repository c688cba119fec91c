"""The process of one trial: `python -m greenopt.trial SPEC.json --events-fd N`.

Standard input is its lifeline: it ends when the other end is closed. SIGTERM ends it with a last word. Exit code 0 once
the last word is written, whatever it is.
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

from greenopt.energy import EnergyMeter, known_idle_w, list_gpus, open_source
from greenopt.events import TrialStarted
from greenopt.spec import TrialSpec
from greenopt.trial.failures import failure_of
from greenopt.trial.journal import EventPipe, Journal
from greenopt.trial.lifeline import die_with_parent, watch_lifeline

_STOPS = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one trial and end the process."""
    die_with_parent()
    # Blocked before the first thread and thereby in all of them: a thread of our own waits for them, which works during
    # long calls into C too, and any thread that did not block them would be killed by them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    watch_lifeline()
    parser = argparse.ArgumentParser(prog="python -m greenopt.trial", description="Train one setting and meter it.")
    parser.add_argument("spec", type=Path, help="specification of the trial, JSON")
    parser.add_argument("--events-fd", type=int, required=True, help="file descriptor that events are written to")
    parsed = parser.parse_args(arguments)
    spec = TrialSpec.model_validate_json(parsed.spec.read_text(encoding="utf-8"))
    pipe = EventPipe(parsed.events_fd)
    pipe.emit(_started(spec))
    source = open_source(spec.gpu_uuid, spec.energy)
    with EnergyMeter(
        source,
        sample_hz=spec.energy.sample_hz,
        sync=sync_devices,
        on_sample=pipe.emit_sample,
        idle_w=known_idle_w(spec.gpu_uuid, spec.energy),
    ) as meter:
        journal = Journal(meter, pipe.emit)
        threading.Thread(target=_end_when_told, args=(journal,), name="stop", daemon=True).start()
        try:
            # TensorFlow comes in here, metered.
            from greenopt.trial.run import run_trial

            run_trial(spec, journal)
        except BaseException as error:
            traceback.print_exc()
            journal.fail(failure_of(error))
    _exit(0)


def sync_devices() -> None:
    """Wait until TensorFlow's devices have done their work; nothing to wait for before it is imported."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        tensorflow.test.experimental.sync_devices()


def _started(spec: TrialSpec) -> TrialStarted:
    gpu = next((gpu for gpu in list_gpus() if gpu.uuid == spec.gpu_uuid), None) if spec.gpu_uuid else None
    return TrialStarted(
        t_s=time.monotonic(),
        utc=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        trial=spec.trial,
        pid=os.getpid(),
        host=socket.gethostname(),
        gpu_uuid=spec.gpu_uuid,
        gpu_name=gpu.name if gpu else None,
        driver=gpu.driver if gpu else None,
    )


def _end_when_told(journal: Journal) -> None:
    signal.sigwait(_STOPS)
    journal.interrupt()
    _exit(0)


def _exit(code: int) -> None:
    """End at once: threads of TensorFlow and of ours may be in the middle of something."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
