"""A study as its file describes it.

Invariant: every literal that changes accuracy or energy is a field here, so a study's file says all that was done.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Self, TypeGuard

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from greenopt.spec.budget import Budget, Budgets, parse_budgets
from greenopt.spec.consistency import TRIAL_LIMITS, as_number, raise_all, study_problems
from greenopt.spec.data import DataSet, DataSpec
from greenopt.spec.objectives import (
    Bounds,
    Direction,
    FigureName,
    Metric,
    split_ranges,
)
from greenopt.spec.setting import PARAMETERS, PositiveFloat, PositiveInt, Setting
from greenopt.spec.space import Check, Choice, SearchSpace, Value
from greenopt.spec.table import (
    NAME_PATTERN,
    REFERENCE_PATTERN,
    PlainText,
    Seed,
    Table,
)
from greenopt.spec.training import TrainingSpec


class EnergySpec(Table):
    """How energy is metered, what is assumed where it cannot be, and what it means in carbon and money.

    `country` is an ISO 3166-1 alpha-2 code; `carbon_g_per_kwh` takes its place where the grid is better known.
    `price_per_kwh` is in `currency`.
    """

    sample_hz: Annotated[float, Field(gt=0, le=100)] = 10.0
    """How often the power of the GPU is read. Unit: Hz."""
    cpu_w_per_core: PositiveFloat = 10.0
    """Power to assume for each busy CPU core where no energy can be measured; such energies are marked as estimates.
    Unit: W per core."""
    idle_w: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Idle power of the GPU, in place of the measured one. Unit: W."""
    country: str | None = None
    """Country whose electricity is used, as an ISO 3166-1 code of two letters, for carbon. Give this or
    `carbon_g_per_kwh`."""
    carbon_g_per_kwh: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Carbon intensity of the electricity, where it is better known than the country's mean. Unit: g CO2e per kWh."""
    price_per_kwh: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Price of the electricity, for the cost of a trial. Unit: `currency` per kWh."""
    currency: Annotated[PlainText, Field(max_length=10)] = ""
    """The currency of `price_per_kwh`, as it should be shown, such as `EUR`."""

    @model_validator(mode="after")
    def _one_carbon_intensity(self) -> Self:
        if self.country is not None and self.carbon_g_per_kwh is not None:
            raise PydanticCustomError("carbon", "give country or carbon_g_per_kwh, not both")
        return self


class SamplerSpec(BaseModel):
    """A sampler by name; every further key is an argument of that sampler."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = "random"
    """The sampler. Every further key of this table is an argument of the sampler of that name; see
    [samplers](#samplers)."""
    prior: Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)] | None = None
    """An earlier study in the same folder of results, with the same parameters and objectives, to start from: the
    settings of its front run first, and `energy_aware` learns from its trials."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments for the sampler's constructor."""
        return dict(self.model_extra or {})


class StoppingKind(StrEnum):
    """A rule by which trials are stopped early."""

    NONE = "none"
    PARETO = "pareto"
    MOASHA = "moasha"


class StoppingSpec(Table):
    """When trials are stopped early.

    A rule, and its constants, for studies of accuracy against the energy of whole trainings. Whatever the rule, a
    training that has not begun to learn is stopped, and one that diverged ends by itself.
    """

    kind: StoppingKind = StoppingKind.NONE
    """The rule: `pareto` stops what is not worth its energy, `moasha` is multi-objective successive halving, `none`
    trains every trial to its end."""
    patience: Annotated[float, Field(ge=0, le=1)] = 0.2
    """`pareto`: a trial goes on while the gain in hypervolume expected of it is, per Wh, at least this share of that
    of a new trial. 0 stops nothing."""
    audit: Annotated[float, Field(ge=0, le=1)] = 0.05
    """`pareto`: the mean share of the trials to be stopped that are trained to their end nevertheless, so that the
    rule's error is measured; cheap ones more often than dear ones."""
    refuse: bool = True
    """`pareto`: whether a trial is not even started where the energy forecast for it rules out a gain."""
    min_epochs: PositiveInt = 1
    """Epochs that every trial may train; for `moasha` the first rung. Unit: epochs."""
    reduction_factor: Annotated[float, Field(gt=1, le=100)] = 3.0
    """`moasha`: of the trials at a rung the best 1 in so many go on, to this many times the epochs."""
    growth: Annotated[float, Field(ge=0, le=10)] = 0.5
    """`pareto`: growth of log(a / (1 - a)) of the accuracy a for each factor e of the epochs, before a trial's own is
    seen."""
    growth_spread: Annotated[float, Field(ge=0.001, le=10)] = 0.5
    """`pareto`: standard deviation of that growth between trials."""
    wander: Annotated[float, Field(ge=0.001, le=10)] = 0.7
    """`pareto`: standard deviation of a curve about its growth, for one factor e of the epochs."""
    chance_epochs: Annotated[int, Field(ge=0, strict=True)] = 10
    """A training that was at chance in accuracy, in training and validation, in all of so many epochs and more is
    stopped (`at_chance`), whatever the rule. 0 stops none. Unit: epochs."""


