"""Every figure from a study that has everything, and from studies that lack something."""

import subprocess
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from matplotlib.figure import Figure
from matplotlib.text import Text

from greenopt.analysis.analyse import analyse
from greenopt.analysis.results import Coding, Response
from greenopt.report.figures import Drawing, Picture, SkippedFigure, draw, save, style
from greenopt.report.figures.curves import accuracy_curves, energy_accuracy_curves, loss_curves, winner_curves
from greenopt.report.figures.matrix import ROWS, settings_by_accuracy, settings_by_power_draw
from greenopt.report.figures.residuals import residuals
from greenopt.report.figures.scatter import accuracy_against_power, counter_against_integral
from greenopt.report.figures.style import new_figure
from greenopt.report.report_data import ReportData
from greenopt.spec import StudySpec
from tests.unit.report.studies import curve, made_report_data, made_rows

OF_THE_PAPER = {
    *("accuracy-curves", "loss-curves", "distributions", "accuracy-histogram", "accuracy-seconds", "test-training"),
    *("settings-accuracy", "settings-power-draw", "settings-efficiency", "power-histogram", "accuracy-power"),
}
BEYOND = {
    *("coefficients-log-energy-wh", "coefficients-accuracy", "coefficients-efficiency", "pareto-front"),
    *("energy-accuracy-curves", "counter-integral", "importance", "parallel-accuracy", "parallel-energy"),
    *("interactions-log-energy-wh", "interactions-accuracy", "interactions-efficiency"),
    *("residuals-log-energy-wh", "residuals-accuracy", "residuals-efficiency"),
}


def drawn(report_data: ReportData) -> dict[str, Picture]:
    return {picture.slug: picture for picture in draw(report_data)}


def words(picture: Picture) -> str:
    """All that stands in a figure and under it."""
    assert isinstance(picture, Drawing)
    texts = [text.get_text() for text in picture.figure.findobj(Text)]
    return " ".join([*texts, picture.title, picture.caption])


def test_every_figure_is_drawn_and_saved_whole(tmp_path: Path) -> None:
    pictures = drawn(made_report_data())
    assert set(pictures) == OF_THE_PAPER | BEYOND
    assert {slug for slug, picture in pictures.items() if isinstance(picture, SkippedFigure)} == {
        *("importance", "interactions-log-energy-wh", "interactions-efficiency")
    }
    with style():
        for picture in pictures.values():
            if isinstance(picture, Drawing):
                save(picture.figure, tmp_path, picture.slug)
                assert (tmp_path / f"{picture.slug}.png").read_bytes().startswith(b"\x89PNG")
                assert ElementTree.parse(tmp_path / f"{picture.slug}.svg").getroot().tag.endswith("svg")
    assert not list(tmp_path.glob("*.part*"))


def test_a_study_without_trials_and_one_without_results_have_reasons_in_place_of_figures() -> None:
    spec, rows = made_rows(3, state="fail", accuracy=None, energy_wh=None, wh_per_epoch=None, efficiency=None)
    pictures = drawn(ReportData(analyse(spec, rows)))
    assert set(pictures) == OF_THE_PAPER | BEYOND
    assert all(isinstance(picture, SkippedFigure) and picture.reason for picture in pictures.values())


@pytest.mark.parametrize(
    ("source", "axis", "caption"),
    [
        ("estimate", "(est.)", "estimated: CPU time x an assumed power"),
        ("nvidia_smi_snapshot", "(nvidia-smi snapshots)", "one reading of nvidia-smi an epoch"),
        ("unknown", "(source unknown)", "not known how (imported)"),
    ],
)
def test_energies_that_no_meter_stands_behind_say_so_on_the_axis_and_below(
    source: str, axis: str, caption: str
) -> None:
    pictures = drawn(made_report_data(source=source))
    of_energy = OF_THE_PAPER | BEYOND
    for slug in of_energy & {"pareto-front", "distributions", "settings-power-draw", "settings-efficiency"}:
        assert axis in words(pictures[slug]), slug
        assert caption in words(pictures[slug]), slug
    assert axis in words(pictures["accuracy-power"])
    assert caption in words(pictures["coefficients-log-energy-wh"])
    assert axis not in words(drawn(made_report_data())["pareto-front"])


def test_of_many_trials_marks_become_pixels_and_rows_are_put_together() -> None:
    trials = 1500
    report_data = made_report_data(trials)
    with style():
        scatter, matrix = accuracy_against_power(report_data), settings_by_accuracy(report_data)
    assert isinstance(scatter, Drawing)
    assert isinstance(matrix, Drawing)
    assert any(marks.get_rasterized() for marks in scatter.figure.axes[0].collections)
    assert f"1,500 trials in {ROWS} rows" in matrix.caption
    drawn = matrix.figure.axes[0].images[0].get_array()
    assert drawn is not None
    assert drawn.shape == (ROWS, 40)


def cells(figure: Figure) -> Any:
    """Which cells of a matrix are filled."""
    return np.asarray(figure.axes[0].images[0].get_alpha())


