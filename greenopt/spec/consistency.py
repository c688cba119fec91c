"""Checks that compare the tables of a study with one another; each yields all that is wrong, as lines.

A line names its key itself, since it stands for more than one.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from greenopt.errors import shortened, shown
from greenopt.plain_text import printable
from greenopt.spec.budget import budget_problems
from greenopt.spec.distributions import Choice, Value
from greenopt.spec.models import MINIMUM_SIDE, MODEL_NAMES
from greenopt.spec.objectives import FRACTIONS, MEASURED, OF_A_MODEL, Direction, Metric, bounds_problem, known_figures
from greenopt.spec.setting import Optimizer

if TYPE_CHECKING:
    from greenopt.spec.study import StudySpec

TRIAL_LIMITS = ("time_limit_s", "memory_limit", "log_limit")
"""Keys of `[training]` that bound a trial and change nothing of what it computes."""

MAX_LINES = 20
"""Lines of one check, of which a list with hundreds of wrong values would make hundreds."""

_ENERGIES = (Metric.ENERGY_WH, Metric.TOTAL_WH)


def raise_all(title: str, lines: Iterable[str]) -> None:
    """Raise ValidationError with an error of the table as a whole for each line; nothing where there is none."""
    details = [
        InitErrorDetails(type=PydanticCustomError("study", "{line}", {"line": line}), loc=(), input={})
        for line in dict.fromkeys(lines)
    ]
    if details:
        raise ValidationError.from_exception_data(title, details)


def study_problems(spec: "StudySpec") -> Iterator[str]:
    """Yield what is wrong between the tables of a study."""
    checks = (_trained, _objectives, _stopping, _enqueued, _images, _varied, _momentum, _budgets)
    for check in checks:
        for index, line in enumerate(check(spec)):
            if index < MAX_LINES:
                yield line


def _trained(spec: "StudySpec") -> Iterator[str]:
    if spec.study.objective is None:
        if spec.data is None:
            yield "data: is missing"
        return
    if spec.data is not None:
        yield "data: has no effect with study.objective; the function loads its own"
    plain = type(spec.training)(epochs=spec.training.epochs)
    for key, value in spec.training:
        if key not in TRIAL_LIMITS and value != getattr(plain, key):
            yield f"training.{key}: has no effect with study.objective"


def _objectives(spec: "StudySpec") -> Iterator[str]:
    for name in spec.objectives:
        if spec.study.objective is None and not isinstance(name, Metric):
            yield f"objectives.{name}: unknown figure; {known_figures(name)}"
    for name, bounds in spec.ranges.items():
        if name in (*MEASURED, *FRACTIONS) or (name in OF_A_MODEL and spec.study.objective is None):
            yield f"objectives.{name}: takes no range; ranges are for figures that study.objective returns"
        elif problem := bounds_problem(name, bounds):
            yield problem


def _stopping(spec: "StudySpec") -> Iterator[str]:
    kind = spec.stopping.kind
    if kind == "none":
        return
    if "epochs" in spec.space.distributions:
        yield f"stopping.kind: {kind} compares trainings of equal length, and space.epochs varies it"
    directions = dict(spec.objectives)
    if not any(directions == {Metric.ACCURACY: Direction.MAXIMIZE, e: Direction.MINIMIZE} for e in _ENERGIES):
        yield (
            f"stopping.kind: {kind} weighs accuracy (maximize) against energy_wh or total_wh (minimize); the study's "
            f"objectives are {', '.join(spec.objectives)}"
        )


def _enqueued(spec: "StudySpec") -> Iterator[str]:
    for index, setting in enumerate(spec.study.enqueue):
        known = {name: value for name, value in setting.items() if name in spec.space.distributions}
        whole = spec.space.whole(known)
        for name, value in setting.items():
            key = f"study.enqueue[{index}].{shortened(printable(name), 40)}"
            if name not in known:
                yield f"{key}: unknown parameter"
            elif not spec.space.distributions[name].holds(value):
                yield f"{key}: {shown(value)}: is not in the study's space"
            elif name not in whole:
                when = shortened(spec.space.condition_text(name), 80)
                yield f"{key}: {shown(value)}: is left out of this setting; it is there with {when} alone"


def _images(spec: "StudySpec") -> Iterator[str]:
    if spec.data is None:
        return
    if spec.data.name.is_own and spec.data.image_size is None and "image_size" not in spec.space.distributions:
        return  # of the user's own images the size is seen when they are read
    side = min(_values_of(spec, "image_size", spec.data.image_size or 32), key=as_number)
    for model in _values_of(spec, "model", spec.training.model):
        least = MINIMUM_SIDE.get(str(model), 32)
        if model in MODEL_NAMES and as_number(side) < least:
            key = "training.model" if "model" not in spec.space.distributions else "space.model"
            yield f"{key}: {model} needs images of at least {least}x{least}; set data.image_size = {least}"


def _varied(spec: "StudySpec") -> Iterator[str]:
    """Check every value of a field that varies with every model: dropout, say, is not for one's own."""
    table = type(spec.training)
    for name in spec.varied:
        if name not in table.model_fields:
            continue
        for model in _values_of(spec, "model", spec.training.model):
            for value in _values_of(spec, name, getattr(spec.training, name)):
                try:
                    table.model_validate({**spec.training.model_dump(), "model": model, name: value})
                except ValidationError as error:
                    yield from (f"space.{name}: {shown(value)}: {each['msg']}" for each in error.errors())


def _momentum(spec: "StudySpec") -> Iterator[str]:
    """Check that optimizers whose `beta_1` is the momentum have one: left out, it would be 0."""
    condition = spec.space.conditions.get("optimizer_momentum")
    if condition is None or not spec.training.momentum_as_beta_1:
        return
    for optimizer in _values_of(spec, "optimizer", ""):
        has_one = set(condition) == {"optimizer"} and optimizer in condition["optimizer"]
        if optimizer in (Optimizer.ADAM, Optimizer.ADAMW) and not has_one:
            yield (
                f"space.optimizer_momentum.when: leaves it out with {optimizer}, whose beta_1 it is by "
                "training.momentum_as_beta_1"
            )


def _budgets(spec: "StudySpec") -> Iterator[str]:
    electricity = spec.energy
    found = budget_problems(
        spec.budgets,
        price=electricity.price_per_kwh,
        currency=electricity.currency.strip(),
        has_carbon=electricity.country is not None or bool(electricity.carbon_g_per_kwh),
    )
    yield from (f"study.budget: {budget}: {why}" for budget, why in found)


def _values_of(spec: "StudySpec", name: str, otherwise: Value) -> Sequence[Value]:
    """Return the values of a field that may vary: those of its list, or the ends of its range."""
    found = spec.space.distributions.get(name)
    if found is None or spec.space.own:
        return (otherwise,)
    values = found.values if isinstance(found, Choice) else (found.low, found.high)
    return (*values, otherwise) if name in spec.space.conditions else values


def as_number(value: object) -> float:
    """Return a value by which a list of numbers is sorted before it is checked; 0 of what is none."""
    return float(value) if isinstance(value, int | float) else 0.0
