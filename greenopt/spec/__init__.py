"""The specification of a study: the ten hyperparameters, the search space, the study file, a trial."""

from greenopt.spec.budget import Budget, BudgetKind
from greenopt.spec.consistency import TRIAL_LIMITS
from greenopt.spec.data import DataSet, DataSpec, ImagesOn
from greenopt.spec.file import describe, load_study, overrides_of, read_study_file, stored_study, study_of
from greenopt.spec.inert import inert_parameters
from greenopt.spec.models import MINIMUM_SIDE, MODEL_NAMES, imagenet_url
from greenopt.spec.objectives import FRACTIONS, MEASURED, OF_A_MODEL, UNITS, Bounds, Direction, Metric
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
from greenopt.spec.steps import on_step, value_at_step
from greenopt.spec.study import (
    Confirms,
    EnergySpec,
    Extends,
    OnDuplicate,
    SamplerSpec,
    Seeds,
    StoppingKind,
    StoppingSpec,
    StudySpec,
)
from greenopt.spec.table import NAME_PATTERN, REFERENCE_PATTERN
from greenopt.spec.training import DecayedBy, ImageMeaning, TrainingSpec
from greenopt.spec.trial import TrialSpec

__all__ = [
    "FRACTIONS",
    "MAX_LISTED",
    "MEASURED",
    "MINIMUM_SIDE",
    "MODEL_NAMES",
    "NAME_PATTERN",
    "OF_A_MODEL",
    "PARAMETERS",
    "REFERENCE_PATTERN",
    "TRIAL_LIMITS",
    "UNITS",
    "Augmentation",
    "Bounds",
    "Budget",
    "BudgetKind",
    "Choice",
    "Confirms",
    "DataSet",
    "DataSpec",
    "DecayedBy",
    "Direction",
    "Distribution",
    "EnergySpec",
    "Extends",
    "ImageMeaning",
    "ImagesOn",
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
    "StoppingKind",
    "StoppingSpec",
    "StudySpec",
    "TrainingSpec",
    "TrialSpec",
    "Value",
    "describe",
    "imagenet_url",
    "inert_parameters",
    "is_too_varied",
    "load_study",
    "on_step",
    "overrides_of",
    "read_study_file",
    "stored_study",
    "study_of",
    "value_at_step",
]
