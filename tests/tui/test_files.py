"""Files that are being written: half lines wait, lines that are no events are passed over."""

from pathlib import Path

from greenopt.events import EpochEnded, Event, PowerSampled, encode
from greenopt.files import LogTail, last_lines
from greenopt.tui.state.live_trial import LiveTrial
from tests.builders import ended, epoch, prepared_phases, reading, started


def test_a_half_written_last_line_waits_for_its_end(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    tail = LogTail(file)
    assert tail.new_lines() == []
    file.write_bytes(b"one\ntw")
    assert tail.new_lines() == [b"one"]
    assert tail.new_lines() == []
    with file.open("ab") as out:
        out.write(b"o\nthree\n")
    assert tail.new_lines() == [b"two", b"three"]


def test_a_file_that_was_begun_anew_is_read_from_its_start(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"one\ntwo\n")
    tail = LogTail(file)
    tail.new_lines()
    file.write_bytes(b"new\n")
    assert tail.new_lines() == [b"new"]


def test_the_last_lines_of_a_log_are_found_in_a_long_one(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert last_lines(log, 2) == []
    log.write_bytes(b"x" * 100_000 + b"\nold\n\xff new\n")
    assert last_lines(log, 2) == ["old", "� new"]


def test_a_trial_is_followed_through_its_events() -> None:
    live = LiveTrial(3, epochs=2)
    assert live.activity_text() == "getting ready: starting"
    live.take(started(3))
    for phase in prepared_phases():
        live.take(phase)
    assert live.training_wh is None
    live.take_lines([encode(epoch(1, 0.25)).rstrip(), b"{broken", encode(_sample(1.5)).rstrip()])
    assert (live.accuracy, live.training_wh, live.total_wh) == (0.25, 1.0, 1.5)
    assert live.forecast_wh == 2.0
    assert live.progress == (1.0, 2)
    live.take(epoch(2, 0.5, reading().flagged("gap")))
    live.take(ended())
    assert live.flags == ("gap",)


def test_epochs_too_short_to_measure_leave_what_followed_the_set_up() -> None:
    live = LiveTrial(0, epochs=2)
    events: list[Event] = [*prepared_phases(), _sample(1.5), _unmeasured()]
    for event in events:
        live.take(event)
    assert live.training_wh is not None
    assert abs(live.training_wh - 1.3) < 1e-9


def test_a_device_that_tells_energy_alone_has_the_mean_power_between_two_samples() -> None:
    live = LiveTrial(0, epochs=1)
    for event in (_sample(1.0, 10.0), _sample(1.1, 15.0), _sample(1.1, 15.0)):
        live.take(event)
    assert [sample.power_w and round(sample.power_w, 6) for sample in live.samples] == [None, 72.0, None]


def _sample(energy_wh: float, t_s: float = 1.0) -> PowerSampled:
    return PowerSampled(t_s=t_s, energy_wh=energy_wh, source="nvml_counter")


def _unmeasured() -> EpochEnded:
    missing = reading().missing("too short", 1.0)
    return epoch(1, 0.25, missing)
