"""Settings as columns: names, references, ranges, values that do nothing."""

import numpy as np
import pytest

from greenopt.analysis.design import build_design, matched
from greenopt.analysis.results import Coding
from greenopt.analysis.trials import analysed_trials
from greenopt.spec import StudySpec
from tests.known_effects import known_rows, paper_study


def spec_of(**space: object) -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": "designed", "trials": 9, "objective": "elsewhere:trained"},
            "training": {"epochs": 1},
            "space": space,
        }
    )


def rows_of(*settings: dict[str, object]) -> list[dict[str, object]]:
    return [{"trial": number, "state": "complete", **setting} for number, setting in enumerate(settings)]


def test_the_papers_coding_has_a_column_for_every_value_and_no_constant() -> None:
    spec = paper_study(80)
    design = build_design(analysed_trials(spec, known_rows(spec, 80, 0)), spec, Coding.PAPER)
    names = [column.name for column in design.columns]
    assert len(names) == 40
    assert "const" not in names
    assert {"batch_size_4", "lr_0.00015", "optimizer_momentum_0.0", "internal_none"} <= set(names)
    assert design.basis.shape[1] == 31
    assert np.array_equal(design.matrix.sum(axis=1), np.full(80, 10.0))


def test_treatment_compares_with_the_baselines_value() -> None:
    spec = spec_of(a=["x", "y"], b=[1, 2])
    design = build_design(
        analysed_trials(spec, rows_of({"a": "y", "b": 1}, {"a": "x", "b": 2})), spec, Coding.TREATMENT
    )
    assert [column.name for column in design.columns] == ["const", "a_y", "b_2"]
    assert design.reference == {"a": "x", "b": 1}
    assert design.matrix.tolist() == [[1, 1, 0], [1, 0, 1]]


def test_a_baseline_that_no_trial_has_gives_way_and_is_named() -> None:
    spec = spec_of(a=["x", "y", "z"])
    rows = rows_of({"a": "y"}, {"a": "z"}, {"a": "z"})
    design = build_design(analysed_trials(spec, rows), spec, Coding.TREATMENT)
    assert design.reference == {"a": "z"}
    assert design.notes[0] == "a: the baseline's x is in no trial; compared with z"


def test_a_parameter_of_one_value_has_no_column() -> None:
    spec = spec_of(a=["x", "y"], b=[1, 2])
    design = build_design(
        analysed_trials(spec, rows_of({"a": "x", "b": 1}, {"a": "x", "b": 2})), spec, Coding.TREATMENT
    )
    assert list(design.of_parameter) == ["b"]
    assert "a: no trial has y" in design.notes


def test_a_range_is_one_column_from_its_lower_bound() -> None:
    spec = spec_of(lr={"low": 1e-3, "high": 1e-1, "log": True}, width={"low": 8, "high": 32})
    rows = rows_of({"lr": 1e-2, "width": 8}, {"lr": 1e-1, "width": 20})
    design = build_design(analysed_trials(spec, rows), spec, Coding.TREATMENT)
    assert [column.name for column in design.columns] == ["const", "log10_lr", "width"]
    assert design.matrix.ravel().tolist() == pytest.approx([1, 1, 0, 1, 2, 12])


def test_values_that_do_nothing_are_what_they_amount_to() -> None:
    spec = paper_study(3)
    base = {**spec.space.baseline, "preprocessing": "minmax"}
    rows = rows_of(
        {**base, "optimizer": "SGD", "optimizer_momentum": 0.9, "precision": "float32", "inert": None},
        {
            **base,
            "optimizer": "Adam",
            "optimizer_momentum": 0.9,
            "precision": "float64",
            "inert": "optimizer_momentum precision",
        },
        {**base, "optimizer": "SGD", "optimizer_momentum": 0.0, "precision": "float16", "inert": ""},
    )
    table = analysed_trials(spec, rows)
    assert table["effective_precision"].tolist() == ["float32", "float32", "float16"]
    design = build_design(table, spec, Coding.EFFECTIVE)
    columns = {column.name: design.matrix[:, index].tolist() for index, column in enumerate(design.columns)}
    assert columns["optimizer_momentum_0.9"] == [1, 0, 0]
    assert columns["precision_float32"] == [1, 1, 0]
    assert "precision_float64" not in columns
    treatment = build_design(table, spec, Coding.TREATMENT)
    assert "precision_float64" in [column.name for column in treatment.columns]


def test_other_trials_are_put_into_the_same_columns_and_unknown_values_left_out() -> None:
    spec = spec_of(a=["x", "y", "z"], lr={"low": 1e-3, "high": 1e-1, "log": True})
    design = build_design(
        analysed_trials(spec, rows_of({"a": "x", "lr": 1e-2}, {"a": "y", "lr": 1e-3})), spec, Coding.TREATMENT
    )
    others = analysed_trials(spec, rows_of({"a": "z", "lr": 1e-2}, {"a": "y", "lr": 1e-1}))
    matrix, known = matched(design, others, spec, Coding.TREATMENT)
    assert known.tolist() == [False, True]
    assert matrix.ravel().tolist() == pytest.approx([1, 1, 2])
