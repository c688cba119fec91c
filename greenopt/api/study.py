"""A study's results in Python: its trials as a table, its Pareto front, its analysis, its figures and its report."""

import html
from functools import cached_property
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenopt.cli.options import study_name
from greenopt.errors import UsageError, one_line, shown
from greenopt.identity.snapshot import read_folder
from greenopt.runs.folder import RunFolder
from greenopt.spec import StudySpec
from greenopt.storage.snapshot import StudySnapshot
from greenopt.storage.trial_state import TrialState

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from greenopt.analysis.results import Analysis

TEXT_WIDTH = 110
"""Letters in a line of an analysis's text."""


class Findings:
    """What a study's trials say, as `greenopt analyze` prints it; shown as that text in a terminal and a notebook.

    Attributes:
        document: the same with all figures, as `greenopt analyze --json` writes it.
        next_settings: settings that would settle the most, a mapping each.
    """

    def __init__(self, analysis: "Analysis") -> None:
        from greenopt.analysis.document import build_document

        self._analysis = analysis
        self.document: dict[str, Any] = build_document(analysis)
        self.next_settings: list[dict[str, Any]] = [dict(each) for each in analysis.advice.next_settings]

    @cached_property
    def text(self) -> str:
        """The tables and the advice as plain text."""
        from rich.console import Console

        from greenopt.analysis.results import Coding, Response
        from greenopt.cli.analysis_tables import print_analysis

        written = StringIO()
        console = Console(file=written, width=TEXT_WIDTH, force_jupyter=False, color_system=None)
        print_analysis(console, self._analysis, [Response.LOG_ENERGY_WH, Response.ACCURACY], Coding.EFFECTIVE)
        return written.getvalue().rstrip("\n")

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f'<pre style="font-family: monospace">{html.escape(self.text)}</pre>'


class Picture:
    """A figure, shown as a picture in a notebook whether or not matplotlib was set up there.

    Attributes:
        figure: matplotlib's.
    """

    def __init__(self, figure: "Figure") -> None:
        self.figure = figure

    def save(self, path: str | Path) -> None:
        """Write it to a file; the suffix says in which format.

        Raises:
            UsageError: it is none that figures are written in, or the file cannot be written.
        """
        try:
            self.figure.savefig(path)
        except (ValueError, OSError) as error:
            raise UsageError(f"{path}: {one_line(str(error), 150)}") from None

    def _repr_png_(self) -> bytes:
        written = BytesIO()
        self.figure.savefig(written, format="png")
        return written.getvalue()


class Study:
    """One study's results, read anew at each access: a study that runs may be looked at.

    Attributes:
        path: its folder.
    """

    def __init__(self, folder: RunFolder, storage: str | None = None) -> None:
        self._folder, self._storage = folder, storage
        self.path = folder.path

    @property
    def name(self) -> str:
        """The study's name."""
        return self._folder.name

    @property
    def spec(self) -> StudySpec:
        """The study as its file describes it, defaults included."""
        return self._read().spec

    @property
    def trials(self) -> "pd.DataFrame":
        """All trials, by number: state, setting and every figure, with the units of their names; missing is NA."""
        from greenopt.analysis.frame import trials_frame

        snapshot = self._read()
        parameters = list(snapshot.spec.space.distributions)
        frame = trials_frame(snapshot.rows)
        first = ["state", *parameters, *snapshot.spec.objectives]
        return frame.set_index("trial")[[*first, *(name for name in frame if name not in ("trial", *first))]]

    @property
    def front(self) -> "pd.DataFrame":
        """The trials that no other one beats in all objectives, as rows of `trials`."""
        numbers = [ranked.trial for ranked in self._analysis().pareto]
        return self.trials.loc[numbers]

    def analyze(self) -> Findings:
        """Analyse the study: what saves energy, and how sure that is."""
        return Findings(self._analysis())

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report and return its path.

        Args:
            path: a `.pdf` or `.html` file; `report.pdf` in the study's folder unless given.

        Raises:
            UsageError: it is no such file, or cannot be written.
        """
        from greenopt.report.build import Format, build_report

        if not isinstance(path, str | Path | None):
            raise UsageError(f"report: {shown(path)}: give the path of a .pdf or an .html file")
        target = Path(path) if path is not None else self.path / "report.pdf"
        suffix = target.suffix.removeprefix(".").lower()
        if suffix not in tuple(Format):
            raise UsageError(f"{target}: unknown suffix; a report is a .pdf or an .html file")
        return build_report(self._folder, target.resolve(), Format(suffix), self._storage).report

    def plot_front(self) -> "Picture":
        """Draw accuracy against energy with the Pareto front, and the growth of its hypervolume.

        Raises:
            UsageError: no completed trial has both.
        """
        from greenopt.report.figures import Drawing, style
        from greenopt.report.figures.front import pareto_front
        from greenopt.report.report_data import ReportData

        with style():
            drawn = pareto_front(ReportData(self._analysis(), (), 0))
        if not isinstance(drawn, Drawing):
            raise UsageError(f"study {self.name}: {drawn.reason}")
        return Picture(drawn.figure)

    def __repr__(self) -> str:
        if not self._folder.study_file.is_file() and self._storage is None:
            return f"Study {self.name} in {self.path}: has not begun"
        snapshot = self._read()
        failed, complete = snapshot.count(TrialState.FAIL), snapshot.count(TrialState.COMPLETE)
        of = snapshot.spec.study.trials
        return f"Study {self.name} in {self.path}: {complete} of {of} trials completed, {failed} failed"

    def _repr_html_(self) -> str:
        if not self._folder.study_file.is_file() and self._storage is None:
            return f"<p>{html.escape(repr(self))}.</p>"
        front = self.front
        shown = ["state", *self.spec.space.distributions, *self.spec.objectives]
        return f"<p>{html.escape(repr(self))}. Its Pareto front:</p>{front[shown].to_html()}"

    def _read(self) -> StudySnapshot:
        return read_folder(self._folder, self._storage)

    def _analysis(self) -> "Analysis":
        from greenopt.report.study_analysis import analyse_study

        return analyse_study(self._folder, self._storage)


def load_study(name: str | Path, *, runs: str | Path = "runs", storage: str | None = None) -> Study:
    """Open a study's results.

    Args:
        name: the study's, or the path of its folder.
        runs: folder of all studies' results.
        storage: URL of its storage; the one that it was last run with unless given.

    Raises:
        UsageError: there is no such study.
    """
    if not isinstance(name, str | Path):
        raise UsageError(f"load_study: {shown(name)}: is neither the name of a study nor the path of its folder")
    given = Path(name)
    folder = RunFolder(given.resolve() if len(given.parts) > 1 else Path(runs).resolve() / study_name(str(name)))
    if storage is None:
        folder.storage()
    study = Study(folder, storage)
    study._read()
    return study
