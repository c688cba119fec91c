"""The meter as a callback of `model.fit`; works with Keras without importing it.

    with EnergyMeter(open_device(), sync=tf.test.experimental.sync_devices) as meter:
        energy = EnergyCallback(meter)
        model.fit(x, y, epochs=10, callbacks=[energy])
    print(energy.total.energy_wh, [epoch.energy_wh for epoch in energy.epochs])

Keras calls a callback's methods by name; `__getattr__` answers the ones that need nothing done.
"""

from typing import Any

from greenopt.energy.ledger import Mark
from greenopt.energy.meter import EnergyMeter
from greenopt.reading import EnergyReading


class EnergyCallback:
    """Energy of each epoch, validation included, and of the whole training.

    Epochs share their boundaries: each ends where the next begins, so that they add up to the total exactly.

    Attributes:
        epochs: one reading an epoch.
        total: from the beginning of the first epoch to the end of the last; missing until an epoch has ended.
    """

    async_safe = True

    def __init__(self, meter: EnergyMeter) -> None:
        """Use a meter that is running."""
        self._meter = meter
        self._first: Mark | None = None
        self._latest: Mark | None = None
        self.epochs: list[EnergyReading] = []
        self.total = EnergyReading.missing("no epoch has ended")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the first epoch's window."""
        self.epochs = []
        self._first = self._latest = self._meter.mark()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Close the epoch's window; `energy_wh` joins Keras's own figures where it was measured."""
        if self._first is None or self._latest is None:
            return
        mark = self._meter.mark()
        reading = self._meter.between(self._latest, mark)
        self.epochs.append(reading)
        self.total = self._meter.between(self._first, mark)
        self._latest = mark
        if logs is not None and reading.energy_wh is not None:
            logs["energy_wh"] = reading.energy_wh

    def __getattr__(self, name: str) -> Any:
        """Return a function that does nothing for Keras's other hooks."""
        if name.startswith("on_") or name in ("set_model", "set_params"):
            return _nothing
        raise AttributeError(f"{type(self).__name__} has no attribute {name}")


def _nothing(*arguments: object, **options: object) -> None:
    """Do nothing, as a Keras hook that is not used."""
