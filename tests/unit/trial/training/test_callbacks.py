"""Keras callbacks of the user's own: called as Keras calls them, without a change of what is trained or measured."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from greenopt.errors import ProblemsError, UsageError
from greenopt.events import Event, FailReason, Outcome
from greenopt.identity.inputs import InputReader
from greenopt.spec import TrialSpec, load_study
from greenopt.trial.failures import classify_failure
from greenopt.trial.journal import Journal
from greenopt.trial.run import run_trial
from greenopt.trial.training.callbacks import Callbacks, build_callbacks
from tests.unit.trial import listeners
from tests.unit.trial.workbench import FakeMeter, Told, prepared, trial_spec

HERE = "tests.unit.trial.listeners"
FIGURES = ["accuracy", "loss"]
BOTH = ["accuracy", "loss", "val_accuracy", "val_loss"]
EPOCH = [("test begins",), ("test ends", FIGURES)]


@pytest.fixture(autouse=True)
def _nothing_heard() -> Iterator[None]:
    for heard in (listeners.HEARD, listeners.MARKS, listeners.METER, listeners.KEPT):
        heard.clear()
    yield
    listeners.METER.clear()


def spec_of(*names: str, **training: Any) -> TrialSpec:
    data = {"name": "synthetic", "images": 100, "classes": 2, "image_size": 8}
    given = {"callbacks": [f"{HERE}:{name}" for name in names], "block_images": 48, **training}
    return trial_spec(data, given, batch_size=16)


def told(spec: TrialSpec) -> Told:
    events: list[Event] = []
    listeners.METER.append(FakeMeter())
    journal = Journal(listeners.METER[0], events.append)
    try:
        run_trial(spec, journal)
    except BaseException as error:
        journal.fail(classify_failure(error))
    return Told(events)


def test_hooks_come_in_keras_order_and_what_they_cost_is_the_epochs() -> None:
    found = told(spec_of("Epochs", epochs=2))
    assert found.ended.outcome is Outcome.COMPLETED, found.ended.message
    params = {"verbose": 0, "epochs": 2, "steps": 3}
    assert [
        ("train begins", params, "Functional"),
        *(("epoch begins", 0), *EPOCH, ("epoch ends", 0, BOTH)),
        *(("epoch begins", 1), *EPOCH, ("epoch ends", 1, BOTH)),
        ("train ends", BOTH),
    ] == listeners.HEARD
    # Marks: one at the start, four for the phases of set-up; then one ends each epoch.
    assert listeners.MARKS == [5] * 5 + [6] * 5
    assert found.facts["callbacks"] == f"{HERE}:Epochs"
    assert found.ended.message == ""


def test_they_are_the_hooks_that_fit_calls() -> None:
    """The same callbacks in `fit`, of as many steps an execution as a block has."""
    told(spec_of("pair"))
    ours, listeners.HEARD[:] = list(listeners.HEARD), []
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"], steps_per_execution=3)
    x, y = np.zeros((48, 2), np.float32), np.eye(2, dtype=np.float32)[np.arange(48) % 2]
    model.fit(x, y, batch_size=16, validation_data=(x, y), callbacks=listeners.pair(), verbose=0)
    assert [each[:2] for each in ours[1:]] == [each[:2] for each in listeners.HEARD[1:]]


@pytest.mark.parametrize(("block_images", "steps"), [(32, [(0, 1), (2, 2)]), (16, [(0, 0), (1, 1), (2, 2)])])
def test_batch_hooks_are_called_around_blocks(block_images: int, steps: list[tuple[int, int]]) -> None:
    told(spec_of("Batches", block_images=block_images))
    pairs = [[("begins", begin), ("ends", end, FIGURES)] for begin, end in steps]
    assert [each for pair in pairs for each in pair] == listeners.HEARD


def test_batch_hooks_see_and_change_the_weights_of_their_block() -> None:
    found = told(spec_of("HalvesWeights", block_images=16))
    assert found.ended.outcome is Outcome.COMPLETED, found.ended.message
    assert found.facts["flat_step"] is True, "steps train on copies of the weights, which this is about"
    before, after = listeners.KEPT[0::2], listeners.KEPT[1::2]
    assert len(before) == len(after) == 3
    for begun, ended in zip(before, after, strict=True):
        assert any(not np.array_equal(a, b) for a, b in zip(begun, ended, strict=True)), "the block trained"
    for ended, begun in zip(after, before[1:], strict=False):
        for half, weight in zip(ended, begun, strict=True):
            np.testing.assert_array_equal(0.5 * half, weight)
    # The next block goes on from what the callback left.
    assert max(np.abs(weight).max() for weight in after[2]) < max(np.abs(weight).max() for weight in after[0])


def test_callbacks_that_only_listen_change_no_weight() -> None:
    found: list[Any] = []
    for names in ((), ("pair",)):
        trial, _, _split = prepared(spec_of(*names))
        trial.trainer.warm_up()
        blocks = trial.callbacks if names else None
        trial.callbacks.call("on_epoch_begin", 0)
        found.append((trial.trainer.train_epoch(1, blocks=blocks), trial.model.get_weights()))
    assert found[0][0] == found[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


def test_a_callback_that_stops_ends_the_training_and_the_record_says_so() -> None:
    found = told(spec_of("early_stopping", "Epochs", epochs=5))
    assert found.ended.outcome is Outcome.COMPLETED
    assert [(each.epoch, each.epochs) for each in found.epochs] == [(1, 5), (2, 5)]
    assert found.ended.message == f"training.callbacks: {HERE}:early_stopping ended the training after epoch 2 of 5"
    assert listeners.HEARD[-1][0] == "train ends"


def test_a_stop_inside_an_epoch_ends_it_at_the_block() -> None:
    found = told(spec_of("StopsInBlock", epochs=3, block_images=16))
    assert listeners.HEARD == [("block", 0)]
    assert len(found.epochs) == 1
    assert found.ended.message.endswith("StopsInBlock ended the training after epoch 1 of 3")


def test_judged_are_the_weights_that_callbacks_leave() -> None:
    found = told(spec_of("PutsBack", epochs=5))
    _, accuracy, loss = listeners.KEPT
    assert found.epochs[1].val_loss == pytest.approx(loss, rel=1e-6)
    assert found.ended.accuracy == found.epochs[1].val_accuracy == accuracy
    assert found.epochs[0].val_loss == found.epochs[1].val_loss


@pytest.mark.parametrize(
    ("name", "reason", "message"),
    [
        ("Fails", FailReason.CRASH, "Fails: on_epoch_end: KeyError: 'val_f1\\nand more'"),
        ("Leaves", FailReason.CRASH, "Leaves: on_epoch_begin: SystemExit: enough"),
        ("RunsOut", FailReason.OUT_OF_MEMORY, "RunsOut: on_train_begin: MemoryError"),
        ("Slows", FailReason.WRONG_SETTING, "Slows: changed the learning rate in on_epoch_end, which the setting's lr"),
        ("Compiles", FailReason.WRONG_SETTING, "Compiles: compiled the model anew in on_epoch_begin; leave it out"),
        ("failing_pair", FailReason.CRASH, f"{HERE}:failing_pair (Fails): on_epoch_end: KeyError"),
        ("breaks", FailReason.CRASH, "breaks: ValueError: no such log"),
        ("nothing", FailReason.WRONG_SETTING, f"{HERE} has no function nothing"),
        ("no_callback", FailReason.WRONG_SETTING, "no_callback returned a dict, not a keras.callbacks.Callback"),
        ("its_class", FailReason.WRONG_SETTING, "its_class returned the class Epochs, not a keras.callbacks.Callback"),
    ],
)
def test_an_error_of_a_callback_fails_the_trial_with_one_clear_reason(
    name: str, reason: FailReason, message: str
) -> None:
    try:
        callbacks = build_callbacks([f"{HERE}:{name}"])
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        model.compile(keras.optimizers.SGD(0.1))
        callbacks.bind(model, 2, 3)
        callbacks.call("on_train_begin")
        callbacks.call("on_epoch_begin", 0)
        callbacks.call("on_epoch_end", 0, {})
    except BaseException as error:
        failure = classify_failure(error)
        assert failure.reason is reason
        assert failure.message.startswith("training.callbacks: ")
        assert message in failure.message
    else:
        pytest.fail("nothing was raised")


def test_a_failing_callback_fails_a_whole_trial_and_its_energy_stays() -> None:
    found = told(spec_of("Fails"))
    assert (found.ended.outcome, found.ended.reason) == (Outcome.FAILED, "crash")
    assert found.ended.message.startswith(f"training.callbacks: {HERE}:Fails: on_epoch_end: KeyError")
    assert found.ended.energy is not None
    assert found.ended.energy.energy_wh is not None


def test_without_callbacks_there_is_nothing_to_call() -> None:
    nothing = Callbacks()
    nothing.call("on_train_begin")
    assert (bool(nothing), nothing.wants_batches, nothing.is_stopping, nothing.stopped_by) == (
        False,
        False,
        False,
        None,
    )


STUDY = """
[study]
trials = 1
[data]
name = "digits"
[training]
epochs = 1
callbacks = ["mine:make"]
[space]
lr = 0.1
"""


def test_their_code_is_the_studys_and_is_looked_at_before_the_start(tmp_path: Path) -> None:
    from greenopt.coordination.preflight import check_study

    file = tmp_path / "s.toml"
    file.write_text(STUDY)
    with pytest.raises(UsageError, match=r"training.callbacks\[0\]: mine:make: there is no module mine in"):
        check_study(load_study(file), file)
    (tmp_path / "mine.py").write_text("import beside\n\ndef made():\n    return beside.x\n")
    (tmp_path / "beside.py").write_text("x = 1\n")
    with pytest.raises(ProblemsError, match=r"mine.py defines no make; did you mean mine:made\?"):
        check_study(load_study(file), file)
    (tmp_path / "mine.py").write_text("import beside\n\ndef make():\n    return beside.x\n")
    spec = load_study(file)
    check_study(spec, file)
    assert spec.modules_folder == str(tmp_path)
    before = InputReader(spec).read()
    assert set(before.code) == {"mine", "beside"}
    (tmp_path / "beside.py").write_text("x = 2\n")
    assert InputReader(spec).read().changes_since(before) == ["module beside changed"]


def test_they_cannot_vary_and_have_no_place_beside_an_objective_function(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    for text, message in (
        (STUDY.replace("lr = 0.1", 'callbacks = ["a:b"]'), "space.callbacks"),
        (STUDY.replace('"mine:make"', '"mine"'), "is not of the form package.module:function"),
        (STUDY.replace('[data]\nname = "digits"', 'objective = "a:b"'), "training.callbacks: has no effect with"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=message):
            load_study(file)
