"""What a study has used of its budgets."""

from collections.abc import Iterable
from dataclasses import dataclass

from greenopt.energy.footprint import Footprint
from greenopt.formatting import significant
from greenopt.spec import Budget, BudgetKind, StudySpec


@dataclass(frozen=True)
class Spending:
    """What was used of a budget.

    Attributes:
        used: in the budget's unit.
    """

    budget: Budget
    used: float

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self.used >= self.budget.amount * (1 - 1e-12)

    def fits(self, more: float) -> bool:
        """Return whether so much more, in the budget's unit, does not exceed it."""
        return self.used + more <= self.budget.amount * (1 + 1e-9)

    def __str__(self) -> str:
        """Return how much of how much: `1.95 of 2 kWh`."""
        return f"{significant(self.used)} of {self.budget}"


def spendings(spec: StudySpec, used_wh: float, elapsed_s: float) -> tuple[Spending, ...]:
    """Return what was used of each budget of a study.

    Args:
        spec: the study.
        used_wh: energy of all its trials, in Wh.
        elapsed_s: time of all its runs, in s.
    """
    if not spec.budgets:
        return ()
    footprint = Footprint.from_spec(spec.energy)
    return tuple(Spending(budget, _used(budget, footprint, used_wh, elapsed_s)) for budget in spec.budgets)


def in_unit(budget: Budget, footprint: Footprint, energy_wh: float, seconds: float) -> float:
    """Return what an energy and a time are of a budget, in its unit."""
    return _used(budget, footprint, energy_wh, seconds)


def _used(budget: Budget, footprint: Footprint, used_wh: float, elapsed_s: float) -> float:
    match budget.kind:
        case BudgetKind.ENERGY:
            used: float | None = used_wh
        case BudgetKind.TIME:
            used = elapsed_s
        case BudgetKind.CARBON:
            used = footprint.carbon_g(used_wh)
        case BudgetKind.COST:
            used = footprint.cost(used_wh)
    return (used or 0.0) / budget.factor


def format_larger(spent: Iterable[Spending]) -> str:
    """Return options that go on with a study: `--budget 4kWh`, twice what was used or allowed."""
    return " ".join(f"--budget {_doubled(each)}" for each in spent)


def _doubled(spending: Spending) -> str:
    amount = 2 * max(spending.used, spending.budget.amount)
    return f"{significant(amount, 2)}{spending.budget.unit}"
