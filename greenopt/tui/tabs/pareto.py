"""The Pareto tab: the front at full size, and its trials as a list."""

from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll

from greenopt.gpu_models import format_mixed, mixed_models, model_of
from greenopt.tui.state.model import StudyModel
from greenopt.tui.text import trial_lines
from greenopt.tui.text.status_symbols import GREY, YELLOW
from greenopt.tui.widgets.plots import FrontPlot
from greenopt.tui.widgets.responsive_text import ResponsiveText


class ParetoPane(Vertical):
    """The front at full size, and its trials as a list."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("l", "log", "Log/linear axis")]

    def compose(self) -> ComposeResult:
        """Lay out the plot above the list."""
        yield FrontPlot(widget_id="pareto-plot", zooms=True)
        with VerticalScroll(id="pareto-list"):
            yield ResponsiveText(id="pareto-trials")

    def on_mount(self) -> None:
        """Set the title of the list."""
        self.query_one("#pareto-list").border_title = "trials on the front, least energy first"

    def show_model(self, model: StudyModel, now: datetime) -> None:
        """Draw the front."""
        self._model = model
        if not model.plane.is_accuracy_for_energy:
            first = next(iter(model.spec.objectives))
            self.query_one("#pareto-list").border_title = Text(f"trials on the front, best {first} first")
        self.query_one(FrontPlot).show_model(model)
        self.query_one("#pareto-trials", ResponsiveText).fit(lambda width, _: _front_lines(model, width))

    def action_log(self) -> None:
        """Toggle between a logarithmic and a linear energy axis."""
        plot = self.query_one(FrontPlot)
        plot.is_log = not (plot.border_subtitle or "").endswith("log")
        plot.show_model(self._model)


def _front_lines(model: StudyModel, width: int) -> Text:
    parameters = tuple(model.spec.space.distributions)
    rows = [model.rows[trial] for trial in model.trace.trials]
    models = mixed_models(model.rows.values())
    lines = [trial_lines.ended_text(row, "front", parameters, width, model.shown_figures) for row in rows]
    if models:
        lines = [Text.assemble(line, (f"  {model_of(row)}", GREY)) for line, row in zip(lines, rows, strict=True)]
        lines.insert(0, Text(format_mixed(list(model.rows.values())), YELLOW))
    return Text("\n").join(lines) if lines else Text("no completed trial yet", GREY)
