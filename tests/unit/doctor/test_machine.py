"""`greenopt doctor`: whatever fails is a finding, the next thing is looked at, and JSON stays JSON."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import greenopt.doctor.machine
import greenopt.doctor.meter
from greenopt.cli import app
from greenopt.doctor.machine import Finding, Health, examine
from greenopt.doctor.meter import MeterCheck, Trust, assess_meter, check_meter
from greenopt.energy.check import Comparison
from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.nvml import Nvml
from greenopt.energy.rapl import RaplDomains
from greenopt.errors import ExitCode, GreenoptError, UsageError
from greenopt.reading import EnergyReading, EnergySource
from tests.unit.energy.fake_nvml import Board, as_module
from tests.unit.energy.faulty_nvml import DISCOVERY, ERRORS, LOST, READINGS, VERSION_MISMATCH, FaultyPynvml
from tests.unit.energy.test_rapl import Tree

TENSORFLOW = '{"tensorflow": "2", "keras": "3", "keras_cv": "0", "gpus": ["a GPU"], "seconds": 1.0}'
FINDING_KEYS = {"topic", "health", "text", "advice"}
METER_KEYS = {
    *("device", "counter", "power", "agreements", "overhead", "repeats", "failure", "problems", "trust", "verdict"),
}


class Machine:
    """A machine with two boards, RAPL and TensorFlow, parts of which can be broken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.patch = monkeypatch
        self.has_boards()
        self.rapl = Tree(folder / "powercap")
        self.rapl.root.mkdir()
        monkeypatch.setattr(
            "greenopt.doctor.machine.RaplDomains",
            type(
                "Rapl",
                (),
                {"find": staticmethod(lambda: Found(RaplDomains.find(self.rapl.root, self.rapl.clock), self.rapl))},
            ),
        )
        monkeypatch.setattr("greenopt.doctor.machine.check_data", lambda data: None)
        self.runs(TENSORFLOW)

    def has_boards(self, faults: dict[str, int | Exception] | None = None, *sick: str) -> FaultyPynvml:
        fake = FaultyPynvml(Board(uuid="GPU-a"), Board(uuid="GPU-b"), faults=faults or {}, sick=sick)
        self.patch.setitem(sys.modules, "pynvml", as_module(fake))
        return fake

    def runs(self, printed: str, code: int = 0) -> None:
        done = subprocess.CompletedProcess([], code, stdout=printed, stderr="ImportError: no such thing")
        self.patch.setattr("greenopt.doctor.machine.subprocess.run", lambda *_, **__: done)

    def breaks(self, name: str, error: Exception | None = None) -> None:
        def broken(*_: object, **__: object) -> Any:
            raise error or RuntimeError("broken on purpose")

        self.patch.setattr(name, broken)


class Found:
    """RAPL of a tree whose counters run while they are looked at."""

    def __init__(self, domains: RaplDomains, tree: Tree) -> None:
        self._domains, self._tree = domains, tree

    def moving(self) -> RaplDomains:
        return self._domains.moving(sleep=self._tree.advance)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def found(tmp_path: Path) -> dict[str, Finding]:
    findings = list(examine(tmp_path))
    assert len({finding.topic for finding in findings}) == len(findings)
    assert all(finding.advice for finding in findings if finding.health is not Health.GOOD)
    assert not any("\n" in finding.text for finding in findings)
    return {finding.topic: finding for finding in findings}


EVERYWHERE = ("greenopt", "CPU energy", "data digits", "results", "optuna", "tensorflow")
BOARDS = ("GPU 0", "GPU 0 energy", "GPU 1", "GPU 1 energy")


def test_a_sound_machine(machine: Machine, tmp_path: Path) -> None:
    machine.rapl.zone("intel-rapl:0", "package-0", 50.0)
    findings = found(tmp_path)
    for topic in (*EVERYWHERE, *BOARDS):
        assert findings[topic].health is Health.GOOD, findings[topic]


