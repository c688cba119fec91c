"""Budgets in study files and options."""

from pathlib import Path
from typing import Any

import pytest

from greenopt.errors import UsageError
from greenopt.spec import Budget, BudgetKind, StudySpec, load_study

FILE = """
[study]
trials = 3
objective = "mine:train"
{study}
[energy]
{energy}
[space]
width = [1, 2]
"""


@pytest.mark.parametrize(
    ("text", "kind", "limit", "written"),
    [
        ("2kWh", "energy", 2000.0, "2 kWh"),
        (" 500 wh ", "energy", 500.0, "500 Wh"),
        ("0.5 MWh", "energy", 5e5, "0.5 MWh"),
        ("3h", "time", 10800.0, "3 h"),
        ("90min", "time", 5400.0, "90 min"),
        ("2 d", "time", 172800.0, "2 d"),
        ("1kgCO2", "carbon", 1000.0, "1 kgCO2"),
        ("250 g CO2e", "carbon", 250.0, "250 gCO2"),
        ("5EUR", "cost", 5.0, "5 EUR"),
        (".5 €", "cost", 0.5, "0.5 €"),
        ("0.000000001Wh", "energy", 1e-9, "0.000000001 Wh"),
        ("999999999999 MWh", "energy", 999999999999e6, "999999999999 MWh"),
    ],
)
def test_a_budget_in_words(text: str, kind: str, limit: float, written: str) -> None:
    budget = Budget.parse(text)
    assert (budget.kind, budget.limit, str(budget)) == (BudgetKind(kind), pytest.approx(limit), written)
    assert Budget.parse(written) == budget


@pytest.mark.parametrize(
    "text", ["", "2", "kWh", "-1 h", "0 Wh", "1e3 Wh", "2 kWh 3 h", "nan Wh", "1 \x1b[31m", "9" * 400]
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a budget"):
        Budget.parse(text)


def load(folder: Path, study: str = "", energy: str = "", budgets: tuple[str, ...] = (), **rest: Any) -> StudySpec:
    file = folder / "tried.toml"
    file.write_text(FILE.format(study=study, energy=energy))
    return load_study(file, rest or None, budgets)


def test_budgets_of_the_option_replace_those_of_the_same_kind(tmp_path: Path) -> None:
    spec = load(tmp_path, 'budget = ["2 kWh", "3h"]', budgets=("4kWh",))
    assert list(map(str, spec.budgets)) == ["3 h", "4 kWh"]
    spec = load(tmp_path, "energy_budget_wh = 5.0", budgets=("7 Wh", "2h"))
    assert list(map(str, spec.budgets)) == ["7 Wh", "2 h"]
    assert list(map(str, load(tmp_path, "energy_budget_wh = 5.0").budgets)) == ["5 Wh"]
    assert list(map(str, load(tmp_path, 'budget = "90 min"').budgets)) == ["90 min"]
    assert StudySpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("study", "energy", "budgets", "message"),
    [
        ('budget = ["2 kWh", "3 Wh"]', "", (), "a second budget of energy"),
        ('budget = "2 kWh"\nenergy_budget_wh = 3.0', "", (), "a second budget of energy"),
        ("", "", ("1h", "2h"), "a second budget of time"),
        ("", "", ("soon",), "--budget 'soon': is not a budget; give a number above 0"),
        ('budget = "soon"', "", ("3 h",), r"study.budget\[0\]: 'soon': is not a budget"),
        ("budget = 3", "", (), "study.budget"),
        ("", "", ("5EUR",), "needs energy.price_per_kwh and energy.currency"),
        ("", 'price_per_kwh = 0.3\ncurrency = "USD"', ("5EUR",), "nor in USD"),
        ("", "price_per_kwh = 0.3", ("5EUR",), "needs energy.price_per_kwh and energy.currency"),
        ("", 'price_per_kwh = 0.0\ncurrency = "EUR"', ("5EUR",), "needs energy.price_per_kwh"),
        ("", "", ("1kgCO2",), "needs energy.country or energy.carbon_g_per_kwh"),
        ("patience = 0", "", (), "study.patience"),
    ],
)
def test_what_cannot_be_kept_to_is_one_line(
    tmp_path: Path, study: str, energy: str, budgets: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load(tmp_path, study, energy, budgets)
    assert "\n" not in str(caught.value)


def test_costs_and_carbon_are_allowed_where_the_electricity_is_known(tmp_path: Path) -> None:
    energy = 'price_per_kwh = 0.3\ncurrency = "EUR"\ncountry = "DE"'
    assert len(load(tmp_path, "", energy, ("5 eur", "1kgCO2")).budgets) == 2