class OnDuplicate(StrEnum):
    """The treatment of a proposed setting that has already run."""

    RUN = "run"
    REPLICATE = "replicate"
    SKIP = "skip"


class Seeds(Table):
    """Seeds of the three random parts; `split` and `training` follow `study.seed` unless given."""

    sampler: Seed
    split: Seed
    training: Seed


class Confirms(Table):
    """The trial of another study that a study trains again, and what it was chosen by (or its number)."""

    study: str
    """Name of the study whose trial is trained again."""
    trial: Annotated[int, Field(ge=0)]
    """Number of that trial."""
    by: str
    """What it was chosen by: `efficiency`, `accuracy`, `energy`, or its number."""


class Extends(Table):
    """The study that a study goes on from, with a wider space, and whose trials it has."""

    study: str
    """Name of the study whose trials come first in this one."""
    trials: Annotated[int, Field(ge=0)]
    """How many of its trials were taken over."""


class StudyTable(Table):
    """The `[study]` table: size and protocol of a study.

    `objective` names a function, `package.module:function`, that trains in place of greenopt's own training.
    `enqueue` lists settings that run before any that the sampler proposes; a parameter that one leaves out takes the
    baseline's value. `confirms` is set by `greenopt confirm`. A trial starts only while what was used, what the running
    trials are forecast to need and the next one fit into each budget; the running ones end as they would.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)] | None = None
    """Name of the study and of its folder `runs/NAME`; the file's name without `.toml` unless given. Letters, digits,
    `.`, `_` and `-`."""
    description: PlainText = ""
    """What the study is for, in a line."""
    objective: str | None = None
    """A function of your own that trains in place of greenopt, as `package.module:function`. `[data]` is then left out,
    and `[space]` names the function's parameters."""
    trials: PositiveInt
    """How many trials the study has. Trials that were cut off and run again count once. Unit: trials."""
    seed: Seed = 0
    """Seed of the sampler; the two seeds below follow it unless given."""
    split_seed: Seed | None = None
    """Seed of the split into training, validation and test; `seed` unless given."""
    training_seed: Seed | None = None
    """Seed of initial weights, order of images and augmentation; `seed` unless given."""
    baseline: bool = False
    """Whether the first value of every parameter runs as the first trial."""
    enqueue: tuple[dict[str, Value], ...] = ()
    """Settings that run before any that the sampler proposes; a parameter that one leaves out takes the baseline's
    value."""
    on_duplicate: OnDuplicate = OnDuplicate.RUN
    """What to do with a setting that the sampler proposes again: `run` it with the same seeds, `replicate` it with
    another training seed, or `skip` it."""
    stop_after_equal_failures: PositiveInt = 5
    """The study stops when so many trials in a row fail for the same reason. Unit: trials."""
    energy_budget_wh: PositiveFloat | None = None
    """The same as a `budget` in Wh. No limit unless given. Unit: Wh."""
    budget: Budgets = ()
    """The most that the study may use, one of each kind: `["2 kWh", "3 h", "5 EUR", "1 kgCO2"]`. No trial starts that
    would exceed one by what is forecast of it and of the running ones; failed trials, stopped ones and set-up count.
    No limit unless given."""
    patience: PositiveInt | None = None
    """The study ends when its Pareto front has stood still for so many trials that ended. No limit unless given. Unit:
    trials."""
    confirms: Confirms | None = None
    """Which trial of which study this one trains again. Written by `greenopt confirm`; leave it out of files of your
    own."""
    extends: Extends | None = None
    """Which study this one goes on from with a wider space. Written by `greenopt run`; leave it out of files of your
    own."""

    @field_validator("objective")
    @classmethod
    def _is_reference(cls, text: str | None) -> str | None:
        if text is not None and not re.fullmatch(REFERENCE_PATTERN, text):
            raise PydanticCustomError("objective", "is not of the form package.module:function")
        return text


