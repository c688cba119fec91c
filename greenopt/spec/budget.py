"""Budgets of a study, as its file or an option writes them: `2 kWh`, `3 h`, `5 EUR`, `1 kgCO2`."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from greenopt.errors import UsageError, shown

_TEXT = re.compile(
    r"\s*(?P<amount>[0-9]{1,12}(\.[0-9]{1,9})?|\.[0-9]{1,9})\s*(?P<unit>[^\s0-9.,+-]\S{0,9}(\s+CO2e?)?)\s*"
)
_AMOUNTS = 'a number above 0 and Wh, kWh, MWh, s, min, h, d, gCO2, kgCO2 or the currency, such as "2 kWh" or "3 h"'


class BudgetKind(StrEnum):
    """What a budget bounds."""

    ENERGY = "energy"
    TIME = "time"
    CARBON = "carbon"
    COST = "cost"


_ENERGY = {"Wh": 1.0, "kWh": 1e3, "MWh": 1e6}
_TIME = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_CARBON = {"gCO2": 1.0, "kgCO2": 1e3, "tCO2": 1e6}
_UNITS = {
    **{unit: (BudgetKind.ENERGY, factor) for unit, factor in {**_ENERGY, "wh": 1.0, "kwh": 1e3, "KWh": 1e3}.items()},
    **{unit: (BudgetKind.TIME, factor) for unit, factor in _TIME.items()},
    **{unit: (BudgetKind.CARBON, factor) for unit, factor in _CARBON.items()},
}
_SPELLINGS = {"wh": "Wh", "kwh": "kWh", "KWh": "kWh"}


@dataclass(frozen=True)
class Budget:
    """The most that a study may use of something.

    Attributes:
        kind: of what.
        amount: above 0, in `unit`.
        unit: as it is shown.
        factor: what one unit is in Wh, s or g; 1 for a cost, which is in the study's currency.
    """

    kind: BudgetKind
    amount: float
    unit: str
    factor: float = 1.0

    @property
    def limit(self) -> float:
        """The budget in Wh, s, g of CO2 equivalent, or the study's currency."""
        return self.amount * self.factor

    def __str__(self) -> str:
        """Return the text by which it is given: `2 kWh`."""
        # Without an exponent, which no budget is given with.
        return f"{Decimal(f'{self.amount:.12g}'):f} {self.unit}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the budget that a text gives.

        Raises:
            ValueError: it is none; the message says what would be one.
        """
        match = _TEXT.fullmatch(text)
        amount = float(match["amount"]) if match is not None else 0.0
        if match is None or amount <= 0 or not match["unit"].isprintable():
            raise ValueError(f"is not a budget; give {_AMOUNTS}")
        unit = "".join(match["unit"].split())
        carbon = re.fullmatch(r"(?P<mass>g|kg|t)CO2e?", unit, re.IGNORECASE)
        if carbon is not None:
            unit = f"{carbon['mass'].lower()}CO2"
        kind, factor = _UNITS.get(unit, (BudgetKind.COST, 1.0))
        return cls(kind, amount, _SPELLINGS.get(unit, unit), factor)


def _checked(text: str) -> str:
    try:
        return str(Budget.parse(text))
    except ValueError as error:
        raise PydanticCustomError("budget", "{message}", {"message": str(error)}) from None


def _listed(value: Any) -> Any:
    """Return a list of budgets; a text alone is one."""
    return (value,) if isinstance(value, str) else value


BudgetText = Annotated[str, Field(max_length=60, strict=True), AfterValidator(_checked)]
Budgets = Annotated[
    tuple[BudgetText, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


def budget_of_wh(energy_wh: float) -> Budget:
    """Return the budget that is this energy, in Wh."""
    return Budget(BudgetKind.ENERGY, energy_wh, "Wh")


def parse_budgets(texts: Iterable[str], energy_budget_wh: float | None = None) -> tuple[Budget, ...]:
    """Return the budgets of a study.

    Args:
        texts: valid ones.
        energy_budget_wh: the same as one in Wh; None where there is none.
    """
    given = tuple(map(Budget.parse, texts))
    return given if energy_budget_wh is None else (budget_of_wh(energy_budget_wh), *given)


def budget_problems(
    budgets: Iterable[Budget], *, price: float | None, currency: str, has_carbon: bool
) -> Iterator[tuple[Budget, str]]:
    """Yield each budget that cannot be kept to, and why.

    Args:
        budgets: of one study.
        price: of a kWh, in `currency`; None where it is not known.
        currency: the study's.
        has_carbon: whether the study says how much carbon its electricity stands for.
    """
    kinds: set[BudgetKind] = set()
    for budget in budgets:
        if budget.kind in kinds:
            yield budget, f"is a second budget of {budget.kind}; give one of each kind"
            continue
        kinds.add(budget.kind)
        if budget.kind is BudgetKind.CARBON and not has_carbon:
            yield budget, "a budget of carbon needs energy.country or energy.carbon_g_per_kwh above 0"
        if budget.kind is not BudgetKind.COST:
            continue
        if not price or not currency:
            why = "is not in Wh, s, min, h, d or gCO2; as a cost it needs energy.price_per_kwh and energy.currency"
            yield budget, why
        elif budget.unit.casefold() != currency.casefold():
            yield budget, f"is not in Wh, s, min, h, d or gCO2, nor in {currency}, the study's energy.currency"


def replaced(table: dict[str, Any], texts: Iterable[str]) -> None:
    """Put budgets of the command line in the place of those of the same kind in a file's `[study]`.

    What is wrong with the file's is left as it is, for the message about it.

    Raises:
        UsageError: one that is given is none.
    """
    given = list(texts)
    for text in given:
        try:
            Budget.parse(text)
        except ValueError as error:
            raise UsageError(f"--budget {shown(text)}: {error}") from None
    kinds = {_kind(text) for text in given}
    own = _listed(table.get("budget", ()))
    kept = [text for text in own if _kind(text) not in kinds] if isinstance(own, list | tuple) else []
    if BudgetKind.ENERGY in kinds:
        table.pop("energy_budget_wh", None)
    table["budget"] = [*kept, *given]


def _kind(text: object) -> BudgetKind | None:
    try:
        return Budget.parse(text).kind if isinstance(text, str) else None
    except ValueError:
        return None