def test_the_matrices_are_sorted_and_a_filled_cell_is_a_value_that_the_trial_has() -> None:
    spec, rows = made_rows(12)
    report_data = ReportData(analyse(spec, rows))
    labels = [(name, value) for name, one in spec.space.distributions.items() for value in one.values]  # type: ignore[union-attr]
    with style():
        best_first, frugal_first = settings_by_accuracy(report_data), settings_by_power_draw(report_data)
    for picture, key in (
        (best_first, lambda row: -row["accuracy"]),
        (frugal_first, lambda row: row["wh_per_epoch"]),
    ):
        assert isinstance(picture, Drawing)
        for filled, row in zip(cells(picture.figure), sorted(rows, key=key), strict=True):
            assert {label for label, cell in zip(labels, filled, strict=True) if cell == 1} == {
                (name, row[name]) for name in spec.space.distributions
            }


def test_words_of_the_user_are_no_formulas() -> None:
    """A dollar sign would begin one, and a broken formula would be an error."""
    raw = {
        "study": {"name": "own", "trials": 12, "objective": "mine:train"},
        "training": {"epochs": 5},
        "space": {"a_$x^{": ["$\\frac{", "#b", "c_$"], "depth": {"low": 1, "high": 30}},
    }
    spec = StudySpec.model_validate(raw)
    figures = {"state": "complete", "energy_source": "estimate", "seconds": 10.0, "epochs_done": 5}
    rows = [
        {
            "trial": number,
            **figures,
            "a_$x^{": ["$\\frac{", "#b", "c_$"][number % 3],
            "depth": 1 + 7 * number % 30,
            "accuracy": 0.5 + number / 100,
            "energy_wh": 1.0 + number % 5,
            "wh_per_epoch": (1.0 + number % 5) / 5,
            "efficiency": 1.0 + number,
        }
        for number in range(12)
    ]
    pictures = drawn(ReportData(analyse(spec, rows)))
    with style():
        for picture in pictures.values():
            if isinstance(picture, Drawing):
                picture.figure.canvas.draw()
    assert r"\$\frac{" in words(pictures["settings-accuracy"])


def test_courses_of_one_epoch_and_missing_figures_are_drawn() -> None:
    one = curve(0, 0.5, 2.0, epochs=1)
    blank = curve(1, 0.5, 2.0)
    blank.loss[:] = np.nan
    blank.val_accuracy[3:] = np.nan
    spec, rows = made_rows(2)
    report_data = ReportData(analyse(spec, rows), (one, blank), 2)
    one.val_loss[:] = np.nan
    with style():
        for drawing in (
            winner_curves(one, report_data),
            winner_curves(blank, report_data),
            accuracy_curves(report_data),
            loss_curves(report_data),
        ):
            assert isinstance(drawing, Drawing)
            drawing.figure.canvas.draw()
        assert isinstance(energy_accuracy_curves(report_data), Drawing)


def test_where_not_all_courses_are_drawn_the_caption_says_so() -> None:
    with style():
        picture = accuracy_curves(made_report_data())
    assert isinstance(picture, Drawing)
    assert "50 of 60 trainings are drawn" in picture.caption


def test_counter_and_integral_are_compared_in_percent() -> None:
    spec, rows = made_rows(4)
    for row, factor in zip(rows, (1.0, 1.01, 0.98, 1.0), strict=True):
        row["integral_wh"] = row["counter_wh"] * factor
    with style():
        picture = counter_against_integral(ReportData(analyse(spec, rows)))
    assert isinstance(picture, Drawing)
    assert "the largest difference is 2.0 %" in picture.caption


def test_drawing_leaves_pyplot_and_the_settings_of_matplotlib_alone() -> None:
    program = """
import sys
import warnings
import matplotlib
before = matplotlib.rcParams.copy()
from tests.unit.report.studies import made_report_data
from greenopt.report.figures import draw
assert sum(hasattr(picture, "figure") for picture in draw(made_report_data())) > 15
assert "matplotlib.pyplot" not in sys.modules
assert dict.__eq__(before, matplotlib.rcParams)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])


def test_residuals_are_what_the_regression_leaves_and_name_who_pulls_it() -> None:
    spec, rows = made_rows(60)
    rows[7]["accuracy"] = 0.999
    report_data = ReportData(analyse(spec, rows), (), 60)
    picture = residuals(report_data, Response.ACCURACY)
    assert isinstance(picture, Drawing)
    fit = report_data.analysis.regressions[Response.ACCURACY][Coding.EFFECTIVE]
    left, right = picture.figure.axes
    drawn_at = np.asarray(left.collections[0].get_offsets())
    expected = [(fitted, rows[trial]["accuracy"] - fitted) for trial, fitted in fit.fitted.items()]
    np.testing.assert_allclose(drawn_at, expected, atol=1e-9)
    quantiles = np.asarray(right.collections[0].get_offsets())
    slope = scipy.stats.probplot([y for _, y in expected])[1][0]
    assert np.all(np.diff(quantiles, axis=0) >= 0)
    assert np.polyfit(quantiles[:, 0], quantiles[:, 1], 1)[0] == pytest.approx(
        slope / np.std([y for _, y in expected]), rel=0.05
    )
    assert "7" in [text.get_text() for text in left.texts]
    exact = ReportData(analyse(spec, [{**row, "accuracy": 0.5} for row in rows]), (), 60)
    assert isinstance(residuals(exact, Response.ACCURACY), SkippedFigure)


def test_letters_that_no_font_has_are_drawn_as_boxes_without_a_word(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with style():
            figure, axes = new_figure()
            axes[0].set_title("\u72d7, \U00010400, a\u00fc\u00df")
            save(figure, tmp_path, "letters")
    assert (tmp_path / "letters.png").stat().st_size > 0
