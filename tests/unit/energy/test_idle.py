"""The idle baseline: only from a GPU that is idle, kept for each GPU."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from greenopt.energy.gpu_source import NvmlSource
from greenopt.energy.idle import Idle, IdleBaseline, IdleStore, find_idle, measure_idle_w
from greenopt.energy.nvml import Nvml
from greenopt.energy.source import PowerSource, UnreadableSource
from greenopt.spec import EnergySpec
from tests.unit.energy.fake_nvml import Board, FakePynvml, VirtualClock, as_module
from tests.unit.energy.waveforms import Constant


def measured(board: Board, **options: object) -> float | None:
    clock = VirtualClock()
    source = NvmlSource(Nvml(as_module(FakePynvml(clock, board))), board.uuid)
    return measure_idle_w(source, 10.0, clock, clock.advance, **options)  # type: ignore[arg-type]


def test_an_idle_board_is_measured() -> None:
    assert measured(Board(waveform=Constant(71))) == pytest.approx(71, rel=0.01)


def test_a_busy_board_is_not() -> None:
    assert measured(Board(waveform=Constant(71), processes=[(1, 1)])) is None
    assert measured(Board(waveform=Constant(71), utilisation_percent=30)) is None


def test_a_board_that_becomes_busy_meanwhile_is_not() -> None:
    answers = iter([False, True])
    assert measured(Board(waveform=Constant(71)), is_busy=lambda: next(answers)) is None


def test_a_board_that_tells_nothing_has_no_baseline() -> None:
    assert measured(Board(has_counter=False, has_instant=False, has_usage=False)) is None


def test_baselines_are_kept_by_gpu(tmp_path: Path) -> None:
    store = IdleStore(tmp_path / "new" / "idle.json")
    store.put("GPU-a", 71.5, date(2026, 11, 23))
    store.put("GPU-b", 30.0, date(2026, 11, 24))
    again = IdleStore(tmp_path / "new" / "idle.json")
    assert again.get("GPU-a") == IdleBaseline(71.5, "2026-11-23")
    assert again.get("GPU-c") is None


class SlowStore(IdleStore):
    """Takes its time between reading what is kept and writing it."""

    def _read(self) -> dict[str, Any]:
        kept = super()._read()
        time.sleep(0.02)
        return kept


def test_baselines_of_gpus_measured_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    uuids = [f"GPU-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(uuids)) as pool:
        list(pool.map(lambda uuid: SlowStore(tmp_path / "idle.json").put(uuid, 71.5, date(2026, 11, 23)), uuids))
    assert [uuid for uuid in uuids if IdleStore(tmp_path / "idle.json").get(uuid) is None] == []


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"GPU-a": 3}', '{"GPU-a": {"idle": 1}}'])
def test_a_damaged_file_counts_as_empty_and_can_be_written_again(tmp_path: Path, content: str) -> None:
    path = tmp_path / "idle.json"
    path.write_text(content)
    store = IdleStore(path)
    assert store.get("GPU-a") is None
    store.put("GPU-a", 71.5, date(2026, 11, 23))
    assert store.get("GPU-a") == IdleBaseline(71.5, "2026-11-23")


def found(store: IdleStore, day: date, measured_w: float | None = 80.0, **spec: float) -> tuple[Idle, int]:
    """What is found for a GPU on a day, and how often it was measured for that."""
    calls = []

    def measure(source: PowerSource) -> float | None:
        calls.append(source)
        return measured_w

    source = UnreadableSource("a GPU", "a test reads nothing")
    return find_idle(source, "GPU-a", EnergySpec(**spec), store=store, today=day, measure=measure), len(calls)


def test_a_baseline_is_measured_once_and_kept_for_a_month(tmp_path: Path) -> None:
    store = IdleStore(tmp_path / "idle.json")
    assert found(store, date(2026, 11, 1)) == (Idle(80.0, "measured before this trial"), 1)
    assert found(store, date(2026, 12, 1), 90.0) == (Idle(80.0, "measured on 2026-11-01"), 0)
    assert found(store, date(2026, 12, 2), 90.0) == (Idle(90.0, "measured before this trial"), 1)
    assert store.get("GPU-a") == IdleBaseline(90.0, "2026-12-02")


def test_the_study_overrides_what_was_measured(tmp_path: Path) -> None:
    store = IdleStore(tmp_path / "idle.json")
    store.put("GPU-a", 71.5, date(2026, 11, 23))
    assert found(store, date(2026, 11, 24), idle_w=0.0) == (Idle(0.0, "energy.idle_w"), 0)


def test_a_busy_gpu_has_no_baseline_and_none_is_kept(tmp_path: Path) -> None:
    store = IdleStore(tmp_path / "idle.json")
    idle, _ = found(store, date(2026, 11, 24), None)
    assert (idle.idle_w, "not idle" in idle.origin) == (None, True)
    assert store.get("GPU-a") is None


def test_the_cpu_has_no_baseline(tmp_path: Path) -> None:
    idle = find_idle(UnreadableSource("cpu", ""), None, EnergySpec(), store=IdleStore(tmp_path / "idle.json"))
    assert idle.idle_w is None


def test_the_idle_power_of_a_gpu_is_not_a_cpus(tmp_path: Path) -> None:
    store = IdleStore(tmp_path / "idle.json")
    idle = find_idle(UnreadableSource("cpu", ""), None, EnergySpec(idle_w=70.0), store=store)
    assert idle == Idle(None, "the CPU has no idle baseline; energy.idle_w is a GPU's")


@pytest.mark.parametrize("kept", ["NaN", "Infinity", "-3"])
def test_a_kept_baseline_that_is_no_power_is_measured_anew(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "idle.json"
    path.write_text(f'{{"GPU-a": {{"idle_w": {kept}, "measured": "2026-11-23"}}}}')
    assert found(IdleStore(path), date(2026, 11, 24)) == (Idle(80.0, "measured before this trial"), 1)


def test_a_board_without_a_uuid_is_kept_by_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's cache may be shared by hosts whose boards sit in the same slot."""
    store, answers = IdleStore(tmp_path / "idle.json"), iter([70.0, 20.0])

    def idle_w(host: str) -> float | None:
        monkeypatch.setattr("socket.gethostname", lambda: host)
        source = UnreadableSource("a GPU", "")
        return find_idle(
            source, "PCI-00000000:01:00.0", EnergySpec(), store=store, measure=lambda _: next(answers)
        ).idle_w

    assert [idle_w("one"), idle_w("two"), idle_w("one"), idle_w("two")] == [70.0, 20.0, 70.0, 20.0]
