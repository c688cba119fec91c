"""Studies in which nothing varies, all is explained, or hardly anything is known: what is said of them is true."""

import io
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from greenopt.analysis.analyse import analyse
from greenopt.analysis.document import build_document
from greenopt.analysis.results import Analysis, Coding, Response
from greenopt.cli.analysis_tables import print_analysis
from greenopt.spec import StudySpec

pytestmark = pytest.mark.filterwarnings("error")
NO_NUMBER = re.compile(r"(?<![A-Za-z_])[+-]?(nan|inf)\b", re.IGNORECASE)
GRID = [(a, b) for _ in range(3) for a in (1, 2, 3) for b in "xy"]


def spec_of(space: dict[str, Any], trials: int = 18, **study: Any) -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": "made", "trials": trials, "objective": "made:up", **study},
            "training": {"epochs": 1},
            "space": space,
        }
    )


SPEC = spec_of({"a": [1, 2, 3], "b": ["x", "y"]})


def row(trial: int, accuracy: float | None, energy_wh: float | None, **rest: Any) -> dict[str, Any]:
    return {
        "trial": trial,
        "state": "complete",
        "accuracy": accuracy,
        "energy_wh": energy_wh,
        "energy_source": "nvml_counter",
        "wh_per_epoch": energy_wh,
        "efficiency": accuracy / energy_wh if accuracy is not None and energy_wh else None,
        "seconds": 1.0,
        "epochs_done": 1,
        **rest,
    }


def rows_of(
    accuracy: Callable[[int, str], float],
    energy_wh: Callable[[int, str], float],
    grid: Sequence[tuple[int, str]] = GRID,
) -> list[dict[str, Any]]:
    return [row(n, accuracy(a, b), energy_wh(a, b), a=a, b=b) for n, (a, b) in enumerate(grid)]


def text_of(found: Analysis, coding: Coding = Coding.EFFECTIVE) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_analysis(console, found, list(Response), coding)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def is_sound(found: Analysis) -> Analysis:
    """Assert that no number is none, in text and in the document, and return the analysis."""
    json.dumps(build_document(found), allow_nan=False)
    for coding in Coding:
        assert not NO_NUMBER.search(text_of(found, coding))
    return found


def test_an_exact_fit_has_estimates_and_nothing_to_judge_chance_by() -> None:
    found = is_sound(analyse(SPEC, rows_of(lambda a, b: 0.1 * a + 0.3 * (b == "y"), lambda a, b: 2.0 * a + (b == "y"))))
    for coding in Coding:
        fitted = found.regressions[Response.ENERGY_WH][coding]
        assert fitted.is_exact
        assert fitted.f_value is fitted.f_pvalue is None
        assert {(one.t, one.p, one.p_holm, one.hc3_p) for one in fitted.coefficients} <= {(None, None, None, None)} | {
            (None, None, 1.0, None)
        }
        assert "to the last digit" in fitted.diagnostics.text[0]
    effects = {one.name: one.coef for one in found.regressions[Response.ENERGY_WH][Coding.TREATMENT].coefficients}
    assert effects == pytest.approx({"const": 2, "a_2": 2, "a_3": 4, "b_y": 1})
    assert not found.regressions[Response.ENERGY_WH][Coding.TREATMENT].interactions


def test_an_exact_fit_is_advice_that_is_settled() -> None:
    found = is_sound(analyse(SPEC, rows_of(lambda a, b: 0.1 + 0.1 * (b == "y"), lambda a, b: 2.0 / a)))
    advised = {one.parameter: (one.value, one.confidence) for one in found.advice.values}
    assert advised == {"a": (3, "settled"), "b": ("y", "settled")}
    assert any("intervals have no width" in sentence for sentence in found.advice.sentences)


def test_a_parameter_that_does_nothing_in_an_exact_fit_has_an_effect_of_zero() -> None:
    found = is_sound(analyse(SPEC, rows_of(lambda a, b: 0.1 * a, lambda a, b: 1.1**a)))
    fitted = found.regressions[Response.ACCURACY][Coding.TREATMENT]
    assert {one.name: one.coef for one in fitted.coefficients}["b_y"] == 0
    assert {one.parameter: one.partial_eta_squared for one in fitted.anova} == {"a": 1.0, "b": 0.0}


def test_figures_that_were_rounded_when_recorded_are_still_exact() -> None:
    def rounded(a: int, b: str) -> float:
        return float(f"{math.exp(0.3 * a + 0.1 * (b == 'y')):.9g}")

    found = is_sound(analyse(SPEC, rows_of(lambda a, b: 0.1 * a, rounded)))
    assert found.regressions[Response.LOG_ENERGY_WH][Coding.EFFECTIVE].is_exact


