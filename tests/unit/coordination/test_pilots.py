"""What trials will take, by short trainings of a study's shapes."""

from collections import Counter
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from greenopt.coordination.pilot_settings import MAX_PILOTS, Pilot, choose_pilots, pilot_settings
from greenopt.coordination.pilots import SECONDS, PilotResult, measure
from greenopt.errors import UsageError
from greenopt.events import EpochEnded, Event, MeterOpened, Phase, PhaseEnded, TrialStarted
from greenopt.execution import ProcessEnded, Slot
from greenopt.execution.contract import Message
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import DataSet, StudySpec, TrialSpec
from tests.builders import study
from tests.fakes import FakeEngine, dies

NVML = EnergySource.NVML_COUNTER


def reading(wh: float, seconds: float) -> EnergyReading:
    return EnergyReading(energy_wh=wh, source=NVML, seconds=seconds)


def trains(epoch_s: float, epoch_wh: float) -> Any:
    """A script of a trial that sets up for 7 s, 5 of them compiling, and then trains until it is ended."""

    def script(spec: TrialSpec) -> list[Event | ProcessEnded]:
        events: list[Event | ProcessEnded] = [
            TrialStarted(t_s=0.0, utc="", trial=spec.trial),
            MeterOpened(t_s=0.0, device="gpu", source=NVML, idle_origin="none"),
            PhaseEnded(t_s=2.0, phase=Phase.BUILD, energy=reading(0.1, 2.0)),
            PhaseEnded(t_s=7.0, phase=Phase.COMPILE, energy=reading(0.5, 5.0)),
        ]
        for epoch in range(1, spec.training.epochs + 1):
            # The first also loads what the others find loaded.
            factor = 4 if epoch == 1 else 1
            events.append(
                EpochEnded(
                    t_s=7.0 + epoch,
                    epoch=epoch,
                    epochs=spec.training.epochs,
                    seconds=factor * epoch_s,
                    loss=1.0,
                    accuracy=0.5,
                    val_loss=1.0,
                    val_accuracy=0.5,
                    lr=0.1,
                    energy=reading(factor * epoch_wh, factor * epoch_s),
                )
            )
        return [*events, ProcessEnded(spec.trial, 0, None, "")]

    return script


def spec_of(trials: int = 20, epochs: int = 50, **space: Any) -> StudySpec:
    data = {"name": "synthetic", "images": 40_000, "classes": 10, "image_size": 32}
    return study(study={"trials": trials}, data=data, training={"epochs": epochs}, space=space)


def results_of(spec: StudySpec, script: Any, folder: Path, **engine: Any) -> tuple[list[PilotResult], FakeEngine]:
    pilots, fake = choose_pilots(spec, on_gpu=True), FakeEngine(script, **engine)
    assert pilots is not None
    return list(measure(spec, pilots, fake, folder)), fake


def chosen(spec: StudySpec) -> list[Pilot]:
    pilots = choose_pilots(spec, on_gpu=False)
    assert pilots is not None
    return pilots


def test_a_whole_trial_follows_from_the_epochs_after_the_first(tmp_path: Path) -> None:
    spec = spec_of(batch_size=[32])
    (result, again), engine = results_of(spec, trains(epoch_s=1.0, epoch_wh=0.2), tmp_path)
    assert again == result
    trained = engine.specs[0]
    assert trained.data is not None
    scale = 40_000 / (trained.data.images or 0)
    assert scale > 2
    assert result.seconds == pytest.approx(7.0 + 50 * scale * 1.0)
    assert result.energy_wh == pytest.approx(0.6 + 50 * scale * 0.2)
    assert result.images_per_s == trained.data.images
    assert not result.is_estimate
    assert result.as_trial(0.0).energy_wh == result.energy_wh
    later = result.as_trial(0.9)
    assert later.seconds == pytest.approx(7.0 + 50 * scale * 1.0 - 0.9 * 5.0)
    assert later.energy_wh == pytest.approx(0.6 + 50 * scale * 0.2 - 0.9 * 0.5)


def test_it_ends_once_enough_was_measured_and_trains_no_longer_than_that(tmp_path: Path) -> None:
    seen: list[int] = []

    class Counts(FakeEngine):
        def end(self, trial: int) -> None:
            seen.append(len(self._queues[trial]))
            super().end(trial)

    pilots = choose_pilots(spec_of(batch_size=[32]), on_gpu=True)
    assert pilots is not None
    list(measure(spec_of(), pilots[:1], Counts(trains(epoch_s=0.7, epoch_wh=0.2)), tmp_path))
    # 4 events before the first epoch, that one, and as many more as take the seconds, of 200; and the process's end.
    assert seen == [4 + 200 + 1 - (4 + 1 + ceil(SECONDS / 0.7))]


def test_one_that_fails_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    spec = spec_of(batch_size=[32, 64])
    (first, second), _ = results_of(spec, {0: dies("SIGKILL"), 1: trains(1.0, 0.2)}, tmp_path)
    assert "SIGKILL" in first.problem
    assert first.energy_wh is None
    assert first.as_trial(0.0).share == 0
    assert second.problem == ""
    assert second.energy_wh is not None