BREAKABLE = {
    "greenopt.doctor.machine.platform.python_version": "greenopt",
    "greenopt.doctor.machine.find_gpus": "GPU",
    "greenopt.doctor.machine._facts": "GPU energy",
    "greenopt.doctor.machine.open_source": "GPU 0 energy",
    "greenopt.doctor.machine.read_processes": "GPU 1 in use",
    "greenopt.doctor.machine.RaplDomains.find": "CPU energy",
    "greenopt.doctor.machine.check_data": "data digits",
    "greenopt.doctor.machine.shutil.disk_usage": "results",
    "greenopt.doctor.machine.cache_folder": "prepared images",
    "greenopt.doctor.machine.version": "optuna",
    "greenopt.doctor.machine.subprocess.run": "tensorflow",
}


@pytest.mark.parametrize(
    "error", [RuntimeError("a\nb"), OSError(13, "Permission denied"), GreenoptError("odd"), KeyError()]
)
@pytest.mark.parametrize("name", BREAKABLE)
def test_a_look_that_raises_is_a_finding_and_the_others_follow(
    machine: Machine, tmp_path: Path, name: str, error: Exception
) -> None:
    machine.breaks(name, error)
    findings = found(tmp_path)
    assert findings[BREAKABLE[name]].health is Health.BAD
    assert "cannot be looked at" in findings[BREAKABLE[name]].text
    assert set(EVERYWHERE) <= set(findings)
    if name not in ("greenopt.doctor.machine.find_gpus", "greenopt.doctor.machine._facts"):
        assert set(BOARDS) <= set(findings)


def test_prepared_images_are_counted_and_a_folder_that_is_not_used_says_why(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    (kept / "images" / "folder-1").mkdir(parents=True)
    (kept / "images" / "folder-1" / "x.npy").write_bytes(b"0" * 2**20)
    kept.chmod(0o700)
    monkeypatch.setenv("GREENOPT_CACHE", str(kept))
    finding = found(tmp_path)["prepared images"]
    assert (finding.health, finding.text.split(";")[0]) == (Health.GOOD, f"{kept / 'images'}: 1 sets, 0.0 GiB")
    kept.chmod(0o777)
    finding = found(tmp_path)["prepared images"]
    assert finding.health is Health.LIMITED
    assert "can be written to by others" in finding.text
    assert 'images_on = "disk"' in finding.advice


def test_every_look_is_tried_with_one_that_raises() -> None:
    """A new check of `examine` needs its line in BREAKABLE."""
    functions = (
        *("_greenopt", "_boards", "_each_gpu", "_cpu_energy", "_data_set", "_disk", "_prepared_images", "_package"),
        "_tensorflow",
    )
    looks = {name for name, value in vars(greenopt.doctor.machine).items() if _is_look(name, value)}
    assert looks == {*functions, "_gpu_energy", "_gpu_processes"}


def _is_look(name: str, value: object) -> bool:
    return name.startswith("_") and "Iterator[greenopt.doctor.machine.Finding]" in str(
        getattr(value, "__annotations__", {}).get("return")
    )


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    "function", [*READINGS, *DISCOVERY, "nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"]
)
def test_whatever_nvml_says_every_thing_is_looked_at(
    machine: Machine, tmp_path: Path, function: str, error: int
) -> None:
    machine.has_boards({function: error})
    findings = found(tmp_path)
    assert set(EVERYWHERE) <= set(findings)
    assert any(topic.startswith("GPU") for topic in findings)


def test_a_broken_driver_is_told_apart_from_none(machine: Machine, tmp_path: Path) -> None:
    machine.has_boards({"nvmlInit": VERSION_MISMATCH})
    broken = found(tmp_path)["GPU"]
    assert (broken.health, "does not work" in broken.text, "--gpus none" in broken.advice) == (Health.BAD, True, True)
    machine.has_boards({"nvmlInit": 12})
    assert found(tmp_path)["GPU"].health is Health.LIMITED


def test_a_lost_board_is_named_beside_the_others(machine: Machine, tmp_path: Path) -> None:
    machine.has_boards({"nvmlDeviceGetHandleByIndex": LOST}, "GPU-a")
    findings = found(tmp_path)
    assert (findings["GPU 0"].health, findings["GPU 1"].health) == (Health.BAD, Health.GOOD)
    assert "is lost" in findings["GPU 0"].text


