"""What was exported comes back as it was: values with their types, states, figures; and what a foreign table means."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenopt.analysis.frame import trials_frame, write_parquet
from greenopt.analysis.results import Coding, Response
from greenopt.cells import mixes_types
from greenopt.coordination.verdict import Verdict
from greenopt.errors import UsageError
from greenopt.events import FailReason, Outcome
from greenopt.exchange import CELLS_ATTRIBUTE, STUDY_ATTRIBUTE, Import, ImportedTrial, read_import, write_import
from greenopt.exchange.export import export_trials
from greenopt.exchange.text_table import write_csv
from greenopt.report.study_analysis import analyse_study
from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage, read_study
from greenopt.spec import Range, StudySpec, Value

TEXTS = ["1", "true", "007", "nan", "None", "", "1e5", "-0", "0x10", "2020-01-01", " x", 'a,"b"\nc', "é", "True", "1.0"]
NUMBERS: list[Value] = [1.0, 0.1, 0.30000000000000004, 1e22, 5e-324]
SPACE: dict[str, Any] = {
    "text": TEXTS,
    "number": NUMBERS,
    "whole": [1, 2, 10**15],
    "large": [10**30, 1],
    "truth": [True, False],
    "mixed": [1, "1", "x", 0.5],
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "width": {"low": 1, "high": 512},
}


def made_spec(trials: int, space: dict[str, Any], name: str = "made") -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": name, "trials": trials, "objective": "made:up"},
            "training": {"epochs": 1},
            "space": space,
        }
    )


def is_the_same(one: object, other: object) -> bool:
    return type(one) is type(other) and repr(one) == repr(other)


def drawn(spec: StudySpec, generator: random.Random, number: int) -> dict[str, Value]:
    """A setting in which every value of every list occurs in turn."""
    found: dict[str, Value] = {}
    for name, space in spec.space.distributions.items():
        if not isinstance(space, Range):
            found[name] = space.values[number % len(space.values)]
        elif space.is_integer:
            found[name] = generator.randint(int(space.low), int(space.high))
        else:
            found[name] = float(space.low) * (float(space.high) / float(space.low)) ** generator.random()
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A study with a trial of each state and values of every type."""
    spec, generator = made_spec(16, SPACE), random.Random(1)
    trials = []
    for number in range(16):
        verdict = Verdict(Outcome.COMPLETED)
        metrics: dict[str, Any] = {"accuracy": 0.5 + number / 64, "energy_wh": float(number + 1), "seconds": 2.0}
        if number == 3:
            verdict, metrics = Verdict(Outcome.FAILED, FailReason.CRASH, 'it said "no",\n007'), {"total_wh": 0.25}
        if number == 4:
            verdict, metrics = Verdict(Outcome.DIVERGED, "diverged", "1"), {"energy_wh": 0.125}
        trials.append(ImportedTrial(f"00{number}", drawn(spec, generator, number), verdict, (), metrics))
    return RunFolder(write_import(Import(spec, tuple(trials), {}), tmp_path_factory.mktemp("runs")))


@pytest.mark.parametrize(("ending", "knows"), [("csv", True), ("csv", False), ("parquet", True), ("parquet", False)])
def test_a_study_comes_back_as_it_was(made: RunFolder, tmp_path: Path, ending: str, knows: bool) -> None:
    before = read_study("made", open_storage(made.storage()))
    target = tmp_path / f"back.{ending}"
    export_trials(made, None, target, ending)
    imported = read_import(target, "back", before.spec if knows else None)
    assert not imported.skipped
    folder = RunFolder(write_import(imported, tmp_path / "runs"))
    after = read_study("back", open_storage(folder.storage()))
    assert len(after.rows) == len(before.rows)
    for old, new in zip(before.rows, after.rows, strict=True):
        for name in (*SPACE, "state", "accuracy", "energy_wh", "total_wh", "seconds", "fail_reason", "message", "run"):
            assert is_the_same(new.get(name), old.get(name)), (name, old.get(name), new.get(name))
    if knows or ending == "parquet":
        assert after.spec.space == before.spec.space
    else:
        for name in ("lr", "width"):
            assert isinstance(after.spec.space.distributions[name], Range)
        assert after.spec.space.distributions["lr"].log  # type: ignore[union-attr]


values = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
)
spaces = st.lists(values, min_size=2, max_size=6, unique_by=lambda value: (isinstance(value, str), value))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=spaces, second=spaces, ending=st.sampled_from(["csv", "parquet"]))
def test_any_values_come_back(tmp_path: Path, first: list[Value], second: list[Value], ending: str) -> None:
    spec = made_spec(6, {"first": first, "second": second})
    rows: list[dict[str, Any]] = [
        {"trial": n, "accuracy": n / 8, "first": first[n % len(first)], "second": second[n % len(second)]}
        for n in range(6)
    ]
    target = tmp_path / f"t.{ending}"
    if ending == "csv":
        write_csv(rows, target)
    else:
        cells = [name for name, space in spec.space.distributions.items() if mixes_types(space)]
        frame = trials_frame(rows, cells)
        frame.attrs[STUDY_ATTRIBUTE] = spec.model_dump_json()
        frame.attrs[CELLS_ATTRIBUTE] = json.dumps(cells)
        write_parquet(frame, target)
    imported = read_import(target, "t", spec if ending == "csv" else None)
    assert not imported.skipped
    for row, trial in zip(rows, imported.trials, strict=True):
        assert all(is_the_same(trial.values[name], row[name]) for name in ("first", "second")), (row, trial.values)


