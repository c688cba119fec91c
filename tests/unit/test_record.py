"""What the storage is told of a trial."""

from greenopt.events import Outcome
from greenopt.record import Verdict, attributes, objective_values
from greenopt.summary import summarise
from tests.builders import ended, epoch, reading, started, study


def test_figures_have_nine_digits_and_objectives_are_among_them() -> None:
    energy = reading(100 / 3, 70.1)
    summary = summarise([started(0), epoch(1, energy=energy), ended(accuracy=1 / 7, energy=energy)])
    figures = attributes(summary, Verdict(Outcome.COMPLETED), None)
    assert (figures["accuracy"], figures["energy_wh"]) == (0.142857143, 33.3333333)
    assert objective_values(summary, study()) == [figures["accuracy"], figures["energy_wh"]]
    assert all(len(str(value)) <= 14 for value in figures.values() if isinstance(value, float))
    assert figures["epochs_done"] == 1
    assert isinstance(figures["epochs_done"], int)
