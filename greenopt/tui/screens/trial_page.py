"""The page of one trial: setting, metrics, curves, epochs, energy by phase, flags, the end of its log."""

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from greenopt.formatting import (
    MISSING,
    format_energy,
    format_figure,
    format_flags,
    format_fraction,
    format_reading,
    format_seconds,
    format_setting,
    significant,
)
from greenopt.spec import OF_A_MODEL
from greenopt.storage.trial_state import TrialState
from greenopt.tui.state.live_trial import LiveTrial
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import Reader, Row
from greenopt.tui.text.status_symbols import GREY, ORANGE, VERMILION, status_text
from greenopt.tui.text.trial_lines import format_reason
from greenopt.tui.widgets.plots import CURVE_STYLES, CurvePlot
from greenopt.validation_gap import accuracy_caution


class TrialPage(Screen[None]):
    """The page of one trial, read again whenever the study is; escape returns."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back"),
        Binding("n", "step(1)", "Next"),
        Binding("b", "step(-1)", "Previous"),
        Binding("y", "app.copy_setting", "Copy setting"),
    ]

    class Read(Message):
        """A trial's events and log."""

        def __init__(self, live: LiveTrial, log: list[str]) -> None:
            self.live, self.log_lines = live, log
            super().__init__()

    def __init__(self, model: StudyModel, reader: Reader, number: int) -> None:
        """Show one trial of a study."""
        super().__init__()
        self._model, self._reader, self.number = model, reader, number

    def compose(self) -> ComposeResult:
        """Lay out the parts of the page in a column."""
        yield Static(id="trial-title")
        with VerticalScroll(id="trial-body"):
            yield Static(id="trial-figures")
            with Horizontal(id="trial-curves"):
                yield CurvePlot("accuracy over epochs", widget_id="accuracy-curve")
                yield CurvePlot("loss over epochs", widget_id="loss-curve")
                yield CurvePlot("energy over epochs", widget_id="energy-curve")
            yield Static(id="trial-epochs")
            yield Static(id="trial-phases")
            yield Static(id="trial-log")
        yield Footer()

    def on_mount(self) -> None:
        """Set the titles of the parts and start reading."""
        for name, title in (
            ("figures", "figures"),
            ("epochs", "epochs"),
            ("phases", "energy by phase"),
            ("log", "log"),
        ):
            self.query_one(f"#trial-{name}").border_title = title
        self.query_one("#trial-body").focus()
        self.reread()

    @work(thread=True, group="trial", exclusive=True)
    def reread(self) -> None:
        """Read the trial's files in a worker thread."""
        number = self.number
        self.post_message(self.Read(self._reader.trial(number), self._reader.log(number)))

    def on_trial_page_read(self, message: Read) -> None:
        """Draw what was read."""
        if message.live.trial != self.number:
            return
        row, live = self._model.rows[self.number], message.live
        self.query_one("#trial-title", Static).update(self._title(row))
        self.query_one("#trial-figures", Static).update(figures_table(self._model, row, live))
        self._draw_curves(live)
        self.query_one("#trial-epochs", Static).update(epochs_table(live))
        self.query_one("#trial-phases", Static).update(phases_table(live))
        log = Text("\n".join(message.log_lines) or "no log on this machine", GREY)
        self.query_one("#trial-log", Static).update(log)

    def action_step(self, by: int) -> None:
        """Show a neighbouring trial."""
        if self.number + by in self._model.rows:
            self.number += by
            self.reread()

    def _title(self, row: Row) -> Text:
        text = Text.assemble((f" trial {self.number} ", "bold reverse"), "  ", status_text(self._model.state(row)))
        setting = {name: row[name] for name in self._model.spec.space.distributions}
        return text.append(f"  {format_setting(setting)}", GREY)

    def _draw_curves(self, live: LiveTrial) -> None:
        training, validation = CURVE_STYLES["training"], CURVE_STYLES["validation"]
        epochs = live.epochs
        self.query_one("#accuracy-curve", CurvePlot).show_curves(
            [
                ("training", [epoch.accuracy for epoch in epochs], training),
                ("validation", [epoch.val_accuracy for epoch in epochs], validation),
            ]
        )
        self.query_one("#loss-curve", CurvePlot).show_curves(
            [
                ("training", [epoch.loss for epoch in epochs], training),
                ("validation", [epoch.val_loss for epoch in epochs], validation),
            ]
        )
        energies = [epoch.energy.energy_wh for epoch in epochs]
        self.query_one("#energy-curve", CurvePlot).show_curves([("Wh per epoch", energies, CURVE_STYLES["energy"])])