def test_a_spread_of_a_thousandth_is_not_exact() -> None:
    rows = rows_of(lambda a, b: 0.1 * a, lambda a, b: 2.0 * a)
    for number, one in enumerate(rows):
        one["energy_wh"] *= 1 + 1e-3 * math.sin(number)
    found = is_sound(analyse(SPEC, rows))
    assert not found.regressions[Response.LOG_ENERGY_WH][Coding.EFFECTIVE].is_exact


def test_repetitions_without_spread_are_told_from_misfit() -> None:
    found = is_sound(analyse(SPEC, rows_of(lambda a, b: 0.1 * a, lambda a, b: 2.0 * a + (b == "y") * a * a)))
    fitted = found.regressions[Response.ENERGY_WH][Coding.TREATMENT]
    assert not fitted.is_exact
    assert fitted.lack_of_fit is not None
    assert (fitted.lack_of_fit.pure_error_std, fitted.lack_of_fit.p) == (0.0, None)
    assert "what the model misses is misfit, not chance" in text_of(found)
    (pair,) = fitted.interactions
    assert (pair.f, pair.p) == (None, 0.0)


def test_residuals_of_one_size_are_equally_spread() -> None:
    grid = [(a, b) for a in (1, 2, 3) for b in "xy" for _ in range(4)]
    rows = rows_of(lambda a, b: 0.1 * a, lambda a, b: 4.0 * a, grid)
    for number, one in enumerate(rows):
        one["energy_wh"] += 0.5 * (-1) ** number
    fitted = is_sound(analyse(SPEC, rows)).regressions[Response.ENERGY_WH][Coding.TREATMENT]
    assert fitted.diagnostics.heteroscedasticity_p == 1.0
    assert not any("spread unequally" in text for text in fitted.diagnostics.text)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no trial has been completed"),
        ([row(0, 0.5, 1.0, a=1, b="x")], "no parameter has two values in 1 completed trial"),
        (rows_of(lambda a, b: 0.5, lambda a, b: 1.0), "it has the same value in all 18 trials"),
        ([row(n, 0.5, 1.0 + n, a=1, b="x") for n in range(6)], "no parameter has two values in 6 completed trials"),
        ([row(n, n / 20, 0.0, a=a, b=b) for n, (a, b) in enumerate(GRID)], "energy_wh is 0 in all of 18 completed"),
        (
            [row(n, n / 20, None, a=a, b=b, energy_missing="no meter") for n, (a, b) in enumerate(GRID)],
            r"no completed trial has a measured energy_wh \(no meter\); `greenopt doctor`",
        ),
        ([row(n, n / 20, 1.0 + n, a=9, b="x") for n in range(6)], "all of 6 completed trials have values outside"),
        (
            [row(n, n / 20, 1.0 + n, a=a, b=b, epochs_done=3) for n, (a, b) in enumerate(GRID)],
            "no completed trial has energy_wh and trained the study's 1 epoch",
        ),
    ],
)
def test_no_advice_has_its_true_reason(rows: list[dict[str, Any]], reason: str) -> None:
    found = is_sound(analyse(SPEC, rows))
    (sentence,) = found.advice.sentences
    assert sentence.startswith("No advice: ")
    assert re.search(reason, sentence), sentence


def six(states: str = "cccccc") -> list[dict[str, Any]]:
    """Six trials of six values."""
    ends = {"c": "complete", "f": "fail"}
    return [
        {**row(n, 0.1 * n, 1.0 + n * n, a=n), "state": ends[state]}
        if state == "c"
        else {**row(n, None, None, a=0), "state": "fail", "fail_reason": "crash"}
        for n, state in enumerate(states)
    ]


def test_too_few_trials_are_the_reason_and_the_command_is_the_cure() -> None:
    spec = spec_of({"a": list(range(6))}, trials=6)
    (sentence,) = analyse(spec, six()).advice.sentences
    assert sentence == (
        "No advice: 6 trials for 6 coefficients leave nothing to judge them by; for that at least 7 are needed, "
        "12 are better. `greenopt run studies/made.toml --trials 12` goes on until there are enough."
    )


def test_trials_that_fail_are_allowed_for() -> None:
    spec = spec_of({"a": list(range(12))}, trials=8)
    (sentence,) = analyse(spec, six("ccffccff" + "cc")).advice.sentences
    assert "--trials 40`" in sentence


def test_a_study_that_has_not_ended_goes_on() -> None:
    (sentence,) = analyse(spec_of({"a": list(range(6))}, trials=50), six()).advice.sentences
    assert "The study has not ended: `greenopt run studies/made.toml` goes on with it." in sentence


