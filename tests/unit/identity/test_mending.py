"""Retrying failed trials, leaving trials out, and deleting studies."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from greenopt.analysis.trials import analysed_trials, count_trials, find_exclusions
from greenopt.cli.summary_output import exit_code, failed_note
from greenopt.errors import ExitCode, UsageError
from greenopt.identity.anew import changed_key, set_aside
from greenopt.identity.deletion import delete_study, plan_deletion
from greenopt.identity.mending import exclude_trials, failed_trials, include_trials, retry_trials
from greenopt.runs.folder import RunFolder
from greenopt.runs.study_log import StudyEnd
from greenopt.search import Search, open_storage, read_rows, read_study
from greenopt.spec import StudySpec
from greenopt.storage.trial_state import TrialState
from greenopt.tui.state.model import StudyModel
from greenopt.tui.state.reader import StudyReader
from greenopt.tui.text.trial_lines import format_reason
from tests.builders import study
from tests.fakes import completes, fails
from tests.unit.identity.test_start import Runs

LARGE = {"study": {"trials": 4}}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def failing(runs: Runs) -> StudySpec:
    spec = study(**LARGE)
    runs.run(spec, fails("crash"))
    return spec


def test_failed_trials_run_again_in_the_place_of_the_old_ones(runs: Runs) -> None:
    spec = failing(runs)
    before = runs.rows()
    retried = retry_trials(runs.folder(), None, ()).trials
    assert retried == {0: 4, 1: 5, 2: 6, 3: 7}
    runs.run(spec, completes)
    rows = runs.rows()
    assert [row["state"] for row in rows] == ["fail"] * 4 + ["complete"] * 4
    assert [row["retry_of"] for row in rows[4:]] == [0, 1, 2, 3]
    names = tuple(spec.space.distributions)
    assert [[row[name] for name in names] for row in rows[4:]] == [[row[name] for name in names] for row in before]
    assert failed_trials(rows) == []


def test_chosen_trials_run_again_and_again(runs: Runs) -> None:
    spec = failing(runs)
    assert retry_trials(runs.folder(), None, [2]).trials == {2: 4}
    runs.run(spec, fails("crash"))
    with pytest.raises(UsageError, match="trial 2 of study tried is repeated by trial 4 already"):
        retry_trials(runs.folder(), None, [2])
    assert retry_trials(runs.folder(), None, [4]).trials == {4: 5}
    runs.run(spec, completes)
    assert [row["state"] for row in runs.rows()] == ["fail"] * 5 + ["complete"]


def test_trials_that_did_not_fail_are_not_run_again(runs: Runs) -> None:
    runs.run(study(**LARGE))
    for numbers, message in (
        ([1], r"trial 1 of study tried did not fail \(completed\)"),
        ([9], "trial 9: study tried has no such trial; it has 4 trials"),
        ([], "no trial failed that is not run again already"),
    ):
        with pytest.raises(UsageError, match=message):
            retry_trials(runs.folder(), None, numbers)
    assert len(runs.rows()) == 4


@pytest.mark.parametrize(
    "refused",
    [
        lambda folder: retry_trials(folder, None, [0]),
        lambda folder: retry_trials(folder, None, [9]),
        lambda folder: retry_trials(folder, None, ()),
        lambda folder: exclude_trials(folder, None, [9], "why"),
        lambda folder: include_trials(folder, None, [0]),
    ],
)
def test_what_is_refused_leaves_no_file(runs: Runs, refused: Callable[[RunFolder], object]) -> None:
    runs.run(study(**LARGE))
    folder = runs.folder()
    for left in folder.path.glob("coordinator.*"):
        left.unlink()
    before = sorted(folder.path.rglob("*"))
    with pytest.raises(UsageError):
        refused(folder)
    assert sorted(folder.path.rglob("*")) == before


def test_a_retry_broken_off_before_its_mark_is_taken_up(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(runs)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("greenopt.identity.mending.keep_marks", killed)
        with pytest.raises(KeyboardInterrupt):
            retry_trials(runs.folder(), None, [0])
    assert retry_trials(runs.folder(), None, [1]).trials == {0: 4, 1: 5}
    opened = runs.open(study(**LARGE))
    assert opened.search.settled() == 2


def test_an_excluded_trial_is_kept_and_counts_for_nothing(runs: Runs) -> None:
    spec = study(**LARGE)
    runs.run(spec)
    exclude_trials(runs.folder(), None, [1], "the GPU was shared")
    row = runs.rows()[1]
    assert (row["state"], row["excluded"]) == (TrialState.EXCLUDED, "the GPU was shared")
    assert row["accuracy"] is not None
    opened = runs.open(spec)
    assert opened.search.settled() == 4
    assert [trial.number for trial in opened.search.ended_trials()] == [0, 2, 3]
    assert opened.search.ended_rows()[1]["values"] is None
    assert read_rows("tried", opened.storage)[1]["excluded"] == "the GPU was shared"
    include_trials(runs.folder(), None, [1])
    assert runs.rows()[1]["state"] == TrialState.COMPLETE
    assert runs.rows()[1].get("excluded") is None


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "energy_aware"])
def test_samplers_do_not_see_excluded_trials(runs: Runs, sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study(study={"trials": 4}, sampler={"name": sampler})
    runs.run(spec)
    exclude_trials(runs.folder(), None, [0, 2], "wrong images")
    search: Search = runs.open(spec).search
    seen: list[list[int]] = []
    built = search_of(sampler)
    original = built.before_trial

    def looking(self: object, viewed: object, trial: object) -> None:
        seen.append([each.number for each in viewed.get_trials(deepcopy=False)])  # type: ignore[attr-defined]
        original(self, viewed, trial)

    monkeypatch.setattr(built, "before_trial", looking)
    search.ask()
    assert seen == [[1, 3, 4]]


def search_of(name: str) -> Any:
    from greenopt.search.energy_aware import EnergyAwareSampler

    return {
        "tpe": optuna.samplers.TPESampler,
        "nsga2": optuna.samplers.NSGAIISampler,
        "energy_aware": EnergyAwareSampler,
    }[name]


def test_an_excluded_trial_can_be_run_again(runs: Runs) -> None:
    spec = study(**LARGE)
    runs.run(spec)
    exclude_trials(runs.folder(), None, [1], "the GPU was shared")
    assert retry_trials(runs.folder(), None, [1]).trials == {1: 4}
    runs.run(spec)
    assert [row["state"] for row in runs.rows()] == ["complete", "excluded", *["complete"] * 3]


@pytest.mark.parametrize("why", ["", "  ", "a\nb", "x" * 161])
def test_a_reason_is_a_line(runs: Runs, why: str) -> None:
    runs.run(study(**LARGE))
    with pytest.raises(UsageError, match="a reason is one line"):
        exclude_trials(runs.folder(), None, [1], why)


def test_a_study_that_runs_is_not_changed(runs: Runs) -> None:
    failing(runs)
    with runs.folder().claim(), pytest.raises(UsageError, match="is being run by"):
        retry_trials(runs.folder(), None, ())
    with runs.folder().claim(), pytest.raises(UsageError, match="is being run by"):
        exclude_trials(runs.folder(), None, [0], "x")
    with runs.folder().claim(), pytest.raises(UsageError, match="is being run by"):
        plan_deletion(runs.folder())


def test_deleting_removes_the_folder_and_follows_no_link(runs: Runs, tmp_path: Path) -> None:
    runs.run(study(**LARGE))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (runs.folder().path / "trials" / "0000" / "link").symlink_to(outside)
    (runs.folder().path / "notes").symlink_to(outside)
    delete_study(plan_deletion(runs.folder()))
    assert not runs.folder().path.exists()
    assert (outside / "precious").read_text() == "x"


def test_a_link_in_the_place_of_a_study_is_not_deleted(runs: Runs, tmp_path: Path) -> None:
    runs.run(study(**LARGE))
    elsewhere = tmp_path / "elsewhere"
    runs.folder().path.rename(elsewhere)
    runs.folder().path.symlink_to(elsewhere)
    with pytest.raises(UsageError, match="is a link"):
        plan_deletion(runs.folder())
    assert (elsewhere / "study.db").is_file()


def test_deleting_removes_a_study_from_a_storage_elsewhere_and_leaves_the_others(runs: Runs, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/all.db"
    runs.run(study(**LARGE), storage=url)
    other = study(study={"trials": 4, "name": "other"})
    runs.run(other, storage=url)
    plan = plan_deletion(runs.folder())
    assert plan.stored is not None
    delete_study(plan)
    assert len(runs.rows("other")) == 4
    assert len(open_storage(url).get_all_studies()) == 1


def test_a_copys_deletion_leaves_the_trials_of_the_original(runs: Runs, tmp_path: Path) -> None:
    runs.run(study(**LARGE), storage=f"sqlite:///{tmp_path}/all.db")
    shutil.copytree(runs.folder().path, runs.folder("copy").path)
    plan = plan_deletion(runs.folder("copy"))
    assert plan.shares_with == "tried"
    delete_study(plan)
    assert len(runs.rows()) == 4


def test_a_storage_in_the_folder_that_holds_others_trials_is_not_deleted(runs: Runs) -> None:
    runs.run(study(**LARGE))
    runs.run(study(study={"trials": 4, "name": "other"}), storage=runs.folder().default_storage)
    with pytest.raises(UsageError, match="holds study other too"):
        plan_deletion(runs.folder())


def test_a_deletion_broken_off_after_the_storage_is_repeated(runs: Runs) -> None:
    runs.run(study(**LARGE))
    (runs.folder().path / "study.db").unlink()
    delete_study(plan_deletion(runs.folder()))
    assert not runs.folder().path.exists()


def test_damaged_marks_are_passed_over(runs: Runs) -> None:
    spec = study(**LARGE)
    opened = runs.run(spec)
    study_id = opened.storage.get_study_id_from_name("tried")
    damaged: list[Any] = [
        {"excluded": {"1": "why", "x": 3}, "retried": ["a", 2]},
        [],
        {"excluded": [], "retried": 3},
        "x",
    ]
    for kept in damaged:
        opened.storage.set_study_user_attr(study_id, "greenopt:marks", json.loads(json.dumps(kept)))
        assert len(runs.rows()) == 4


def test_a_study_of_which_nothing_completed_takes_a_changed_file(runs: Runs) -> None:
    failing(runs)
    changed = study(**LARGE, training={"epochs": 3})
    assert changed_key(study(**LARGE), runs.folder(), None) is None
    assert changed_key(changed, runs.folder(), None) == "training.epochs"
    aside = set_aside(runs.folder())
    assert aside.name == "tried.failed-1"
    runs.run(changed)
    assert len(runs.rows("tried.failed-1")) == 4
    assert [row["state"] for row in runs.rows()] == ["complete"] * 4
    assert changed_key(study(**LARGE), runs.folder(), None) is None, "a trial completed: it is refused, as ever"


def test_a_study_that_runs_is_not_begun_anew(runs: Runs) -> None:
    failing(runs)
    with runs.folder().claim():
        assert changed_key(study(**LARGE, training={"epochs": 3}), runs.folder(), None) is None


@pytest.mark.parametrize(
    ("script", "end", "code"),
    [
        (fails("crash"), StudyEnd.DONE, ExitCode.NOTHING_COMPLETED),
        (fails("crash"), StudyEnd.EQUAL_FAILURES, ExitCode.NOTHING_COMPLETED),
        (fails("crash"), StudyEnd.STOPPED, ExitCode.STOPPED_EARLY),
        (completes, StudyEnd.DONE, ExitCode.DONE),
        (completes, StudyEnd.EQUAL_FAILURES, ExitCode.STOPPED_EARLY),
    ],
)
def test_the_exit_code_says_whether_anything_completed(runs: Runs, script: Any, end: StudyEnd, code: ExitCode) -> None:
    opened = runs.run(study(study={"trials": 1}), script)
    assert exit_code(read_study("tried", opened.storage), end) is code


def test_failed_trials_are_named_until_they_are_asked_for_again(runs: Runs) -> None:
    failing(runs)
    assert failed_note("tried", runs.rows()) == (
        "4 trials failed (4 x crash); once the cause is mended, `greenopt retry tried` has them run again"
    )
    retry_trials(runs.folder(), None, [0, 1, 2])
    assert failed_note("tried", runs.rows()).startswith("1 trial failed (crash)")
    retry_trials(runs.folder(), None, ())
    assert failed_note("tried", runs.rows()) == ""


def test_the_view_counts_a_trial_anew_that_is_excluded_while_it_is_shown(runs: Runs) -> None:
    spec = study(**LARGE)
    runs.run(spec)
    reader = StudyReader(runs.folder(), runs.folder().storage())
    model = StudyModel(spec)
    model.apply(reader.read())
    exclude_trials(runs.folder(), None, [0, 1, 2, 3], "too hot")
    model.apply(reader.read())
    assert (model.counts["complete"], model.counts["excluded"], model.settled, len(model.finished)) == (0, 4, 4, 4)
    assert (model.front, model.best("accuracy")) == (frozenset(), None)
    assert format_reason(model.rows[0]) == "excluded: too hot"
    retry_trials(runs.folder(), None, [3])
    model.apply(reader.read())
    assert (model.settled, model.counts["waiting"]) == (3, 1)
    reader.close()


def test_an_analysis_leaves_excluded_trials_out_and_says_why(runs: Runs) -> None:
    spec = study(**LARGE)
    runs.run(spec)
    exclude_trials(runs.folder(), None, [2], "too hot")
    trials = analysed_trials(spec, runs.rows())
    counts = count_trials(trials, spec)
    assert (counts.complete, counts.excluded, counts.unfinished) == (3, 1, 0)
    assert [(each.trials, each.reason) for each in find_exclusions(trials, spec)] == [
        ((2,), "excluded by you: too hot")
    ]


def test_a_misspelt_study_is_named(runs: Runs) -> None:
    failing(runs)
    with pytest.raises(UsageError, match=r"no study here; did you mean tried\?"):
        retry_trials(runs.folder("tired"), None, ())
