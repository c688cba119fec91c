"""All errors of a study file at once, with what was probably meant."""

from pathlib import Path

import pytest

from greenopt.coordination.preflight import check_places, check_study
from greenopt.errors import MAX_PROBLEMS, ProblemsError
from greenopt.runs.folder import RunFolder
from greenopt.spec import StudySpec, load_study
from tests.builders import study
from tests.fuzzing.judge import Verdict, judged

WRONG = """[study]
trails = 3
trials = 3
on_duplicate = "skpi"
[objectives]
acuracy = "maximise"
[data]
name = "cifar10O"
[trainig]
[training]
epochs = 0
[space]
lr = [0, 0.1, -1]
batchsize = [3]
optimizer = ["Adm"]
"""


def problems_of(folder: Path, text: str) -> tuple[str, ...]:
    file = folder / "x.toml"
    file.write_text(text)
    with pytest.raises(ProblemsError) as raised:
        load_study(file)
    return tuple(problem.removeprefix(f"{file}: ") for problem in raised.value.problems)


def test_every_error_of_a_file_is_told_with_what_was_meant(tmp_path: Path) -> None:
    found = problems_of(tmp_path, WRONG)
    for key, hint in (
        ("study.trails", "did you mean trials?"),
        ("study.on_duplicate", "did you mean skip?"),
        ("objectives.acuracy: unknown figure", "did you mean accuracy?"),
        ("objectives.acuracy: 'maximise'", "did you mean maximize?"),
        ("data.name", "did you mean cifar10?"),
        ("trainig", "did you mean training?"),
        ("training.epochs: 0", "greater than 0"),
        ("space.lr[0]: 0", "greater than 0"),
        ("space.lr[2]: -1", "greater than 0"),
        ("space.batchsize", "did you mean batch_size?"),
        ("space.optimizer[0]: 'Adm'", "'Adam'"),
    ):
        assert any(problem.startswith(key) and hint in problem for problem in found), (key, found)
    assert len(found) == len(set(found)) == 11


def test_the_command_line_shows_ten_and_counts_the_rest(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(WRONG)
    ended = judged(["run", "x.toml"], tmp_path)
    assert (ended.verdict, ended.exit_code) == (Verdict.REFUSED, 2)
    assert len(ended.err.splitlines()) == MAX_PROBLEMS + 1
    assert ended.err.splitlines()[-1] == "greenopt: and 1 more"


def test_what_a_study_needs_beyond_its_file_is_told_at_once(tmp_path: Path) -> None:
    spec = study(
        sampler={"name": "tpee"},
        data={"name": "npz", "path": "nowhere.npz", "images": None, "classes": None},
        training={"model": "nowhere_at_all:build"},
        energy={"country": "XX"},
    )
    with pytest.raises(ProblemsError) as raised:
        check_study(spec, tmp_path / "x.toml")
    text = "\n".join(raised.value.problems)
    assert len(raised.value.problems) == 4
    for part in ("did you mean tpe?", "energy.", "there is no module nowhere_at_all", "data.path: "):
        assert part in text


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def biuld(shape, classes): pass", "mine.py defines no build; did you mean mine:biuld?"),
        ("def x(:", "mine.py: line 1"),
        ("def build(shape, classes): pass", None),
        ("class build: pass", None),
        ("build = lambda *_: None", None),
        ("from keras import build", None),
        ("import keras as build", None),
        ("from keras import *", None),
        ("if True:\n    def build(): pass", None),
        ("def __getattr__(name): pass", None),
        ("globals()['build'] = 3", None),
        ("def other():\n    build = 3", "mine.py defines no build"),
        ("async def build(shape, classes): pass", "mine.py: line 1: build is an async function"),
        ("def build(shape, classes):\n    yield 3", "mine.py: line 1: build yields"),
        ("def build(shape, classes):\n    def inner():\n        yield 3\n    return inner", None),
        ("def build(shape): pass", "build is called with input_shape and classes, and takes shape alone"),
        ("def build(): pass", "build is called with input_shape and classes, and takes nothing"),
        ("def build(*given): pass", None),
        ("def build(shape, classes, width): pass", "needs width too, which has no default"),
        ("def build(shape, classes, *, width): pass", "needs width too, which has no default"),
        ("def build(shape, classes, width=3, *, depth=2): pass", None),
        ("@wrapped\ndef build(): pass", None),
        ("def build(): pass\nbuild = wrapped(build)", None),
    ],
)
def test_a_function_is_looked_for_without_importing_its_module(
    tmp_path: Path, source: str, problem: str | None
) -> None:
    (tmp_path / "mine.py").write_text(source)
    spec = study(training={"model": "mine:build"}).model_copy(update={"modules_folder": str(tmp_path)})
    if problem is None:
        check_study(spec, tmp_path / "x.toml")
        return
    with pytest.raises(ProblemsError) as raised:
        check_study(spec, tmp_path / "x.toml")
    assert problem in str(raised.value)


def test_a_dry_run_looks_at_storage_and_folder(tmp_path: Path) -> None:
    check_places(RunFolder(tmp_path / "runs" / "x"), None)
    with pytest.raises(ProblemsError, match="there is no folder"):
        check_places(RunFolder(tmp_path / "runs" / "x"), f"sqlite:///{tmp_path}/no/where.db")
    assert list(tmp_path.iterdir()) == []