def test_all_slots_measure(tmp_path: Path) -> None:
    spec = spec_of(batch_size=[4, 8, 16, 32])
    _, engine = results_of(spec, trains(1.0, 0.2), tmp_path, slots=[Slot("a"), Slot("b")])
    assert engine.most_at_once == 2
    assert Counter(slot.name for _, slot in engine.placed) == {"a": 2, "b": 2}


def test_what_was_not_measured_is_missing(tmp_path: Path) -> None:
    script = trains(1.0, 0.2)

    def unmetered(spec: TrialSpec) -> list[Event | ProcessEnded]:
        nothing = EnergyReading.missing("no counter")
        return [
            event.model_copy(update={"energy": nothing}) if isinstance(event, EpochEnded) else event
            for event in script(spec)
        ]

    result, _ = results_of(spec_of(batch_size=[32]), unmetered, tmp_path)[0]
    assert result.energy_wh is None
    assert result.seconds is not None
    assert result.as_trial(0.5).energy_wh is None


def test_each_combination_of_shapes_is_there_once_and_other_values_take_turns() -> None:
    spec = spec_of(
        batch_size=[4, 128],
        internal=["none", "jit_compilation"],
        precision=["float32", "global_policy_float16"],
        optimizer=["SGD", "Adam"],
        lr=[0.1, 0.001],
    )
    settings = pilot_settings(spec.space)
    shapes = Counter((each["batch_size"], each["internal"], each["precision"]) for each in settings)
    assert len(shapes) == len(settings) == 8
    assert Counter(each["optimizer"] for each in settings) == {"SGD": 4, "Adam": 4}
    assert {each["lr"] for each in settings} == {0.001}
    assert all(spec.space.holds(each) for each in settings)


def test_every_value_is_there_however_few_shapes() -> None:
    spec = spec_of(batch_size=[32], optimizer=["SGD", "Adam", "AdamW", "RMSProp"])
    assert Counter(each["optimizer"] for each in pilot_settings(spec.space)).keys() == {
        "SGD",
        "Adam",
        "AdamW",
        "RMSProp",
    }


def test_of_very_many_shapes_some_are_drawn_with_every_value() -> None:
    spec = spec_of(
        batch_size=[4, 8, 16, 32, 64, 128],
        internal=["none", "jit_compilation", "pre_quantization"],
        precision=["float32", "global_policy_float16"],
        image_size=[32, 64, 96],
    )
    settings = pilot_settings(spec.space)
    assert MAX_PILOTS * 0.8 <= len(settings) <= MAX_PILOTS
    assert {each["batch_size"] for each in settings} == {4, 8, 16, 32, 64, 128}
    assert {each["image_size"] for each in settings} == {32, 64, 96}


def test_conditions_hold_and_ranges_give_their_ends() -> None:
    spec = spec_of(
        batch_size={"low": 8, "high": 64, "log": True},
        optimizer=["SGD", "Adam"],
        optimizer_momentum={"values": [0.5, 0.9], "when": {"optimizer": "SGD"}},
    )
    settings = pilot_settings(spec.space)
    assert {each["batch_size"] for each in settings} == {8, 64}
    assert all(("optimizer_momentum" in each) == (each["optimizer"] == "SGD") for each in settings)


def test_images_are_generated_like_the_study_s_or_taken_from_them(tmp_path: Path) -> None:
    pilots = chosen(spec_of(batch_size=[4, 4096]))
    assert all(pilot.data.name is DataSet.SYNTHETIC and pilot.data.image_size == 32 for pilot in pilots)
    few, all_of_them = pilots
    assert (few.data.images or 0) < 200
    assert few.scale == pytest.approx(40_000 / (few.data.images or 0))
    assert (all_of_them.data.images, all_of_them.scale) == (40_000, 1.0)
    mnist = study(data={"name": "mnist", "images": None, "classes": None}, space={"batch_size": [32]})
    own = chosen(mnist)[0]
    assert own.data.name is DataSet.MNIST
    assert own.scale == pytest.approx(70_000 / (own.data.images or 0))


@pytest.mark.parametrize("partitioning", ["98-1-1", "34-33-33"])
def test_every_part_has_images_of_every_class(partitioning: str) -> None:
    pilot, _ = chosen(spec_of(batch_size=[1], partitioning=[partitioning]))
    smallest = min(int(part) for part in partitioning.split("-"))
    assert round((pilot.data.images or 0) * smallest / 100) >= (pilot.data.classes or 0) >= 2


def test_machines_that_are_lost_are_told(tmp_path: Path) -> None:
    spec = spec_of(batch_size=[32, 64])

    class Leaves(FakeEngine):
        def receive(self, timeout_s: float) -> list[Message]:
            self._slots = ()
            self._queues.clear()
            return [ProcessEnded(0, None, None, "", lost="node b was lost")]

    results = measure(spec, chosen(spec), Leaves(trains(1.0, 0.2)), tmp_path)
    assert next(results).problem == "node b was lost"
    with pytest.raises(UsageError, match="no machine is left to train on; 1 setting"):
        next(results)
