"""A study that starts from an earlier one: its front's settings run first, and its trials teach the sampler."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from greenopt.errors import UsageError
from greenopt.search.prior import PRIOR_ATTRIBUTE, kept_front, kept_prior
from greenopt.spec import StudySpec
from tests.builders import study
from tests.unit.identity.test_start import Runs

EARLIER = {"study": {"name": "earlier", "trials": 4}}


def later(name: str = "later", sampler: str = "random", **tables: Any) -> StudySpec:
    table = {"name": sampler, "prior": tables.pop("prior", "earlier")}
    return study(study={"name": name, "trials": 5}, sampler=table, **tables)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = Runs(tmp_path_factory.mktemp("prior") / "runs")
    found.run(study(**EARLIER))
    return found.path


@pytest.fixture
def runs(earlier: Path, tmp_path: Path) -> Runs:
    shutil.copytree(earlier, tmp_path / "runs")
    return Runs(tmp_path / "runs")


@pytest.mark.parametrize("sampler", ["tpe", "energy_aware"])
def test_the_settings_of_its_front_run_first(runs: Runs, sampler: str) -> None:
    opened = runs.run(later(sampler=sampler))
    front = kept_front(opened.search._study)
    rows = runs.rows("later")
    assert front
    for setting, row in zip(front, rows, strict=False):
        assert {name: row[name] for name in setting} == setting
    trials = opened.search._study.trials
    assert [trial.user_attrs.get("from_prior") for trial in trials] == ["earlier"] * len(front) + [None] * (
        5 - len(front)
    )
    assert opened.search._study.user_attrs["greenopt:sampler"]["prior"] == "earlier"


def test_a_copy_is_kept_so_that_the_earlier_study_may_go(runs: Runs) -> None:
    first = runs.open(later())
    kept = first.search._study.user_attrs[PRIOR_ATTRIBUTE]
    shutil.rmtree(runs.path / "earlier")
    again = runs.run(later())
    assert again.search._study.user_attrs[PRIOR_ATTRIBUTE] == kept
    assert sum(1 for row in runs.rows("later") if row["state"] == "complete") == 5


def test_its_trials_teach_and_are_worth_less_than_own_ones(runs: Runs) -> None:
    opened = runs.open(later(sampler="energy_aware"))
    known = kept_prior(opened.search._study, opened.search.spec)
    assert len(known) == 4
    for each in known:
        assert each.accuracy is not None
        assert each.energy is not None
        assert min(each.accuracy.deviation, each.energy.deviation) >= 0.5
        assert each.whole is None, "the front of this study is still to be found"


def test_settings_outside_the_space_are_left_out(runs: Runs) -> None:
    spec = later(space={"batch_size": [8, 16], "lr": [0.1, 0.01, 0.001]})
    opened = runs.open(spec)
    for trial in opened.search._study.user_attrs[PRIOR_ATTRIBUTE]["trials"]:
        assert trial["setting"]["batch_size"] == 8


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"prior": "nowhere"}, "sampler.prior: nowhere: there is no such study in"),
        ({"prior": "later"}, "sampler.prior: later: is this study itself"),
        ({"space": {"batch_size": [512], "lr": [0.5]}}, "none of its trials tells of a setting of this study's space"),
        (
            {"objectives": {"accuracy": "maximize", "total_wh": "minimize"}},
            "its objectives are accuracy (maximize), energy_wh (minimize), and this study's are accuracy (maximize), "
            "total_wh (minimize)",
        ),
        ({"objectives": {"accuracy": "maximize"}}, "a prior needs accuracy and one energy"),
        (
            {"study": {"objective": "mine:train"}, "space": {"x": [1, 2]}},
            "has other parameters than this study",
        ),
    ],
)
def test_one_that_does_not_fit_is_refused_in_a_line(runs: Runs, tables: dict[str, Any], says: str) -> None:
    own = tables.pop("study", {})
    spec = later(**tables) if not own else own_study(tables["space"])
    with pytest.raises(UsageError) as caught:
        runs.open(spec)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (runs.path / "later" / "study.db").exists()


def own_study(space: dict[str, Any]) -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": "later", "trials": 2, "objective": "mine:train"},
            "training": {"epochs": 1},
            "sampler": {"name": "random", "prior": "earlier"},
            "space": space,
        }
    )