BETWEEN_TABLES = """
[study]
trials = 4
budget = ["2 kgCO2", "3 EUR"]
[[study.enqueue]]
lr = 0.5
speed = 3
[objectives]
accuracy = "maximize"
acuracy = "maximize"
f1_macro = { direction = "maximize", range = [0, 1] }
[data]
name = "cifar10"
[training]
model = "Xception"
epochs = 1
[stopping]
kind = "pareto"
[space]
lr = [0.1]
epochs = [1, 2]
trainable = ["all", 3]
"""


def test_all_that_is_wrong_between_tables_is_told_at_once(tmp_path: Path) -> None:
    assert [problem.split(": ")[0] for problem in problems_of(tmp_path, BETWEEN_TABLES)] == [
        "objectives.acuracy",
        "objectives.f1_macro",
        "stopping.kind",
        "stopping.kind",
        "study.enqueue[0].lr",
        "study.enqueue[0].speed",
        "training.model",
        "space.trainable",
        "study.budget",
        "study.budget",
    ]


def test_single_keys_and_what_is_wrong_between_tables_are_told_in_one_round(tmp_path: Path) -> None:
    misspelt = BETWEEN_TABLES.replace("[training]", "[training]\nepoch = 3", 1).replace(
        "[space]", "[space]\noptimizer = ['Adm', 'Adam']", 1
    )
    found = [problem.split(": ")[0] for problem in problems_of(tmp_path, misspelt)]
    assert found[:2] == ["objectives.acuracy", "training.epoch"]
    assert found[2] == "space.optimizer[0]"
    assert {"stopping.kind", "study.enqueue[0].speed", "space.trainable", "study.budget"} <= set(found)
    # Without epochs of its own, a training would have to be made up to be compared with.
    guessed = problems_of(tmp_path, BETWEEN_TABLES.replace("epochs = ", "epochs = -", 1))
    assert not any(problem.startswith(("stopping.kind", "study.budget")) for problem in guessed)


@pytest.mark.parametrize(
    ("table", "text", "count"),
    [
        ("data", 'name = "digits"\npath = "x"\nskip_broken = true\nclasses = 3\n', 3),
        ("training", 'epochs = 1\nmodel = "mine:build"\nweights = "imagenet"\ndropout = 0.1\n', 2),
        ("space", "lr = { low = 1.0, high = 0.1, step = -1, log = true }\n", 3),
    ],
)
def test_all_that_is_wrong_within_a_table_is_told_at_once(tmp_path: Path, table: str, text: str, count: int) -> None:
    tables = {"study": "trials = 1\n", "data": 'name = "digits"\n', "training": "epochs = 1\n", "space": ""}
    raw = "".join(f"[{name}]\n{text if name == table else given}" for name, given in tables.items())
    found = problems_of(tmp_path, raw)
    assert len(found) == count, found
    assert all(problem.startswith(table) for problem in found)


@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        ("shape, classes, width", None),
        ("shape, classes, *, width", None),
        ("shape, classes, **given", None),
        ("shape, classes, widht=3", "takes no width, which is a parameter of [space]; did you mean widht?"),
        ("shape, width", "gets width already; rename the parameter of [space]"),
        ("shape, classes, width, /", "takes no width"),
    ],
)
def test_the_parameters_that_a_models_function_takes_are_looked_at(
    tmp_path: Path, signature: str, problem: str | None
) -> None:
    (tmp_path / "mine.py").write_text(f"def build({signature}): pass")
    spec = study(training={"model": "mine:build"}, space={"batch_size": [8, 16], "epochs": [1, 2], "width": [3, 4]})
    spec = spec.model_copy(update={"modules_folder": str(tmp_path)})
    if problem is None:
        check_study(spec, tmp_path / "x.toml")
        return
    with pytest.raises(ProblemsError) as raised:
        check_study(spec, tmp_path / "x.toml")
    assert len(raised.value.problems) == 1
    assert problem in raised.value.problems[0]


@pytest.mark.parametrize(
    ("signature", "problem"),
    [
        ("trial", None),
        ("", "and takes nothing"),
        ("trial, width", "needs width too, and is called with the trial alone"),
    ],
)
def test_a_function_that_trains_is_called_with_the_trial(tmp_path: Path, signature: str, problem: str | None) -> None:
    (tmp_path / "mine.py").write_text(f"def train({signature}): pass")
    raw = {"study": {"name": "own", "trials": 2, "objective": "mine:train"}, "space": {"width": [3, 4]}}
    spec = StudySpec.model_validate({**raw, "training": {"epochs": 1}, "modules_folder": str(tmp_path)})
    if problem is None:
        check_study(spec, tmp_path / "x.toml")
        return
    with pytest.raises(ProblemsError, match=problem):
        check_study(spec, tmp_path / "x.toml")


def test_a_wrong_size_of_a_study_with_a_function_does_not_make_its_parameters_unknown(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[study]\ntrials = 0\nobjective = "mine:train"\n[space]\nwidth = [1, 2]\n')
    with pytest.raises(ProblemsError) as raised:
        load_study(file)
    assert [problem.partition(": ")[2] for problem in raised.value.problems] == [
        "study.trials: 0: input should be greater than 0"
    ]


def test_a_study_without_objectives_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(
        '[study]\ntrials = 2\n[objectives]\n[data]\nname = "digits"\n[training]\nepochs = 1\n[space]\nlr = [0.1]\n'
    )
    with pytest.raises(ProblemsError) as raised:
        load_study(file)
    assert raised.value.problems == (f"{file}: objectives: needs at least one",)
