"""Tests of parameters that a setting has only with some values of others."""

from collections import Counter
from pathlib import Path

import pytest

from greenopt.errors import ProblemsError, UsageError
from greenopt.spec import SearchSpace, StudySpec, load_study

HEAD = '[study]\ntrials = 4\nobjective = "pretend:train"\n[objectives]\naccuracy = "maximize"\n[space]\n'
TEN = '[study]\ntrials = 4\n[data]\nname = "digits"\n[training]\nepochs = 1\n[space]\n'


def loaded(folder: Path, space: str, head: str = TEN) -> StudySpec:
    path = folder / "s.toml"
    path.write_text(head + space)
    return load_study(path)


MOMENTUM = """optimizer = ["SGD", "Adam"]
lr = [0.1, 0.01]
optimizer_momentum = { values = [0.5, 0.9], when = { optimizer = "SGD" } }
"""


def test_a_parameter_is_left_out_where_its_condition_does_not_hold(tmp_path: Path) -> None:
    space = loaded(tmp_path, MOMENTUM).space
    assert space.whole({"optimizer": "Adam", "optimizer_momentum": 0.9}).get("optimizer_momentum") is None
    assert space.whole({"optimizer": "SGD", "optimizer_momentum": 0.9})["optimizer_momentum"] == 0.9
    assert space.whole({"optimizer": "SGD"})["optimizer_momentum"] == 0.5
    assert space.baseline["optimizer_momentum"] == 0.5
    assert space.left_out({"optimizer": "Adam"}) == ("optimizer_momentum",)
    assert space.size == 2 * (2 + 1)
    assert space.condition_text("optimizer_momentum") == "optimizer = SGD"


def test_the_subtable_says_the_same(tmp_path: Path) -> None:
    space = 'optimizer = ["SGD", "Adam"]\nlr = [0.1, 0.01]\n[space.optimizer_momentum]\nvalues = [0.5, 0.9]\n'
    written = loaded(tmp_path, space + 'when = { optimizer = ["SGD"] }\n')
    assert written.space == loaded(tmp_path, MOMENTUM).space
    assert StudySpec.model_validate(written.model_dump(mode="json")) == written


def test_ranges_fixed_values_and_several_conditions(tmp_path: Path) -> None:
    space = loaded(
        tmp_path,
        """optimizer = ["SGD", "RMSProp", "Adam"]
lr_schedule = ["constant", "cosine"]
optimizer_momentum = { low = 0.1, high = 0.3, step = 0.1, when = { optimizer = ["SGD", "RMSProp"] } }
cosine_alpha = { values = 0.2, when = { lr_schedule = "cosine", optimizer = "SGD" } }
""",
    ).space
    assert space.size == 3 + 3 + 3 + 3 + 1 + 1
    assert "cosine_alpha" not in space.free
    assert "cosine_alpha" in space.whole({"optimizer": "SGD", "lr_schedule": "cosine"})
    assert "cosine_alpha" not in space.whole({"optimizer": "RMSProp", "lr_schedule": "cosine"})


def test_a_condition_on_a_parameter_that_is_left_out_does_not_hold() -> None:
    space = SearchSpace.parse(
        {
            "kind": ["tree", "net"],
            "depth": {"values": [1, 2], "when": {"kind": "net"}},
            "skip": {"values": [True, False], "when": {"depth": 2}},
            "rate": {"low": 0.1, "high": 1.0, "when": {"skip": True}},
        },
        own=True,
    )
    assert space.whole({"kind": "tree", "depth": 2, "skip": True, "rate": 0.3}) == {"kind": "tree"}
    assert space.whole({"kind": "net", "depth": 2}) == {"kind": "net", "depth": 2, "skip": True, "rate": 0.1}
    assert space.whole({"kind": "net", "depth": 2, "skip": False, "rate": 0.5}) == {
        "kind": "net",
        "depth": 2,
        "skip": False,
    }
    assert space.size == float("inf")


