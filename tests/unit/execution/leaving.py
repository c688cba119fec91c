"""A trial that leaves processes behind in every way, and a coordinator's process that runs some of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from greenopt.events import TrialStarted
from greenopt.execution import EventArrived, LocalEngine, ProcessEnded, Slot
from greenopt.execution.processes import FreshInterpreter, WarmCopy
from greenopt.spec import StudySpec, TrialSpec
from greenopt.trial.objective import Trial

LEFT_BY_EACH = 5
WAYS = ("returns", "raises", "is killed", "loses its supervisor", "hangs")


def leaves(trial: Trial) -> float:
    """Start a child, a session, a daemon, a deaf one and a stopped one; then do as told."""
    trial.begin()
    folder = Path(str(trial.params["folder"]))
    sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(300)"]
    plain = subprocess.Popen(sleeper)
    session = subprocess.Popen(sleeper, start_new_session=True, close_fds=True)
    stopped = subprocess.Popen(sleeper)
    stopped.send_signal(signal.SIGSTOP)
    deaf = _forked(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    daemon = _daemon(folder / "daemon")
    pids = (plain.pid, session.pid, stopped.pid, deaf, daemon)
    (folder / "stdin").write_text(f"{os.path.realpath('/proc/self/fd/0')} {os.read(0, 1)!r}")
    (folder / "part").write_text(" ".join(map(str, pids)))
    (folder / "part").rename(folder / "left")
    way = trial.params["way"]
    if way == "raises":
        raise ValueError("as told")
    if way != "returns":
        time.sleep(300)
    trial.end_epoch(0.5)
    return 0.5


def _forked(prepare: object) -> int:
    pid = os.fork()
    if pid == 0:
        if callable(prepare):
            prepare()
        time.sleep(300)
        os._exit(0)
    return pid


def _daemon(file: Path) -> int:
    """Fork twice with a session between and nothing open, as daemons do; return the pid."""
    first = os.fork()
    if first == 0:
        os.setsid()
        if os.fork() == 0:
            file.write_text(str(os.getpid()))
            os.closerange(0, 256)
            time.sleep(300)
        os._exit(0)
    os.waitpid(first, 0)
    while not (file.exists() and file.read_text()):
        time.sleep(0.01)
    return int(file.read_text())


def left_in(folder: Path) -> list[int]:
    """The processes that the trial of a folder started, once it has."""
    until_s = time.monotonic() + 60
    while not (folder / "left").exists():
        assert time.monotonic() < until_s, (folder / "log.txt").read_text()
        time.sleep(0.02)
    return [int(pid) for pid in (folder / "left").read_text().split()]


def main(kind: str, folder: Path) -> None:
    """Run a trial of each way; say when all but the one that hangs have ended."""
    starter = FreshInterpreter() if kind == "fresh" else WarmCopy("json")
    engine = LocalEngine([Slot(f"cpu {number}") for number in range(len(WAYS))], starter)
    pids: dict[int, int] = {}
    for number, way in enumerate(WAYS):
        place = folder / way
        place.mkdir()
        engine.start(_spec(number, way, place), engine.slots[number], place / "log.txt")
    ended: list[ProcessEnded] = []
    told: set[int] = set()
    while len(ended) < len(WAYS) - 1:
        for message in engine.receive(0.2):
            if isinstance(message, EventArrived) and isinstance(message.event, TrialStarted):
                pids[message.trial] = message.event.pid or 0
            if isinstance(message, ProcessEnded):
                ended.append(message)
        for number, pid in pids.items():
            if number not in told and (folder / WAYS[number] / "left").exists():
                told.add(number)
                if WAYS[number] == "is killed":
                    os.kill(pid, signal.SIGKILL)
                if WAYS[number] == "loses its supervisor":
                    os.kill(psutil.Process(pid).ppid(), signal.SIGKILL)
    ends = sorted((message.trial, message.exit_code, message.signal) for message in ended)
    left_in(folder / "hangs")
    print(ends, flush=True)
    engine.receive(300)


def _spec(number: int, way: str, place: Path) -> TrialSpec:
    study = StudySpec.model_validate(
        {
            "study": {"name": "leaves", "trials": 1, "objective": "tests.unit.execution.leaving:leaves"},
            "training": {"epochs": 1},
            "space": {"way": [way]},
        }
    )
    return TrialSpec(
        study="leaves",
        trial=number,
        objective=study.study.objective,
        parameters={"way": way, "folder": str(place)},
        training=study.training,
        energy=study.energy,
        split_seed=1,
        training_seed=1,
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
