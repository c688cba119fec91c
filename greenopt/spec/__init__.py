"""The specification of a study: the ten hyperparameters, the search space, the study file, a trial."""

from greenopt.spec.file import describe, load_study, stored_study
from greenopt.spec.inert import inert_parameters
from greenopt.spec.models import MINIMUM_SIDE, MODEL_NAMES
from greenopt.spec.setting import (
    PARAMETERS,
    Augmentation,
    Internal,
    LrSchedule,
    Optimizer,
    Precision,
    Preprocessing,
    Setting,
    Shares,
)
from greenopt.spec.space import MAX_LISTED, Choice, Distribution, Range, SearchSpace, Value, is_too_varied
from greenopt.spec.steps import on_step
from greenopt.spec.study import (
    NAME_PATTERN,
    REFERENCE_PATTERN,
    TRIAL_LIMITS,
    Confirms,
    DataSet,
    DataSpec,
    Direction,
    EnergySpec,
    ImageMeaning,
    Metric,
    OnDuplicate,
    SamplerSpec,
    Seeds,
    StudySpec,
    TrainingSpec,
)
from greenopt.spec.trial import TrialSpec

__all__ = [
    "MAX_LISTED",
    "MINIMUM_SIDE",
    "MODEL_NAMES",
    "NAME_PATTERN",
    "PARAMETERS",
    "REFERENCE_PATTERN",
    "TRIAL_LIMITS",
    "Augmentation",
    "Choice",
    "Confirms",
    "DataSet",
    "DataSpec",
    "Direction",
    "Distribution",
    "EnergySpec",
    "ImageMeaning",
    "Internal",
    "LrSchedule",
    "Metric",
    "OnDuplicate",
    "Optimizer",
    "Precision",
    "Preprocessing",
    "Range",
    "SamplerSpec",
    "SearchSpace",
    "Seeds",
    "Setting",
    "Shares",
    "StudySpec",
    "TrainingSpec",
    "TrialSpec",
    "Value",
    "describe",
    "inert_parameters",
    "is_too_varied",
    "load_study",
    "on_step",
    "stored_study",
]