@pytest.mark.parametrize(
    ("faults", "health", "words"),
    [
        ({"nvmlDeviceGetTotalEnergyConsumption": 3}, Health.LIMITED, "no energy counter, power 300 W now"),
        ({"nvmlDeviceGetTotalEnergyConsumption": 999}, Health.LIMITED, "energy counter fails: TotalEnergyConsumption"),
        ({"nvmlDeviceGetFieldValues": 999}, Health.GOOD, "power 300 W now"),
        (
            {"nvmlDeviceGetFieldValues": 999, "nvmlDeviceGetPowerUsage": 999},
            Health.LIMITED,
            "power reading fails: Field",
        ),
        ({"nvmlDeviceGetFieldValues": 3, "nvmlDeviceGetPowerUsage": 3}, Health.LIMITED, "no power reading"),
    ],
)
def test_a_reading_that_fails_leaves_the_other(
    machine: Machine, tmp_path: Path, faults: dict[str, int | Exception], health: Health, words: str
) -> None:
    machine.has_boards(faults)
    finding = found(tmp_path)["GPU 0 energy"]
    assert (finding.health, words in finding.text) == (health, True), finding.text


def test_sockets_that_cannot_be_read_or_stand_still_are_named(machine: Machine, tmp_path: Path) -> None:
    machine.rapl.zone("intel-rapl:0", "package-0", 50.0)
    still = machine.rapl.zone("intel-rapl:1", "package-1", 0.0)
    half = found(tmp_path)["CPU energy"]
    assert (half.health, "1 of 2" in half.text, "package-1" in half.text) == (Health.LIMITED, True, True)
    still.power_w = 10.0
    still.zero_s = machine.rapl.clock()
    assert found(tmp_path)["CPU energy"].health is Health.GOOD


def test_rapl_that_never_moves_means_estimates(machine: Machine, tmp_path: Path) -> None:
    machine.rapl.zone("intel-rapl:0", "package-0", 0.0)
    finding = found(tmp_path)["CPU energy"]
    assert (finding.health, "does not move" in finding.text, "estimates" in finding.text) == (
        Health.LIMITED,
        True,
        True,
    )


@pytest.mark.parametrize(("printed", "code"), [("", 0), ("hello", 0), ("{", 0), ("[]", 0), ("", 1), ("", -9)])
def test_tensorflow_that_says_nonsense_is_a_finding(machine: Machine, tmp_path: Path, printed: str, code: int) -> None:
    machine.runs(printed, code)
    assert found(tmp_path)["tensorflow"].health is Health.BAD


# The command.


def doctor(*arguments: str) -> tuple[int | str, Any, BaseException | None]:
    """Exit code, what standard output holds as JSON, and what was raised past the command."""
    done = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    kept = done.exception if isinstance(done.exception, Exception) else None
    return done.exit_code, json.loads(done.stdout, parse_constant=_no_constant), kept


def _no_constant(word: str) -> float:
    raise AssertionError(f"{word} is not JSON")


@pytest.mark.parametrize("name", [None, *BREAKABLE])
def test_json_is_a_list_of_findings_whatever_raises(machine: Machine, tmp_path: Path, name: str | None) -> None:
    machine.rapl.zone("intel-rapl:0", "package-0", 50.0)
    if name is not None:
        machine.breaks(name)
    code, findings, raised = doctor("--runs", str(tmp_path))
    assert all(set(finding) == FINDING_KEYS for finding in findings)
    assert (code, raised) == (ExitCode.DONE if name is None else ExitCode.FAILED, None)


def test_json_stays_json_where_doctor_itself_fails(machine: Machine, tmp_path: Path) -> None:
    machine.breaks("greenopt.doctor.machine.examine")
    _, (finding,), raised = doctor()
    assert (set(finding), finding["health"], type(raised)) == (FINDING_KEYS, "bad", RuntimeError)
    _, (finding,), raised = doctor("--gpus", "0")
    assert ("needs --meter" in finding["text"], type(raised)) == (True, UsageError)


def agreement(load: str, counter_wh: float | None = 1.0) -> Comparison:
    reading = EnergyReading(
        energy_wh=1.0, source=EnergySource.NVML_COUNTER, seconds=15.0, counter_wh=counter_wh, integral_wh=1.0
    )
    return Comparison(load=load, reading=reading, core_share=float("nan"))


