"""Events as lines: what is written is read back, and damage stays where it is."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from greenopt.events import EpochEnded, Event, decode, encode, read_epochs, read_events
from greenopt.reading import EnergyReading, EnergySource
from tests.builders import encoded, ended, epoch, prepared_phases, started


@pytest.mark.parametrize("event", [started(3), *prepared_phases(), epoch(1), ended()], ids=lambda event: event.kind)
def test_an_event_survives_its_line(event: object) -> None:
    line = encode(event)  # type: ignore[arg-type]
    assert line.count(b"\n") == 1
    assert decode(line) == event


def test_a_half_written_last_line_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode(started(0)) + encode(epoch(1))[:-1])
    assert list(read_events(path)) == [started(0)]


def test_a_damaged_line_does_not_hide_the_others(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode(started(0)) + b"\x00\x00garbage\n" + encode(epoch(1)))
    assert list(read_events(path)) == [started(0), epoch(1)]


def test_a_trial_without_events_has_none(tmp_path: Path) -> None:
    assert list(read_events(tmp_path / "nothing.jsonl")) == []
    assert read_epochs(tmp_path / "nothing.jsonl") == []


def test_the_epochs_alone_are_those_among_all_events(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines: list[Event] = [started(0), *prepared_phases(), epoch(1), epoch(2), ended(), epoch(3)]
    damaged = encode(epoch(9)).replace(b"9", b'"nine"')
    path.write_bytes(encoded(*lines[:-1]) + damaged + encode(lines[-1])[:-1])
    assert read_epochs(path) == [event for event in read_events(path) if isinstance(event, EpochEnded)]
    assert [event.epoch for event in read_epochs(path)] == [1, 2]


def test_a_loss_that_is_not_a_number_is_missing_when_read_back() -> None:
    bad = epoch(1).model_copy(update={"loss": float("nan")})
    again = decode(encode(bad))
    assert again.loss is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "fields",
    [
        {"energy_wh": None, "source": None},
        {"energy_wh": None, "source": EnergySource.ESTIMATE, "reason": "x"},
        {"energy_wh": 1.0, "source": None},
        {"energy_wh": 1.0, "source": EnergySource.RAPL, "reason": "x"},
        {"energy_wh": -1.0, "source": EnergySource.RAPL},
        {"energy_wh": float("nan"), "source": EnergySource.RAPL},
    ],
)
def test_a_reading_that_contradicts_itself_cannot_be_built(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EnergyReading(seconds=1.0, **fields)


def test_average_power() -> None:
    one_kilowatt = EnergyReading(energy_wh=0.5, source=EnergySource.RAPL, seconds=1.8)
    assert one_kilowatt.average_power_w == pytest.approx(1000.0)
    assert EnergyReading.missing("none", 1.0).average_power_w is None