def test_parameters_may_stand_before_those_that_they_depend_on() -> None:
    raw = {"b": {"values": [1, 2, 3], "when": {"a": "x"}}, "a": ["x", "y"], "c": ["p", "q"]}
    space = SearchSpace.parse(raw, own=True)
    assert space.order == ("a", "b", "c")
    assert list(space.whole({"a": "x"})) == ["b", "a", "c"]
    settings = [space.settings.at(number) for number in range(int(space.size))]
    assert space.size == 8
    assert Counter(len(setting) for setting in settings) == {3: 6, 2: 2}
    assert len({tuple(sorted(setting.items())) for setting in settings}) == 8
    assert all(space.holds(setting) and space.whole(setting) == setting for setting in settings)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            '{ values = [0.5], when = { optimiser = "SGD" } }',
            "space.optimizer_momentum.when.optimiser: 'SGD': unknown parameter; did you mean optimizer?",
        ),
        (
            '{ values = [0.5], when = { optimizer = "SDG" } }',
            "space.optimizer_momentum.when.optimizer: 'SDG': is not among the values of optimizer: SGD, Adam",
        ),
        (
            '{ values = [0.5], when = { optimizer = ["SGD", "RMSProp"] } }',
            "space.optimizer_momentum.when.optimizer[1]: 'RMSProp': is not among the values of optimizer: SGD, Adam",
        ),
        ("{ values = [0.5], when = { optimizer_momentum = 0.5 } }", "depends on itself"),
        ("{ values = [0.5], when = { lr = 0.01 } }", "space.optimizer_momentum.when.lr: 0.01: is a range"),
        ('{ values = [0.5], when = "SGD" }', "space.optimizer_momentum.when: 'SGD': when is a table of other"),
        ("{ values = [0.5], when = {} }", "space.optimizer_momentum.when: when is a table of other"),
        ("{ values = [0.5], when = { optimizer = [] } }", "needs at least one value"),
        ('{ when = { optimizer = "SGD" } }', "space.optimizer_momentum: needs values, or low"),
        (
            "{ values = [0.5], low = 0.1, high = 0.2 }",
            "beside values it takes `when` and `default` alone, not low, high",
        ),
        ("{ values = { low = 1 } }", "space.optimizer_momentum.values: values is a list of values"),
        ('{ values = [0.5, 1.5], when = { optimizer = "SGD" } }', "space.optimizer_momentum[1]: 1.5"),
        ('{ low = 0.5, high = 0.1, when = { optimizer = "SGD" } }', "low must be below high"),
        ("{ values = [0.5], when = { optimizer = { low = 1 } } }", "space.optimizer_momentum.when.optimizer"),
    ],
)
def test_what_is_wrong_with_a_condition_is_said_in_one_line(tmp_path: Path, line: str, wanted: str) -> None:
    space = 'optimizer = ["SGD", "Adam"]\nlr = { low = 0.001, high = 0.1 }\noptimizer_momentum = ' + line + "\n"
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, space)
    (message,) = str(caught.value).splitlines()
    assert wanted in message


def test_all_that_is_wrong_with_conditions_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as caught:
        loaded(tmp_path, 'a = { values = [1], when = { c = 1 } }\nb = { values = [1], when = { d = "x" } }\n', HEAD)
    assert [line.split(": ", 1)[1] for line in caught.value.lines] == [
        "space.a.when.c: 1: unknown parameter",
        "space.b.when.d: 'x': unknown parameter",
    ]


def test_a_circle_and_too_many_combinations_are_refused(tmp_path: Path) -> None:
    circle = "a = { values = [1, 2], when = { b = 1 } }\nb = { values = [1, 2], when = { a = 1 } }\n"
    with pytest.raises(UsageError, match="depends on itself: a -> b -> a"):
        loaded(tmp_path, circle, HEAD)
    many = "".join(f"p{n} = [{', '.join(map(str, range(30)))}]\n" for n in range(3))
    with pytest.raises(UsageError, match="more than 10,000 combinations of p0, p1, p2"):
        loaded(tmp_path, f"{many}q = {{ values = [1, 2], when = {{ p0 = 1, p1 = 1, p2 = 1 }} }}\n", HEAD)


def test_a_wanted_setting_with_a_value_that_is_left_out_is_refused(tmp_path: Path) -> None:
    wanted = '[[study.enqueue]]\noptimizer = "Adam"\noptimizer_momentum = 0.9\n'
    with pytest.raises(UsageError, match=r"enqueue\[0\].optimizer_momentum: 0.9: is left out of this setting"):
        loaded(tmp_path, MOMENTUM + wanted)
    sound = loaded(tmp_path, MOMENTUM + '[[study.enqueue]]\noptimizer = "Adam"\n')
    assert "optimizer_momentum" not in sound.enqueued[0]


def test_momentum_that_is_beta_1_is_not_left_out(tmp_path: Path) -> None:
    head = TEN.replace("epochs = 1\n", "epochs = 1\nmomentum_as_beta_1 = true\n")
    with pytest.raises(UsageError, match=r"space\.optimizer_momentum\.when: leaves it out with Adam, whose beta_1"):
        loaded(tmp_path, MOMENTUM, head)
    assert loaded(tmp_path, MOMENTUM.replace('"SGD" }', '["SGD", "Adam"] }'), head).space.size == 8