FIXED = (
    *TRIAL_LIMITS,
    *(
        "callbacks",
        "keep_model",
        "block_images",
        "device_images_bytes",
        "evaluation_batch_size",
        "inference_batch_size",
        "weights",
    ),
)
"""Keys of `[training]` that cannot vary: they bound or describe all trials alike."""


def parse_space(raw: dict[str, Any], *, own: bool, models: Iterable[object], alone: bool = False) -> SearchSpace:
    """Parse a study's `[space]`, or a part of it.

    Args:
        raw: parameter name to a list of values, one value, or a table of a range.
        own: whether its names are those of an objective function's parameters.
        models: the study's models, of which one's own take parameters of any name.
        alone: whether conditions are not looked at, because the parameters that they name are not there.

    Raises:
        ValidationError: with the location inside the table.
    """
    if own:
        return SearchSpace.parse(raw, own=True, alone=alone)
    passes_on = any(re.fullmatch(REFERENCE_PATTERN, str(model)) for model in models)
    return SearchSpace.parse(raw, further=varying_fields(), passes_on=passes_on, fixed=FIXED, alone=alone)


@cache
def varying_fields() -> Mapping[str, Check]:
    """Return the fields of `[training]` and `[data]` that `[space]` may have, with what checks a value of each."""
    fields = [name for name in TrainingSpec.model_fields if name not in FIXED]
    return {**dict.fromkeys(fields, _check_training), "image_size": _check_image_size}


def _check_training(name: str, value: Value, location: tuple[str | int, ...]) -> Value:
    # Whether it fits the rest of the study, the whole study tells.
    beside = {"epochs": 1, **({"weights": "imagenet"} if name == "trainable" else {})}
    return _checked_field(lambda: TrainingSpec.model_validate({**beside, name: value}), name, value, location)


def _check_image_size(name: str, value: Value, location: tuple[str | int, ...]) -> Value:
    return _checked_field(lambda: DataSpec(name=DataSet.DIGITS, image_size=value), name, value, location)


def _checked_field(build: Callable[[], Table], name: str, value: Value, location: tuple[str | int, ...]) -> Value:
    try:
        checked: Value = getattr(build(), name)
    except ValidationError as error:
        what = PydanticCustomError("value", "{message}", {"message": error.errors()[0]["msg"]})
        detail = InitErrorDetails(type=what, loc=location, input=value)
        raise ValidationError.from_exception_data("space", [detail]) from None
    return str(checked) if isinstance(checked, str) else checked


def listed(given: object) -> list[Any]:
    """Return the values of a parameter as a study file gives them: a list, one value, or a table with `values`."""
    if isinstance(given, dict):
        return listed(given.get("values"))
    return given if isinstance(given, list) else [] if given is None else [given]


