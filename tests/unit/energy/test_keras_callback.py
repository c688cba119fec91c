"""Energy of epochs as a callback."""

import pytest

from greenopt.energy.keras_callback import EnergyCallback
from tests.unit.energy.bench import Bench
from tests.unit.energy.fake_nvml import Board


def test_epochs_share_boundaries_and_add_up() -> None:
    bench = Bench(Board())
    energy = EnergyCallback(bench.meter)
    bench.run(1.0)
    energy.on_train_begin()
    for epoch, until_s in enumerate([4.3, 8.1, 15.2]):
        bench.run(until_s)
        logs = {"loss": 1.0}
        energy.on_epoch_end(epoch, logs)
        assert logs["energy_wh"] == energy.epochs[-1].energy_wh
    assert len(energy.epochs) == 3
    assert sum(reading.energy_wh or 0 for reading in energy.epochs) == energy.total.energy_wh
    assert energy.total.average_power_w == pytest.approx(300, rel=0.01)


def test_before_an_epoch_has_ended_there_is_no_total() -> None:
    energy = EnergyCallback(Bench(Board()).meter)
    energy.on_epoch_end(0, {})
    assert energy.total.energy_wh is None


def test_a_name_that_keras_does_not_call_is_an_error() -> None:
    with pytest.raises(AttributeError, match="joules"):
        _ = EnergyCallback(Bench(Board()).meter).joules


def test_keras_itself_calls_it() -> None:
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    import numpy

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    bench = Bench(Board(waveform=Board().waveform))
    energy = EnergyCallback(bench.meter)
    ticks = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: bench.run(5.0 * (epoch + 1)))
    history = model.fit(numpy.ones((4, 2)), numpy.ones((4, 1)), epochs=2, verbose=0, callbacks=[ticks, energy])
    assert len(energy.epochs) == 2
    assert history.history["energy_wh"] == [reading.energy_wh for reading in energy.epochs]
