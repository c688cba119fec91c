"""The specification of one trial, which follows from its study and from what the sampler chose."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from greenopt.spec.data import DataSpec
from greenopt.spec.objectives import Bounds, FigureName, Metric
from greenopt.spec.setting import Setting
from greenopt.spec.space import Value
from greenopt.spec.study import EnergySpec
from greenopt.spec.table import Seed, Table
from greenopt.spec.training import TrainingSpec


class TrialSpec(Table):
    """Everything that a trial's process needs, passed to it as JSON.

    Either `setting` and `data`, or `objective`, a function's name. `parameters` are those of the user's own function or
    model; `varied` are fields of `training` and `data` that vary in the study, whose values these have already.
    `left_out` are parameters of the study that the trial's setting does not have; where one is of the ten, `setting`
    has its default. `objectives` are the figures that the trial must have. The trained model is kept in `model_folder`,
    an absolute path, where there is one. Modules are looked for first in `modules_folder`, absolute.
    """

    study: str
    trial: Annotated[int, Field(ge=0)]
    objective: str | None = None
    setting: Setting | None = None
    parameters: dict[str, Value] = Field(default_factory=dict)
    varied: dict[str, Value] = Field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    objectives: tuple[FigureName, ...] = (Metric.ACCURACY, Metric.ENERGY_WH)
    ranges: dict[FigureName, Bounds] = Field(default_factory=dict)
    data: DataSpec | None = None
    training: TrainingSpec
    energy: EnergySpec
    split_seed: Seed
    training_seed: Seed
    gpu_uuid: str | None = None
    share_gpu: bool = False
    retry_of: int | None = None
    replicate_of: int | None = None
    model_folder: str | None = None
    modules_folder: str | None = None

    @model_validator(mode="after")
    def _says_what_is_trained(self) -> Self:
        if (self.objective is None) != (self.setting is not None and self.data is not None):
            raise PydanticCustomError("trial", "a trial has a setting and data, or an objective function")
        return self

    @property
    def values(self) -> dict[str, Value]:
        """Return the sampled values by parameter; none of a parameter that is left out."""
        setting = {} if self.setting is None else self.setting.model_dump(mode="json")
        ten = {name: value for name, value in setting.items() if name not in self.left_out}
        return {**ten, **self.varied, **self.parameters}

    @property
    def image_setting(self) -> Setting:
        """The ten values of a trial that greenopt trains itself."""
        assert self.setting is not None
        return self.setting

    @property
    def image_data(self) -> DataSpec:
        """The data of a trial that greenopt trains itself."""
        assert self.data is not None
        return self.data