def foreign(path: Path, columns: dict[str, list[Any]]) -> Path:
    rows = len(next(iter(columns.values())))
    full = {**columns, "accuracy": [(n % 7) / 10 for n in range(rows)], "energy_wh": [1 + n % 5 for n in range(rows)]}
    lines = [",".join(full), *(",".join(str(column[n]) for column in full.values()) for n in range(rows))]
    target = path / "t.csv"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def test_many_different_numbers_are_a_range(tmp_path: Path) -> None:
    generator = random.Random(2)
    columns: dict[str, list[Any]] = {
        "lr": [10 ** generator.uniform(-5, -1) for _ in range(300)],
        "dropout": [generator.uniform(0.001, 1) for _ in range(300)],
        "width": [generator.randint(1, 500) for _ in range(300)],
        "depth": [n % 10 for n in range(300)],
        "kind": ["ab"[n % 2] for n in range(300)],
    }
    spec = read_import(foreign(tmp_path, columns), "t").spec
    space = spec.space.distributions
    for name, is_log in (("lr", True), ("dropout", False), ("width", False)):
        found = space[name]
        assert isinstance(found, Range)
        assert (found.low, found.high, found.log) == (min(columns[name]), max(columns[name]), is_log)
    assert space["width"].is_integer  # type: ignore[union-attr]
    assert not isinstance(space["depth"], Range)
    assert not isinstance(space["kind"], Range)


@pytest.mark.parametrize(
    ("column", "is_range"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5], True),
        ([0.1, 0.2, 0.3, 0.4], False),
        ([n % 5 for n in range(10)], False),
        ([n % 5 for n in range(9)], True),
        ([n % 11 for n in range(100)], True),
        ([n % 10 for n in range(100)], False),
    ],
)
def test_few_numbers_are_a_list(tmp_path: Path, column: list[Any], is_range: bool) -> None:
    spec = read_import(foreign(tmp_path, {"x": column}), "t").spec
    assert isinstance(spec.space.distributions["x"], Range) is is_range


def test_names_of_rows_are_no_parameter(tmp_path: Path) -> None:
    columns = {"job": [f"job-{n}" for n in range(40)], "kind": ["ab"[n % 2] for n in range(40)]}
    imported = read_import(foreign(tmp_path, columns), "t")
    assert list(imported.spec.space.distributions) == ["kind"]
    assert imported.trials[7].metrics["job"] == "job-7"
    assert imported.notes == ("job: most rows have a text of their own; kept as a figure, not taken for a parameter",)
    with pytest.raises(UsageError, match="no column that could be a parameter: job"):
        read_import(foreign(tmp_path, {"job": columns["job"]}), "t")


def test_a_foreign_column_is_one_type(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "code": ["007", "008", "12", "007"],
        "flag": ["true", "false", "true", "true"],
        "n": [1, 2, 1, 2],
    }
    imported = read_import(foreign(tmp_path, columns), "t")
    assert [trial.values["code"] for trial in imported.trials] == ["007", "008", "12", "007"]
    assert [trial.values["flag"] for trial in imported.trials] == ["true", "false", "true", "true"]
    assert is_the_same(imported.trials[0].values["n"], 1)


def test_a_study_that_a_file_keeps_and_that_is_damaged_is_said(tmp_path: Path) -> None:
    frame = trials_frame([{"trial": 0, "a": 1, "accuracy": 0.5}])
    frame.attrs[STUDY_ATTRIBUTE] = "{}"
    write_parquet(frame, tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=r"the study that it keeps cannot be used: .*; give one with --study"):
        read_import(tmp_path / "t.parquet", "t")


def test_a_figure_that_is_whole_stays_a_fraction(tmp_path: Path) -> None:
    rows = [{"trial": 0, "energy_wh": 2.0, "epochs_done": 3, "accuracy": math.nan}]
    assert str(trials_frame(rows)["energy_wh"].dtype) == "Float64"
    write_csv(rows, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "trial,energy_wh,epochs_done,accuracy\n0,2.0,3,\n"


def test_a_table_without_epochs_has_its_energy_explained(tmp_path: Path) -> None:
    """Epochs that are not in the table were once 0, and every trial of another length than the study's."""
    folder = RunFolder(write_import(read_import(foreign(tmp_path, {"x": [n % 3 for n in range(60)]}), "t"), tmp_path))
    found = analyse_study(folder)
    assert found.trials["epochs_done"].isna().all()
    assert found.regressions[Response.ENERGY_WH][Coding.EFFECTIVE].n == 60
