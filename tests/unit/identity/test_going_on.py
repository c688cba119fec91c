"""Studies whose file has a wider space than they were begun with: they go on, or another study goes on from them."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from greenopt.analysis.analyse import analyse
from greenopt.dashboard.notes import study_note, trial_note
from greenopt.errors import UsageError
from greenopt.identity import rename
from greenopt.identity.going_on import going_on, make_extension, take_up
from greenopt.identity.growth import growth, setting_before
from greenopt.identity.mending import exclude_trials
from greenopt.identity.rename import rename_study
from greenopt.runs.folder import RunFolder
from greenopt.search import open_storage, read_study
from greenopt.spec import StudySpec
from tests.builders import study
from tests.fakes import completes, fails
from tests.fuzzing.judge import judged
from tests.unit.identity.test_start import SLOTS, Runs

SPACE: dict[str, Any] = {"batch_size": [4, 8], "lr": {"low": 0.01, "high": 0.1, "log": True}}


def spec_of(space: dict[str, Any] | None = None, trials: int = 3, **tables: Any) -> StudySpec:
    return study(study={"trials": trials, **tables.pop("study", {})}, space=SPACE if space is None else space, **tables)


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    runs = Runs(tmp_path_factory.mktemp("once") / "runs")
    runs.run(spec_of())
    return runs


@pytest.fixture
def runs(ran_once: Runs, tmp_path: Path) -> Runs:
    """A study of three trials, copied: to make it takes seconds."""
    shutil.copytree(ran_once.path, tmp_path / "runs")
    return Runs(tmp_path / "runs")


def taken(runs: Runs, spec: StudySpec) -> tuple[StudySpec, list[str]]:
    return take_up(spec, runs.path, None, SLOTS)


def digests(folder: RunFolder) -> dict[str, str]:
    files = [path for path in sorted(folder.path.rglob("*")) if path.is_file() and "lock" not in path.name]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_wider_range_is_taken_by_the_study_itself(runs: Runs) -> None:
    wider = spec_of({**SPACE, "lr": {"low": 0.001, "high": 1.0, "log": True}}, trials=6)
    spec, notes = taken(runs, wider)
    assert notes == ["note: space.lr is wider now: study tried goes on with it"]
    before = runs.rows()
    runs.run(spec)
    rows = runs.rows()
    assert rows[:3] == before
    assert len(rows) == 6
    assert read_study("tried", open_storage(runs.folder().default_storage)).spec.space == wider.space
    assert taken(runs, wider)[1] == []
    assert len(analyse(wider, rows).trials) == 6
    # Back to the narrower one: values of trials would lie outside.
    with pytest.raises(UsageError, match=r"space\.lr\.low: 0\.01: study tried was begun with 0\.001; put it back"):
        runs.open(spec_of(trials=6))


@pytest.mark.parametrize(
    ("space", "told", "had"),
    [
        ({**SPACE, "batch_size": [4, 8, 16]}, "space.batch_size has 16 more", {}),
        ({**SPACE, "weight_decay": [0.001, 0.01]}, "space.weight_decay is new", {"weight_decay": 0.001}),
        ({**SPACE, "lr_schedule": ["cosine", "constant"]}, "space.lr_schedule has cosine more", {}),
        ({**SPACE, "image_size": [16, 32]}, "space.image_size is new", {"image_size": 32}),
        ({**SPACE, "epochs": [2, 4]}, "space.epochs is new", {"epochs": 2}),
        ({**SPACE, "width": {"values": [8, 16], "default": 8}}, "space.width is new", {"width": 8}),
        (
            {**SPACE, "mixup_alpha": {"values": [0.2, 0.4], "when": {"batch_size": 4}}},
            "space.mixup_alpha is new",
            {"mixup_alpha": 0.2},
        ),
        ({**SPACE, "batch_size": {"low": 4, "high": 16, "step": 4}}, "space.batch_size is a range", {}),
        (
            {"lr": {"low": 0.001, "high": 1.0, "log": True}, "batch_size": [8, 4, 2]},
            "space.batch_size has 2 more; space.lr goes from 0.001 to 1",
            {},
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value),
)
def test_trials_have_a_setting_in_the_space_that_gained_something(
    space: dict[str, Any], told: str, had: dict[str, Any]
) -> None:
    begun, now = spec_of(), spec_of(space)
    found = growth(begun, now)
    assert found is not None
    assert found.text == told
    for batch_size in (4, 8):
        values = {**begun.space.baseline, "batch_size": batch_size}
        setting = setting_before(begun, now, values, "", 0)
        expected = {**values, **had}
        if "mixup_alpha" in had and batch_size == 8:
            del expected["mixup_alpha"]
        assert setting == expected
        assert now.space.holds(setting)


def test_what_needs_a_study_of_its_own_gets_one_with_the_old_trials(runs: Runs) -> None:
    space = {**SPACE, "mixup_alpha": {"values": [0.2, 0.4], "when": {"batch_size": 4}}, "epochs": [2, 4]}
    before, files = runs.rows(), digests(runs.folder())
    spec, (note,) = taken(runs, spec_of(space, trials=5))
    told = "space.mixup_alpha is new; space.epochs is new"
    assert note == f"note: {told}: study tried goes on as tried-2, which has its 3 trials; tried stays as it is"
    assert digests(runs.folder()) == files
    for row, old in zip(runs.rows("tried-2"), before, strict=True):
        mixup_alpha = 0.2 if old["batch_size"] == 4 else None
        taken_over = {"from_study": "tried", "from_trial": old["trial"], "epochs": 2, "mixup_alpha": mixup_alpha}
        assert row == {**old, **taken_over}
    assert spec.name == "tried-2"
    assert taken(runs, spec_of(space, trials=5)) == (spec, [])
    assert digests(runs.folder()) == files
    assert "the first 3 trials of study `tried`" in study_note(spec, [])
    assert "- measured as trial 2 of study tried\n" in trial_note(spec, runs.rows("tried-2")[2])


def test_the_later_study_runs_what_is_left_and_the_earlier_one_stays(runs: Runs) -> None:
    files, spec = digests(runs.folder()), taken(runs, spec_of({**SPACE, "batch_size": [4, 8, 16]}, trials=5))[0]
    copied = runs.rows("tried-2")
    listed = json.loads(judged(["list", "--runs", str(runs.path), "--json"], runs.path).out)
    assert [each["goes_on_from"] for each in listed] == [None, "tried"]
    told = " ".join(judged(["list", "--runs", str(runs.path)], runs.path).out.split())
    assert "goes on from tried" in told
    runs.run(spec)
    rows = runs.rows("tried-2")
    assert len(rows) == 5
    assert rows[:3] == copied
    assert "from_study" not in rows[4]
    folder = runs.folder("tried-2")
    assert all(folder.own_events(row["trial"], row["attempt_id"]) is not None for row in rows)
    assert digests(runs.folder()) == files
    analysis = analyse(spec, rows)
    assert analysis.counts.complete == 5
    assert analysis.counts.outside_space == 0


def test_the_last_study_of_a_chain_goes_on(runs: Runs) -> None:
    second = spec_of({**SPACE, "batch_size": [4, 8, 16]})
    third = spec_of({**SPACE, "batch_size": [4, 8, 16, 32]})
    taken(runs, second)
    spec, (note,) = taken(runs, third)
    assert spec.name == "tried-3"
    assert "study tried-2 goes on as tried-3" in note
    assert [(row["from_study"], row["from_trial"]) for row in runs.rows("tried-3")] == [("tried", n) for n in range(3)]
    assert [taken(runs, each)[0].name for each in (spec_of(), second, third)] == ["tried", "tried-2", "tried-3"]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({**SPACE, "batch_size": [4]}, r"space\.batch_size\[1\]: nothing: study tried was begun with 8"),
        ({**SPACE, "batch_size": [4, 16]}, r"space\.batch_size\[1\]: 16: study tried was begun with 8"),
        ({**SPACE, "batch_size": [8, 4]}, r"space\.batch_size\[0\]: 8: study tried was begun with 4"),
        ({**SPACE, "lr": {"low": 0.02, "high": 0.1, "log": True}}, r"space\.lr\.low: 0\.02: study tried was begun"),
        ({**SPACE, "lr": {"low": 0.01, "high": 0.2}}, r"space\.lr\.(high|log)"),
        ({"batch_size": [4, 8, 16], "lr": [0.01, 0.1]}, r"space\.(batch_size|lr)"),
    ],
    ids=str,
)
def test_taking_away_is_refused_with_the_key_that_differs(runs: Runs, space: dict[str, Any], message: str) -> None:
    spec, notes = taken(runs, spec_of(space))
    assert (spec.name, notes) == ("tried", [])
    with pytest.raises(UsageError, match=message) as caught:
        runs.open(spec)
    assert "\n" not in str(caught.value)
    assert not runs.folder("tried-2").path.exists()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {**SPACE, "weight_decay": [0.01, 0.1]},
            r"space\.weight_decay: the trials .* ran with 0\.001, which is not amo",
        ),
        ({**SPACE, "width": [8, 16]}, r"space\.width: is new, and with which value the trials .* is not known; say it"),
        (
            {**SPACE, "lr": {**SPACE["lr"], "when": {"batch_size": 4}}},
            r"space\.lr\.when: trial \d has .* where it would be left out, with effect",
        ),
    ],
    ids=str,
)
def test_trials_without_a_place_in_the_new_space_are_told(runs: Runs, space: dict[str, Any], message: str) -> None:
    before = sorted(path.name for path in runs.path.iterdir())
    with pytest.raises(UsageError, match=message) as caught:
        taken(runs, spec_of(space))
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in runs.path.iterdir()) == before


def test_a_change_beside_what_was_added_is_refused(runs: Runs) -> None:
    spec, _ = taken(runs, spec_of({**SPACE, "batch_size": [4, 8, 16]}, training={"epochs": 3}))
    assert spec.name == "tried"
    with pytest.raises(UsageError, match=r"training\.epochs"):
        runs.open(spec)


def test_an_inert_parameter_may_be_given_a_condition_later() -> None:
    space: dict[str, Any] = {"optimizer": ["SGD", "Adam"], "optimizer_momentum": [0.5, 0.9]}
    momentum = {"values": [0.5, 0.9], "when": {"optimizer": "SGD"}}
    begun, now = spec_of(space), spec_of({**space, "optimizer_momentum": momentum})
    found = growth(begun, now)
    assert found == ("space.optimizer_momentum", "space.optimizer_momentum is there only with optimizer = SGD")
    values = {**begun.space.baseline, "optimizer": "Adam", "optimizer_momentum": 0.9}
    assert "optimizer_momentum" not in setting_before(begun, now, values, "lr_schedule optimizer_momentum", 3)
    with pytest.raises(UsageError, match=r"trial 3 has 0\.9 where it would be left out, with effect"):
        setting_before(begun, now, values, "", 3)
    # And back: a trial without it was trained with the default, 0.
    back = growth(now, begun)
    assert back == ("space.optimizer_momentum", "space.optimizer_momentum is in every setting")
    del values["optimizer_momentum"]
    with pytest.raises(UsageError, match=r"ran with 0\.0, which is not among 0\.5, 0\.9; add it"):
        setting_before(now, begun, values, "", 3)
    with_0 = spec_of({**space, "optimizer_momentum": [0.5, 0.9, 0.0]})
    assert setting_before(now, with_0, values, "", 3)["optimizer_momentum"] == 0.0


def test_nothing_completed_begins_anew_and_nothing_goes_on(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    runs.run(spec_of(trials=2), fails("crash"))
    spec, (note,) = taken(runs, spec_of({**SPACE, "batch_size": [4, 8, 16]}))
    assert spec.name == "tried"
    assert "begins anew with the changed space.batch_size" in note
    assert runs.folder("tried.failed-1").path.is_dir()


def test_what_is_broken_off_leaves_nothing_and_is_done_again(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of({**SPACE, "batch_size": [4, 8, 16]})
    found = going_on(spec, runs.folder())
    monkeypatch.setattr(RunFolder, "write_study", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make_extension(found, None, SLOTS)
    monkeypatch.undo()
    assert [path.name for path in runs.path.iterdir()] == ["tried"]
    assert taken(runs, spec)[0].name == "tried-2"


def test_a_shared_storage_has_the_new_study_under_its_name(runs: Runs, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    runs.run(spec_of(study={"name": "shared"}, trials=2), completes, url)
    changed = spec_of({**SPACE, "batch_size": [4, 8, 16]}, study={"name": "shared"}, trials=3)
    spec, _ = taken(runs, changed)
    runs.run(spec)
    rows = read_study("shared-2", open_storage(url)).rows
    assert [row.get("from_study") for row in rows] == ["shared", "shared", None]


@pytest.mark.parametrize("is_broken_off", [False, True])
def test_a_study_that_goes_on_from_a_renamed_one_names_it_by_its_new_name(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, is_broken_off: bool
) -> None:
    taken(runs, spec_of({**SPACE, "batch_size": [4, 8, 16]}))
    if is_broken_off:
        with monkeypatch.context() as patched:
            patched.setattr(rename, "_point_to", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                rename_study(runs.folder(), "pilot")
    assert rename_study(runs.folder(), "pilot").name == "pilot"
    kept = read_study("tried-2", open_storage(runs.folder("tried-2").default_storage)).spec
    assert kept.study.extends is not None
    assert kept.study.extends.study == "pilot"
    assert runs.folder("tried-2").named_studies() == {"extends": "pilot"}


def test_what_is_excluded_or_asked_for_stays_so(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    wanted: list[dict[str, Any]] = [{"batch_size": 8}, {"batch_size": 4}]
    runs.run(spec_of(trials=2, study={"enqueue": wanted}))
    exclude_trials(runs.folder(), None, [1], "too hot")
    space = {**SPACE, "batch_size": [4, 8, 16], "weight_decay": [0.001, 0.01]}
    changed = spec_of(space, trials=3, study={"enqueue": [*wanted, {"batch_size": 16}]})
    runs.run(taken(runs, changed)[0])
    rows = runs.rows("tried-2")
    assert [row["batch_size"] for row in rows] == [8, 4, 16]
    assert [row["state"] for row in rows] == ["complete", "excluded", "complete"]


def test_nobody_may_run_the_earlier_study_meanwhile(runs: Runs) -> None:
    spec = spec_of({**SPACE, "batch_size": [4, 8, 16]})
    with runs.folder().claim(), pytest.raises(UsageError, match="study tried is being run by pid"):
        taken(runs, spec)
    found = going_on(spec, runs.folder())
    (runs.path / "tried-2").mkdir()
    (runs.path / "tried-2" / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="tried-2: exists already"):
        make_extension(found, None, SLOTS)
    with pytest.raises(UsageError, match="tried-2: exists already, and study tried would go on there"):
        taken(runs, spec)
    assert sorted(path.name for path in runs.path.iterdir()) == ["tried", "tried-2"]


def test_links_are_not_followed(runs: Runs, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("not to be copied")
    (runs.folder().trial(0) / "leak.txt").symlink_to(secret)
    taken(runs, spec_of({**SPACE, "batch_size": [4, 8, 16]}))
    assert (runs.folder("tried-2").trial(0) / "leak.txt").is_symlink()
