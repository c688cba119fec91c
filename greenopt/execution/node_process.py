"""One slot of another machine: a process there that runs its trials, as a coordinator there would.

`python -m greenopt.execution.node_process CONFIGURATION` takes commands from standard input and writes what happens to
standard output, JSON by lines. It leases its GPU, so that a study of that machine's own never shares it.
Invariant: its trials end when its standard input does, however that happens.
"""

import json
import os
import queue
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from greenopt.energy.gpu_health import GpuWatch
from greenopt.energy.gpus import list_gpus
from greenopt.energy.host import RaplDomains
from greenopt.errors import UsageError
from greenopt.events import encode
from greenopt.execution.contract import EventArrived, Message, ProcessEnded, Slot
from greenopt.execution.gpus import CPU, choose_slots
from greenopt.execution.leases import GpuLeases
from greenopt.execution.local import LocalEngine
from greenopt.execution.processes import FreshInterpreter
from greenopt.reading import EnergySource
from greenopt.spec import TrialSpec

LOG_FILE = "log.txt"
LOOK_EVERY_S = 10.0
PATIENCE_S = 6.0
"""How long a GPU may be held by what a coordinator that was killed left to end."""

_COMMAND_S = 0.05
"""How long a command may wait while a trial runs; events do not."""


@dataclass(frozen=True)
class NodeConfiguration:
    """What a slot is made with.

    Attributes:
        folder: its own, for the trials' files; removed at the end.
        gpus: what CUDA_VISIBLE_DEVICES would be for its GPU alone; None for the CPU.
        share: whether other processes may compute on the GPU.
        command: program in the place of a trial's, for tests.
    """

    folder: str
    gpus: str | None = None
    share: bool = False
    command: tuple[str, ...] = ()


def trial_folder(folder: Path, trial: int) -> Path:
    """Return where a trial has its files, below the slot's folder."""
    return folder / "trials" / str(trial)


def main() -> None:
    """Run a slot until standard input ends."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = json.loads(sys.argv[1])
    configuration = NodeConfiguration(**{**told, "command": tuple(told["command"])})
    with _output() as output:
        try:
            with taken_slot(configuration) as slot:
                _NodeProcess(configuration, slot, output).run()
        except UsageError as error:
            _write(output, {"kind": "refused", "reason": str(error)})
        finally:
            shutil.rmtree(configuration.folder, ignore_errors=True)


@contextmanager
def taken_slot(configuration: NodeConfiguration, patience_s: float = PATIENCE_S) -> Iterator[Slot]:
    """Give the slot, leased; try for a while, because what ran there before may yet be ending.

    Raises:
        UsageError: the GPU is not there, is busy or does not work.
    """
    until_s = time.monotonic() + patience_s
    with ExitStack() as stack:
        while True:
            try:
                slot = found_slot(configuration)
                stack.enter_context(GpuLeases([slot.gpu_uuid] if slot.gpu_uuid else ()))
                break
            except UsageError:
                if time.monotonic() >= until_s:
                    raise
                time.sleep(0.5)
        yield slot


def found_slot(configuration: NodeConfiguration) -> Slot:
    """Return the slot: the one GPU that this machine's scheduler gave, or the CPU.

    Raises:
        UsageError: the GPU is not there, is busy or does not work.
    """
    host = socket.gethostname()
    if configuration.gpus is None:
        source = EnergySource.RAPL if RaplDomains.find().moving().cpu else EnergySource.ESTIMATE
        return Slot(f"{host} {CPU.name}", host=host, cpu_source=source)
    shown = {"CUDA_VISIBLE_DEVICES": configuration.gpus, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    try:
        slots = choose_slots("all", share=configuration.share, environment=shown)
    except UsageError as error:
        raise UsageError(f"{host}: GPU {configuration.gpus} of the cluster: {error}") from None
    slot = slots[0]
    model = next((gpu.name for gpu in list_gpus() if gpu.uuid == slot.gpu_uuid), None)
    return Slot(f"{host} {slot.name}", slot.gpu_uuid, slot.is_shared, slot.cuda_name, host, model)


class _NodeProcess:
    """Hands commands to a local engine of one slot, and what the engine tells to the output."""

    def __init__(self, configuration: NodeConfiguration, slot: Slot, output: BinaryIO) -> None:
        starter = FreshInterpreter(configuration.command) if configuration.command else None
        self._folder, self._slot, self._output = Path(configuration.folder), slot, output
        self._engine = LocalEngine([slot], starter)
        self._commands: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._is_busy = False
        self._watch = GpuWatch()
        self._health: tuple[str | None, bool] = (None, False)
        self._look_at_s = time.monotonic() + LOOK_EVERY_S

    def run(self) -> None:
        """Obey commands until there are no more."""
        threading.Thread(target=self._read, name="commands", daemon=True).start()
        _write(self._output, {"kind": "opened", **asdict(self._slot)})
        try:
            while (command := self._next()) is not None:
                self._obey(command)
                for message in self._engine.receive(_COMMAND_S):
                    self._tell(message)
                self._look()
        except BrokenPipeError:
            pass
        finally:
            self._engine.close()
            self._watch.close()

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            self._commands.put(json.loads(line))
        self._commands.put(None)

    def _next(self) -> Mapping[str, Any] | None:
        """Return the next command, an empty one where there is none; None at the end."""
        try:
            return self._commands.get(block=not self._is_busy, timeout=1.0)
        except queue.Empty:
            return {}

    def _obey(self, command: Mapping[str, Any]) -> None:
        if "start" in command:
            self._start(TrialSpec.model_validate(command["start"]))
        elif "end" in command:
            self._engine.end(int(command["end"]))

    def _start(self, spec: TrialSpec) -> None:
        folder = trial_folder(self._folder, spec.trial)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._engine.start(spec, self._slot, folder / LOG_FILE)
            self._is_busy = True
        except OSError as error:
            what = f"{error.filename}: " if error.filename else ""
            tail = f"it could not be started on {self._slot.host}: {what}{error.strerror or error}"
            self._tell(ProcessEnded(spec.trial, 1, None, tail))

    def _tell(self, message: Message) -> None:
        if isinstance(message, EventArrived):
            event = encode(message.event).decode()
            _write(self._output, {"kind": "event", "trial": message.trial, "event": event})
            return
        self._is_busy = False
        _write(
            self._output,
            {"kind": "ended", **asdict(message)},
        )

    def _look(self) -> None:
        """Tell when the GPU's health has changed."""
        if self._slot.gpu_uuid is None or time.monotonic() < self._look_at_s:
            return
        self._look_at_s = time.monotonic() + LOOK_EVERY_S
        found = self._watch.look(self._slot.gpu_uuid)
        if (found.failure, found.is_in_doubt) != self._health:
            self._health = (found.failure, found.is_in_doubt)
            _write(self._output, {"kind": "health", "failure": found.failure, "is_in_doubt": found.is_in_doubt})


@contextmanager
def _output() -> Iterator[BinaryIO]:
    """Give standard output for messages alone: what else is printed here goes to standard error."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(descriptor, "wb", buffering=0) as output:
        yield output


def _write(output: BinaryIO, message: Mapping[str, Any]) -> None:
    left = memoryview(json.dumps(message).encode() + b"\n")
    while left:
        left = left[output.write(left) :]


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