def test_an_imported_study_is_not_run() -> None:
    rows = [{**one, "run": f"run-{one['trial']}"} for one in six()]
    (sentence,) = analyse(spec_of({"a": list(range(6))}, trials=6), rows).advice.sentences
    assert sentence.endswith("Import at least 12 such trials.")


def test_values_that_change_together_are_no_finding_of_no_effect() -> None:
    """Confounded parameters were once said to matter little."""
    spec = spec_of({"a": [1, 2], "b": ["x", "y"], "c": [0, 1]})
    rows = [
        row(n, 0.5 + n % 4 / 50, 2.0 + 3 * (n % 2) + n % 3 / 50, a=1 + n % 2, b="xy"[n % 2], c=n // 2 % 2)
        for n in range(20)
    ]
    found = is_sound(analyse(spec, rows))
    said = {one.parameter: one for one in found.advice.values}
    assert said["a"].confidence == said["b"].confidence == "open"
    assert any("a, b: values always change together with others here" in one for one in found.advice.sentences)


def test_accuracy_that_cannot_be_explained_has_its_reason() -> None:
    found = is_sound(analyse(SPEC, rows_of(lambda a, b: 0.5, lambda a, b: 2.0 * a)))
    assert any("(it has the same value in all 18 trials)" in one for one in found.advice.sentences)


numbers = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1e-9, 1 / 3])
energies = st.sampled_from([None, 0.0, 1.0, 2.0, 4.0, 1e-9, 1e6, 0.1 + 0.2])
states = st.sampled_from(["complete"] * 6 + ["pruned", "fail", "running"])
made_rows = st.lists(
    st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from(["x", "y"]), st.floats(1e-3, 1), numbers, energies, states),
    max_size=24,
)


@settings(max_examples=60, deadline=None)
@given(made=made_rows, repeated=st.integers(1, 3), is_log=st.booleans())
def test_no_table_is_too_odd(made: list[tuple[Any, ...]], repeated: int, is_log: bool) -> None:
    spec = spec_of({"a": [1, 2, 3], "b": ["x", "y"], "c": {"low": 1e-3, "high": 1.0, "log": is_log}})
    rows = []
    for number, (a, b, c, accuracy, energy, state) in enumerate(made * repeated):
        figures = row(number, accuracy, energy, a=a, b=b, c=c)
        ended_well = state == "complete"
        rows.append({**figures, "state": state, "accuracy": accuracy if ended_well else None})
    is_sound(analyse(spec, rows))


def test_values_that_have_not_occurred_yet_are_counted_among_what_is_needed() -> None:
    """Twelve trials of forty values have twelve coefficients, and so have thirteen: twenty-four would not do."""
    spec = spec_of({"a": list(range(10)), "b": list(range(100, 110))}, trials=4)
    rows = [row(n, 0.1 * n, 1.0 + n * n, a=n, b=100 + n) for n in range(4)]
    (sentence,) = analyse(spec, rows).advice.sentences
    assert "19 coefficients of the whole space at least 20 are needed, 38 are better" in sentence
    assert "from 20 trials on, effects can be pooled" in sentence
    assert "--trials 20`" in sentence


@pytest.mark.parametrize("values", [[f"job-{n}" for n in range(300)], [n / 7 for n in range(300)]])
def test_a_parameter_with_a_value_of_its_own_in_each_trial_is_named_at_once(values: list[Any]) -> None:
    spec = spec_of({"name": values, "b": ["x", "y"]}, trials=300)
    rows = [row(n, 0.5 + n % 7 / 100, 2.0 + n % 2 + n % 5 / 50, name=values[n], b="xy"[n % 2]) for n in range(300)]
    found = is_sound(analyse(spec, rows))
    text = "name has 300 different values in 300 trials, too many to estimate the effect of each"
    assert any(text in note for note in found.regressions[Response.ACCURACY][Coding.TREATMENT].notes)
    assert any(text in sentence for sentence in found.advice.sentences)
    assert [one.parameter for one in found.advice.values] == ["b"]
    alone = is_sound(analyse(spec_of({"name": values}, trials=300), rows))
    assert text in alone.advice.sentences[0]


def test_a_list_of_many_values_that_occur_often_is_estimated() -> None:
    spec = spec_of({"a": list(range(20))}, trials=300)
    rows = [row(n, 0.5 + n % 7 / 100, 2.0 + n % 20 + n % 3 / 50, a=n % 20) for n in range(300)]
    assert len(analyse(spec, rows).regressions[Response.ENERGY_WH][Coding.TREATMENT].coefficients) == 20
