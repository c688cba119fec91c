"""An engine whose trials follow a script, for tests of the coordinator."""

from collections.abc import Callable, Sequence
from pathlib import Path

from greenopt.coordination.coordinator import Coordinator
from greenopt.events import Event, Outcome
from greenopt.execution import EventArrived, Message, ProcessEnded, Slot
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, open_storage
from greenopt.spec import StudySpec, TrialSpec
from tests.builders import ended, epoch, prepared_phases, started

Script = Callable[[TrialSpec], "list[Event | ProcessEnded]"]


def completes(spec: TrialSpec) -> "list[Event | ProcessEnded]":
    """A trial of two epochs that goes well; its accuracy follows its batch size, if it has one."""
    accuracy = 0.5 + (spec.setting.batch_size if spec.setting is not None else 1) / 100
    events: list[Event] = [
        started(spec.trial),
        *prepared_phases(),
        epoch(1),
        epoch(2, accuracy),
        ended(accuracy=accuracy),
    ]
    return [*events, ProcessEnded(spec.trial, 0, None, "")]


def fails(reason: str) -> Script:
    """A trial that says why it fails after its first epoch."""

    def script(spec: TrialSpec) -> "list[Event | ProcessEnded]":
        last = ended(Outcome.FAILED, reason=reason, message="as scripted")
        return [started(spec.trial), epoch(1), last, ProcessEnded(spec.trial, 0, None, "")]

    return script


def dies(signal: str | None = "SIGKILL", exit_code: int | None = None, tail: str = "") -> Script:
    """A trial whose process ends without a word after its first epoch."""
    return lambda spec: [started(spec.trial), epoch(1), ProcessEnded(spec.trial, exit_code, signal, tail)]


def hangs(spec: TrialSpec) -> "list[Event | ProcessEnded]":
    """A trial that goes on until it is ended."""
    return [started(spec.trial), epoch(1)]


class FakeEngine:
    """Runs scripts, one message at a time per trial, so that trials on several slots interleave."""

    def __init__(self, script: Script | dict[int, Script] = completes, slots: Sequence[Slot] = (Slot("cpu"),)) -> None:
        self._script = script
        self._slots = slots
        self._queues: dict[int, list[Event | ProcessEnded]] = {}
        self.specs: list[TrialSpec] = []
        self.placed: list[tuple[int, Slot]] = []
        self.most_at_once = 0
        self.ended: list[int] = []

    @property
    def slots(self) -> Sequence[Slot]:
        return self._slots

    def start(self, spec: TrialSpec, slot: Slot, log: Path) -> None:
        script = self._script.get(spec.trial, completes) if isinstance(self._script, dict) else self._script
        self._queues[spec.trial] = script(spec)
        self.specs.append(spec)
        self.placed.append((spec.trial, slot))
        self.most_at_once = max(self.most_at_once, len(self._queues))

    def receive(self, timeout_s: float) -> list[Message]:
        messages: list[Message] = []
        for trial, queue in list(self._queues.items()):
            if not queue:
                continue
            head = queue.pop(0)
            messages.append(head if isinstance(head, ProcessEnded) else EventArrived(trial, head))
            if isinstance(head, ProcessEnded):
                del self._queues[trial]
        return messages

    def end(self, trial: int) -> None:
        self.ended.append(trial)
        self._queues[trial] = [ProcessEnded(trial, None, "SIGTERM", "")]

    def close(self) -> None:
        self._queues.clear()


def scripted_run(spec: StudySpec, path: Path, script: Script) -> tuple[RunFolder, list[TrialSpec]]:
    """Run a study by a script; return its folder, which must not be there yet, and what its trials were given."""
    folder = RunFolder(path)
    folder.path.mkdir()
    search, engine = Search(spec, open_storage(folder.default_storage)), FakeEngine(script)
    folder.write_study(spec.model_dump(mode="json"), folder.default_storage, {})
    Coordinator(spec, search, engine, folder).run()
    search.lease.release()
    return folder, engine.specs
