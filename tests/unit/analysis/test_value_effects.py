"""Effects of values on the mean over the space: one that makes another parameter act gives what that one does."""

from typing import Any

import numpy as np
import pytest

from greenopt.analysis.expectation import expect
from greenopt.analysis.trials import analysed_trials
from greenopt.analysis.value_effects import ValueEffect, draw_value_effects
from greenopt.spec import Setting, Value, inert_parameters
from tests.known_effects import known_rows, paper_study

SPEC = paper_study(120)
ACTS = 0.6
"""Log Wh that momentum adds where the optimizer has it, at all values but the baseline's."""


def rows() -> list[dict[str, Any]]:
    """Trials of random settings, in which nothing but momentum acts."""
    generator = np.random.default_rng(3)
    found = known_rows(SPEC, 120, 5)
    for row in found:
        setting = Setting(**{name: row[name] for name in SPEC.space.distributions})
        row["inert"] = " ".join(inert_parameters(setting, SPEC.training)) or None
        acts = "optimizer_momentum" not in (row["inert"] or "") and row["optimizer_momentum"] != baseline(
            "optimizer_momentum"
        )
        row["energy_wh"] = float(np.exp(3 + ACTS * acts + 0.05 * generator.standard_normal()))
        row["accuracy"] = float(0.5 + 0.01 * generator.standard_normal())
    return found


def baseline(name: str) -> Value:
    return SPEC.space.baseline[name]


@pytest.fixture(scope="module")
def effects() -> dict[str, dict[Value, ValueEffect]]:
    expected = expect(analysed_trials(SPEC, rows()), SPEC)
    assert expected is not None
    return draw_value_effects(expected, SPEC.space.baseline)


def test_a_parameter_is_judged_where_it_acts(effects: dict[str, dict[Value, ValueEffect]]) -> None:
    found = [float(one.energy.mean()) for one in effects["optimizer_momentum"].values()]
    assert found == pytest.approx([ACTS] * len(found), abs=0.1)


def test_an_optimizer_without_momentum_gives_up_what_momentum_does(
    effects: dict[str, dict[Value, ValueEffect]],
) -> None:
    def has_momentum(optimizer: Value) -> bool:
        setting = Setting(**{**SPEC.space.baseline, "optimizer": optimizer})
        return "optimizer_momentum" not in inert_parameters(setting, SPEC.training)

    had = has_momentum(baseline("optimizer"))
    for value, one in effects["optimizer"].items():
        # Three of four values of momentum add to it.
        expected = 0.75 * ACTS * (int(has_momentum(value)) - int(had))
        assert one.energy.mean() == pytest.approx(expected, abs=0.1), value
    assert any(has_momentum(value) != had for value in effects["optimizer"])