@pytest.mark.parametrize(
    ("name", "raises"),
    [
        ("greenopt.doctor.meter.check_meter", RuntimeError),
        ("greenopt.energy.source_choice.open_source", RuntimeError),
        ("greenopt.execution.GpuLeases.__enter__", RuntimeError),
        ("greenopt.execution.gpus.choose_slots", RuntimeError),
        ("greenopt.doctor.meter.assess_meter", RuntimeError),
    ],
)
def test_json_of_the_meter_has_one_form_whatever_raises(machine: Machine, name: str, raises: type[Exception]) -> None:
    machine.patch.setattr("greenopt.doctor.meter.check_meter", lambda *_, **__: iter([MeterCheck("a GPU")]))
    machine.breaks(name)
    _, figures, raised = doctor("--meter")
    assert (set(figures), figures["trust"], type(raised)) == (METER_KEYS, "no", raises)
    assert figures["verdict"][0].startswith("Not known")


@pytest.mark.parametrize(("arguments", "raises"), [(("--gpus", "none"), GreenoptError), (("--gpus", "7"), UsageError)])
def test_json_of_the_meter_has_one_form_for_wrong_use_too(
    machine: Machine, arguments: tuple[str, ...], raises: type[Exception]
) -> None:
    _, figures, raised = doctor("--meter", *arguments)
    assert (set(figures), figures["trust"], type(raised)) == (METER_KEYS, "no", raises)


def test_json_of_the_meter_holds_no_nan(machine: Machine) -> None:
    check = MeterCheck("a GPU", agreements=[agreement("idle")])
    machine.patch.setattr("greenopt.doctor.meter.check_meter", lambda *_, **__: iter([check]))
    code, figures, raised = doctor("--meter", "--gpus", "0")
    assert (set(figures), code, raised) == (METER_KEYS, 0, None)
    assert figures["agreements"][0]["core_share"] is None


# The meter's test.


def source() -> NvmlSource:
    fake = FaultyPynvml(Board(), faults={})
    fake.clock = time.monotonic
    return NvmlSource(Nvml(as_module(fake)), Board().uuid)


def loads(tmp_path: Path, *lines: str) -> list[str]:
    script = tmp_path / "loads.py"
    script.write_text("\n".join(f"print({line!r})" for line in lines))
    return [sys.executable, str(script)]


GOOD_LINE = '{"overhead": {"work_s": 1.0, "share": 0.001, "noise": 0.0005, "pairs": 4}}'


def last(command: list[str], idle: Callable[[], object] = lambda: time.sleep(0.3)) -> MeterCheck:
    *_, check = check_meter(source(), "GPU-a", command, idle, reading_stats_s=0.05)
    return check


@pytest.mark.parametrize("part", ["measure_readings", "compare"])
def test_a_part_of_the_meters_test_that_raises_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("no time has passed")

    monkeypatch.setattr(greenopt.doctor.meter, part, broken)
    check = last(loads(tmp_path, GOOD_LINE))
    assert check.overhead is not None
    assert (check.counter is None, check.agreements == []) == (
        (True, False) if part == "measure_readings" else (False, True)
    )
    assert "ZeroDivisionError: no time has passed" in check.problems[0]
    trust, sentences = assess_meter(check)
    assert (trust, "no time has passed" in sentences[0]) == (Trust.NO, True)


@pytest.mark.parametrize("line", ["{", '{"overhead": 3}', '{"a": 1, "b": 2}', "{}", '{"agreement": {"load": 1}}'])
def test_a_line_of_the_loads_that_is_garbage_leaves_the_others(tmp_path: Path, line: str) -> None:
    check = last(loads(tmp_path, line, GOOD_LINE))
    assert check.overhead is not None
    assert (len(check.problems), assess_meter(check)[0]) == (1, Trust.NO)


def test_loads_that_cannot_be_started_are_a_failure(tmp_path: Path) -> None:
    check = last([str(tmp_path / "nowhere")])
    assert (check.failure or "").endswith("No such file or directory")
    assert assess_meter(check)[0] is Trust.NO


def test_a_check_without_any_figure_has_a_verdict() -> None:
    assert assess_meter(MeterCheck("a GPU")) == (Trust.NO, ["Not known: nothing was measured"])
