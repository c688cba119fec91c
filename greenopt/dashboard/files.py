"""Artifact files of a trial: its epochs as a table, its curves as a drawing."""

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

from greenopt.dashboard.trial_curves import TrialCurves
from greenopt.plain_text import in_one_line
from greenopt.reading import EnergySource

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OF_EPOCH = ("epoch", "seconds", "loss", "accuracy", "val_loss", "val_accuracy", "lr")
_OF_ENERGY = ("energy_wh", "source", "uncertainty_wh", "coverage", "counter_wh", "integral_wh", "net_wh")


def write_epochs(curves: TrialCurves, target: Path) -> None:
    """Write the epochs of a trial as CSV, one row per epoch; unmeasured values are empty."""
    columns = (*_OF_EPOCH, *_OF_ENERGY, "average_power_w", "spent_wh", "cpu_wh", "dram_wh", "flags")
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for epoch, used_wh in zip(curves.epochs, curves.used_wh, strict=True):
            own = [getattr(epoch, name) for name in _OF_EPOCH]
            energy = [getattr(epoch.energy, name) for name in _OF_ENERGY]
            beside = [reading.energy_wh if reading else None for reading in (epoch.cpu, epoch.dram)]
            writer.writerow(
                [*own, *energy, epoch.energy.average_power_w, used_wh, *beside, " ".join(epoch.energy.flags)]
            )


def draw_curves(curves: TrialCurves, title: str, target: Path) -> bool:
    """Draw a trial's accuracies over its epochs and its power over time as SVG.

    Returns:
        Whether there was anything to draw; without it, no file is made.
    """
    if not curves.epochs and not curves.power.t_s:
        return False
    import matplotlib
    from matplotlib.figure import Figure

    # Text instead of paths: a third of the size. With the fixed salt, equal curves give equal files.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.size": 12}):
        figure = Figure(figsize=(7.5, 6.5))
        # Fixed margins take half the time of a constrained layout.
        figure.subplots_adjust(left=0.11, right=0.97, top=0.9, bottom=0.09, hspace=0.32)
        figure.suptitle(in_one_line(title).replace("$", r"\$"), fontsize=11, wrap=True)
        learning, power = figure.subplots(2, 1)
        _draw_learning(learning, curves)
        _draw_power(power, curves)
        figure.savefig(target, format="svg", metadata={"Date": None})
    return True


def _draw_learning(axes: "Axes", curves: TrialCurves) -> None:
    from matplotlib.ticker import MaxNLocator

    numbers = [epoch.epoch for epoch in curves.epochs]
    for name, label, color in (("accuracy", "training", "#999999"), ("val_accuracy", "validation", "#1b7837")):
        values = [getattr(epoch, name) for epoch in curves.epochs]
        axes.plot(numbers, [math.nan if v is None else v for v in values], label=label, color=color, marker=".")
    axes.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def _draw_power(axes: "Axes", curves: TrialCurves) -> None:
    estimated = ", estimated" if curves.power_source is EnergySource.ESTIMATE else ""
    axes.plot(curves.power.t_s, curves.power.power_w, color="#d95f02")
    axes.set(xlabel="time since the trial began (s)", ylabel=f"power (W){estimated}")
    axes.set_ylim(bottom=0)
    if not curves.power.t_s:
        axes.annotate("there are no power readings", (0.5, 0.5), xycoords="axes fraction", ha="center")
    elif curves.prepared_s is not None:
        axes.axvline(curves.prepared_s, color="#999999", linestyle=":")
        axes.annotate(" training begins", (curves.prepared_s, 0), va="bottom", color="#666666")
