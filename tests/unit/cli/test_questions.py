"""The questions of `init` and `delete`, answered by a person at a terminal: rightly, wrongly, and not at all."""

import json
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from greenopt.cli import main
from greenopt.runs.folder import RunFolder
from greenopt.search import Search, open_storage
from greenopt.spec import load_study
from tests.builders import study

ENTER, END_OF_FILE, INTERRUPT = "\n", "\x04", "\x03"
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LIMIT_S = 120.0


class Person:
    """Someone at a terminal of its own in which a command runs, in a child of this process."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self.text, self._began_s = "", time.monotonic()
        self._process_id, self._terminal = pty.fork()
        if self._process_id == 0:
            code = 99
            try:
                os.chdir(folder)
                os.environ["TERM"] = "xterm"
                # As in a process of its own: a study that another test ran here has left its handler.
                signal.signal(signal.SIGINT, signal.default_int_handler)
                # The test's own streams are taken by pytest.
                sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
                sys.argv = ["greenopt", *arguments]
                main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def answers(self, question: str, keys: str) -> None:
        """Wait for a question that was not answered yet, and press keys."""
        self._read(lambda: question in self.text)
        self.text = self.text.partition(question)[2]
        os.write(self._terminal, keys.encode())

    def leaves(self, pressing: str = "") -> int:
        """Wait for the command's end, pressing a key now and then, and return its exit code."""
        while self._read(lambda: False, 2.0 if pressing else LIMIT_S):
            # A key that comes while the terminal's mode changes is lost.
            os.write(self._terminal, pressing.encode())
        _, status = os.waitpid(self._process_id, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)

    def _read(self, is_enough: Callable[[], bool], patience_s: float = LIMIT_S) -> bool:
        """Read until it is enough; return whether the command still runs after so long without an end."""
        began_s = time.monotonic()
        while not is_enough():
            if time.monotonic() - self._began_s > LIMIT_S:
                raise TimeoutError(f"the terminal shows {self.text!r}")
            if time.monotonic() - began_s > patience_s:
                return True
            if not select.select([self._terminal], [], [], 0.05)[0]:
                continue
            try:
                seen = os.read(self._terminal, 1 << 16)
            except OSError:
                return False
            if not seen:
                return False
            self.text += _STYLE.sub("", seen.decode()).replace("\r", "")
        return False


QUESTIONS = ("Images", "Model", "What varies", "Trials", "Epochs of each")


def test_enter_takes_what_is_proposed(tmp_path: Path) -> None:
    person = Person(["init"], tmp_path)
    for question in QUESTIONS:
        person.answers(question, ENTER)
    assert person.leaves() == 0, person.text
    assert "study.toml: ResNet50 on digits, 8 trials; lr, batch_size, optimizer vary" in person.text
    assert load_study(tmp_path / "study.toml").study.trials == 8


def test_wrong_answers_are_asked_for_again(tmp_path: Path) -> None:
    person = Person(["init", "-o", "mine.toml"], tmp_path)
    person.answers("Images", "cifar99\n")
    person.answers("did you mean cifar1", "./nowhere\n")
    person.answers("no such file or folder", "synthetic\n")
    person.answers("Model", "ResNet5O\n")
    person.answers("did you mean ResNet50", "ResNet50\n")
    person.answers("What varies", "lr, speed\n")
    person.answers("'speed': name some of lr,", "lr, optimizer, optimizer_momentum\n")
    for question, last in (("Trials", "5\n"), ("Epochs", "2\n")):
        person.answers(question, "many\n")
        for wrong in ("0\n", "-3\n", "2.5\n", "99999999999\n"):
            person.answers("is not a whole number from 1 on", wrong)
        person.answers("is not a whole number from 1 on", last)
    assert person.leaves() == 0, person.text
    spec = load_study(tmp_path / "mine.toml")
    assert (spec.study.trials, spec.training.epochs, str(spec.data.name if spec.data else "")) == (5, 2, "synthetic")
    assert spec.space.condition_text("optimizer_momentum") == "optimizer = SGD"


@pytest.mark.parametrize("key", [END_OF_FILE, INTERRUPT], ids=["end of file", "Ctrl-C"])
@pytest.mark.parametrize("after", [0, 4])
def test_a_study_file_that_is_not_asked_to_its_end_is_not_written(tmp_path: Path, key: str, after: int) -> None:
    person = Person(["init"], tmp_path)
    for question in QUESTIONS[:after]:
        person.answers(question, ENTER)
    person.answers(QUESTIONS[after], key)
    assert person.leaves(pressing=key) == 1
    assert "greenopt: aborted; nothing was changed" in person.text
    assert not any(tmp_path.iterdir())


@pytest.fixture
def stored(tmp_path: Path) -> RunFolder:
    spec, folder = study(), RunFolder(tmp_path / "runs" / "tried")
    folder.path.mkdir(parents=True)
    search = Search(spec, open_storage(folder.default_storage))
    search.lease.release()
    folder.write_study(spec.model_dump(mode="json"), folder.default_storage, {}, study_id=search.study_id)
    return folder


@pytest.mark.parametrize(
    ("keys", "code", "told"),
    [
        (["y\n"], 0, "study tried is deleted"),
        (["Yes\n"], 0, "study tried is deleted"),
        (["n\n"], 1, "nothing was deleted"),
        ([ENTER], 1, "nothing was deleted"),
        (["tried\n", "maybe\n", "n\n"], 1, "nothing was deleted"),
        ([END_OF_FILE], 1, "aborted; nothing was changed"),
        ([INTERRUPT], 1, "aborted; nothing was changed"),
    ],
    ids=["y", "Yes", "n", "Enter", "neither", "end of file", "Ctrl-C"],
)
def test_a_study_is_deleted_by_a_yes_alone(stored: RunFolder, keys: list[str], code: int, told: str) -> None:
    person = Person(["delete", "tried"], stored.path.parent.parent)
    for key in keys:
        person.answers("Delete study tried?", key)
    assert person.leaves(pressing=key if key in (END_OF_FILE, INTERRUPT) else "") == code, person.text
    assert told in person.text
    assert stored.path.exists() == (code != 0)
    if code:
        assert json.loads(stored.study_file.read_text())["spec"]["study"]["name"] == "tried"