def _is_epochs(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


class StudySpec(Table):
    """A whole study file. `modules_folder` is absolute, and set where the study file's folder holds its module."""

    study: StudyTable
    """Size of the study, and how it is run."""
    objectives: dict[FigureName, Direction] = Field(
        default={Metric.ACCURACY: Direction.MAXIMIZE, Metric.ENERGY_WH: Direction.MINIMIZE}, min_length=1
    )
    """What is optimised and in which direction; one or more of the metrics below, or, with `study.objective`, of the
    figures that the function returns. Accuracy up and energy down unless given."""
    ranges: dict[FigureName, Bounds] = Field(default={})
    """Set by greenopt when the file is read: the range of each objective that was given with one."""
    sampler: SamplerSpec = SamplerSpec()
    """Which sampler proposes the settings, and its arguments."""
    data: DataSpec | None = None
    """The images. Required, except with `study.objective`."""
    training: TrainingSpec
    """Everything about a training that is the same for all trials."""
    stopping: StoppingSpec = StoppingSpec()
    """When trials are stopped early; see [stopping rules](stopping.md)."""
    energy: EnergySpec = EnergySpec()
    """How energy is measured, and what it means in carbon and money."""
    space: SearchSpace
    """The search space: for each parameter a list of values, one fixed value, or a range; with `when` where not every
    setting has it."""
    modules_folder: str | None = None
    """Set by greenopt when the file is read: folder in which modules are looked for first."""

    @model_validator(mode="before")
    @classmethod
    def _without_training(cls, raw: object) -> object:
        """Set one epoch for an objective function, unless the file says more."""
        if isinstance(raw, dict) and isinstance(raw.get("study"), dict) and raw["study"].get("objective") is not None:
            training = raw.get("training", {})
            return {**raw, "training": {"epochs": 1, **training} if isinstance(training, dict) else training}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _with_longest_training(cls, raw: object) -> object:
        """Set the epochs to the most that a trial has, where they vary and the file has none beside."""
        if not isinstance(raw, dict) or not isinstance(space := raw.get("space"), dict):
            return raw
        training = raw.get("training", {})
        if not isinstance(training, dict) or "epochs" in training or "epochs" not in space:
            return raw
        given = space["epochs"]
        most = max(listed(given), default=None, key=as_number)
        if isinstance(given, dict) and "high" in given:
            most = given["high"]
        return {**raw, "training": {**training, "epochs": most}}

    @model_validator(mode="before")
    @classmethod
    def _with_ranges(cls, raw: object) -> object:
        """Take the ranges out of the table of objectives."""
        if isinstance(raw, dict) and isinstance(raw.get("objectives"), dict):
            directions, ranges = split_ranges(raw["objectives"])
            return {**raw, "objectives": directions, **({"ranges": ranges} if ranges else {})}
        return raw

    @field_validator("space", mode="before")
    @classmethod
    def _parsed_space(cls, raw: object, info: ValidationInfo) -> object:
        if isinstance(raw, dict) and "distributions" not in raw:
            study, training = info.data.get("study"), info.data.get("training")
            models = [*listed(raw.get("model")), training.model if training is not None else ""]
            return parse_space(raw, own=study is not None and study.objective is not None, models=models)
        return raw

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        raise_all("study", study_problems(self))
        return self

    @property
    def varied(self) -> tuple[str, ...]:
        """The fields of `[training]` and `[data]` that the space has."""
        return () if self.space.own else tuple(name for name in self.space.distributions if name in varying_fields())

    @property
    def further(self) -> tuple[str, ...]:
        """The parameters beside the ten of a study that greenopt trains itself."""
        return () if self.space.own else tuple(name for name in self.space.distributions if name not in PARAMETERS)

    def training_of(self, values: Mapping[str, Any]) -> TrainingSpec:
        """Return the `[training]` of a trial: where a field of it varies, with the trial's value.

        Args:
            values: the trial's by parameter; one that it lacks stays as the file has it.
        """
        fields = set(TrainingSpec.model_fields) & {*self.varied, *(("epochs",) if self.space.own else ())}
        changed = {name: values[name] for name in fields if values.get(name) is not None}
        if self.space.own and not _is_epochs(changed.get("epochs")):
            # A parameter of the user's own of that name may be anything.
            return self.training
        return TrainingSpec.model_validate({**self.training.model_dump(), **changed}) if changed else self.training

    def data_of(self, values: Mapping[str, Any]) -> DataSpec | None:
        """Return the `[data]` of a trial, with the trial's size of images where that varies."""
        if self.data is None or "image_size" not in self.varied or values.get("image_size") is None:
            return self.data
        return DataSpec.model_validate({**self.data.model_dump(), "image_size": values["image_size"]})

    def setting_of(self, values: Mapping[str, Any]) -> Setting:
        """Return the ten values of a trial that greenopt trains itself."""
        return Setting(**{name: values[name] for name in PARAMETERS if name in values})

    def epochs_of(self, values: Mapping[str, Any]) -> int:
        """Return how many epochs a trial is to train; those of the file where its values do not say."""
        given = values.get("epochs") if "epochs" in self.space.distributions else None
        return int(given) if _is_epochs(given) else self.training.epochs

    @property
    def epochs_text(self) -> str:
        """How many epochs trials train: `5`, or `2 to 10` where that varies."""
        varying = self.space.distributions.get("epochs")
        if varying is None or varying.size == 1:
            return str(self.epochs_of(self.space.baseline))
        values = varying.values if isinstance(varying, Choice) else (varying.low, varying.high)
        numbers = [value for value in values if _is_epochs(value)]
        return f"{min(numbers)} to {max(numbers)}" if numbers else str(self.training.epochs)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The study's budgets, at most one of each kind."""
        return parse_budgets(self.study.budget, self.study.energy_budget_wh)

    @property
    def name(self) -> str:
        """The study's name; set when the file is read."""
        assert self.study.name is not None
        return self.study.name

    @property
    def enqueued(self) -> tuple[dict[str, Value], ...]:
        """The settings of `study.enqueue` with all their parameters."""
        return tuple(self.space.whole(setting) for setting in self.study.enqueue)

    @property
    def seeds(self) -> Seeds:
        """The seeds in force."""
        table = self.study
        return Seeds(
            sampler=table.seed,
            split=table.seed if table.split_seed is None else table.split_seed,
            training=table.seed if table.training_seed is None else table.training_seed,
        )