def figures_table(model: StudyModel, row: Row, live: LiveTrial) -> Table:
    """Return a table of the trial's metrics, the reason for a missing result, and its setting."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style=GREY, no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _figures(model, row, live):
        if text:
            _add_row(table, name, text)
    for name in model.spec.space.distributions:
        inert = live.prepared.inert.get(name) if live.prepared else None
        value = Text(str(row[name]) if row[name] is not None else MISSING, "bold")
        _add_row(table, name, value.append(f"  without effect: {inert}", ORANGE) if inert else value)
    return table


def _figures(model: StudyModel, row: Row, live: LiveTrial) -> list[tuple[str, str | Text]]:
    if row["state"] == TrialState.RUNNING:
        return _running_figures(live)
    flags = format_flags((row.get("flags") or " ".join(live.flags)).split())
    missing = f" (not measured: {row['energy_missing']})" if row.get("energy_missing") else ""
    uncertainty = "" if row["uncertainty_wh"] is None else f" +- {significant(row['uncertainty_wh'], 2)} Wh"
    efficiency = MISSING if row["efficiency"] is None else f"{significant(row['efficiency'])}/Wh"
    total = format_energy(row.get("total_wh"), row.get("total_source"))
    return [
        ("reason", Text(format_reason(row), VERMILION)),
        ("accuracy", f"{format_fraction(row['accuracy'])} validation, {format_fraction(row['test_accuracy'])} test"),
        *((name, format_figure(name, row.get(name), row["energy_source"], 4)) for name in _beside(model, row)),
        ("not measured", Text(row.get("figures_missing") or "", GREY)),
        ("caution", Text(accuracy_caution(model.spec, row), VERMILION)),
        ("energy", f"{format_energy(row['energy_wh'], row['energy_source'])}{uncertainty}{flags}{missing}"),
        ("of that", _format_source(row)),
        ("per epoch", f"{format_energy(row['wh_per_epoch'], row['energy_source'])}, efficiency {efficiency}"),
        ("in total", f"{total} in {format_seconds(row.get('total_s'))}, set-up included"),
        ("footprint", model.footprint.format(row.get("total_wh"))),
        ("repeats", f"trial {row['retry_of']}" if row.get("retry_of") is not None else ""),
        ("measured as", Text(f"trial {row.get('from_trial')} of {row['from_study']}" if row.get("from_study") else "")),
        ("device", " · ".join(str(part) for part in (row.get("gpu_name"), row.get("host")) if part)),
    ]


def _beside(model: StudyModel, row: Row) -> list[str]:
    """Return the figures of a trial beside accuracies and energies: objectives, and what its process found."""
    found = (str(name) for name in OF_A_MODEL if row.get(name) is not None)
    return list(dict.fromkeys([*model.plane.others, *found]))


def _running_figures(live: LiveTrial) -> list[tuple[str, str | Text]]:
    energy = format_energy(live.training_wh, live.source)
    total = format_energy(live.total_wh, live.source)
    return [
        ("now", live.activity_text()),
        ("accuracy", f"{format_fraction(live.accuracy)} validation so far"),
        ("energy", f"{energy} training so far{format_flags(live.flags)}; {total} with the set-up"),
        ("all epochs", f"~{format_energy(live.forecast_wh, live.source).removeprefix('~')} at this pace"),
        ("device", live.meter.device if live.meter is not None else ""),
    ]


def _format_source(row: Row) -> str:
    if row["energy_source"] is None:
        return ""
    parts = [f"source {row['energy_source']}"]
    parts += [f"coverage {row['coverage']:.0%}"] if row["coverage"] is not None else []
    for name in ("counter_wh", "integral_wh", "net_energy_wh"):
        if row.get(name) is not None:
            parts.append(f"{name.removesuffix('_wh').replace('_', ' ')} {significant(row[name])} Wh")
    return ", ".join(parts)


def epochs_table(live: LiveTrial) -> Table | Text:
    """Return a table of the trial's epochs, one line per epoch."""
    if not live.epochs:
        return Text("no finished epoch is on this machine", GREY)
    heads = ("epoch", "loss", "accuracy", "val loss", "val accuracy", "lr", "energy", "time", "flags")
    table = Table(*heads, box=None, padding=(0, 2, 0, 0))
    for column in table.columns[:-1]:
        column.justify = "right"
    for epoch in live.epochs:
        _add_row(
            table,
            str(epoch.epoch),
            _plain(epoch.loss),
            format_fraction(epoch.accuracy),
            _plain(epoch.val_loss),
            format_fraction(epoch.val_accuracy),
            _plain(epoch.lr),
            format_reading(epoch.energy),
            format_seconds(epoch.seconds),
            " ".join(epoch.energy.flags),
        )
    return table


def phases_table(live: LiveTrial) -> Table | Text:
    """Return a table of the trial's phases, one line per phase: energy, time, mean power."""
    if not live.phases:
        return Text("no finished phase is on this machine", GREY)
    table = Table("phase", "energy", "time", "power", "flags", box=None, padding=(0, 2, 0, 0))
    for column in table.columns[1:4]:
        column.justify = "right"
    for ended in live.phases:
        power_w = ended.energy.average_power_w
        _add_row(
            table,
            str(ended.phase),
            format_reading(ended.energy)
            if ended.energy.energy_wh is not None
            else f"{MISSING} ({ended.energy.reason})",
            format_seconds(ended.energy.seconds),
            MISSING if power_w is None else f"{power_w:.0f} W",
            " ".join(ended.energy.flags),
        )
    return table


def _add_row(table: Table, *cells: str | Text) -> None:
    """Add a row whose texts are shown letter by letter; a plain string would be read for markup."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def _plain(value: float | None) -> str:
    return MISSING if value is None else significant(value)
