"""The ten hyperparameters and their values.

Owns the vocabulary: which values exist, in the order of the paper's table. What each value does to a training is in
`greenopt.trial`; which values cannot have an effect together is in `greenopt.spec.inert`.
"""

import re
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


class Preprocessing(StrEnum):
    """How images (0..255) are scaled; statistics come from the training part alone."""

    NONE = "none"
    STANDARDIZATION = "standardization"
    ROBUST_SCALING = "robust_scaling"
    MINMAX = "minmax"


class Augmentation(StrEnum):
    """Random change of the training images, drawn anew for each image in each epoch."""

    NONE = "none"
    RANDOM = "random"
    MIXUP = "mixup"
    CUTMIX = "cutmix"


class Precision(StrEnum):
    """Number format: of the images (first three, the paper's meaning) or of the whole computation."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    GLOBAL_POLICY_FLOAT16 = "global_policy_float16"


class LrSchedule(StrEnum):
    """Schedule of the learning rate over the optimizer's steps."""

    CONSTANT = "constant"
    EXPONENTIAL = "exponential"
    POLYNOMIAL = "polynomial"
    COSINE = "cosine"


class Optimizer(StrEnum):
    """The rule that turns gradients into new weights."""

    RMSPROP = "RMSProp"
    SGD = "SGD"
    ADAM = "Adam"
    ADAMW = "AdamW"

    @property
    def uses_momentum(self) -> bool:
        """Whether `optimizer_momentum` is an argument of this optimizer."""
        return self in (Optimizer.RMSPROP, Optimizer.SGD)


class Internal(StrEnum):
    """What is done to the computation itself."""

    NONE = "none"
    JIT_COMPILATION = "jit_compilation"
    PRE_QUANTIZATION = "pre_quantization"
    POST_QUANTIZATION = "post_quantization"


class Shares(NamedTuple):
    """Percentages of the images in the three parts of a split; they add up to 100."""

    train: int
    validation: int
    test: int


def parse_partitioning(text: str) -> Shares:
    """Read `TRAIN-VALIDATION-TEST` in percent, such as `60-20-20`.

    Raises:
        ValueError: the text is of another form, a part is below 1, or the parts do not add up to 100.
    """
    match = re.fullmatch(r"(\d{1,2})-(\d{1,2})-(\d{1,2})", text)
    if match is None:
        raise ValueError("a partitioning is TRAIN-VALIDATION-TEST in percent, such as 60-20-20")
    shares = Shares(*(int(part) for part in match.groups()))
    if min(shares) < 1 or sum(shares) != 100:
        raise ValueError("the three parts of a partitioning are at least 1 and add up to 100")
    return shares


def _checked_partitioning(text: str) -> str:
    parse_partitioning(text)
    return text


MAX_COUNT = 2**31 - 1
"""The largest count of anything: what TensorFlow's and a database's whole numbers of 32 bits hold."""


def _countable(count: int) -> int:
    if count > MAX_COUNT:
        raise PydanticCustomError("count", f"input should be at most {MAX_COUNT}")
    return count


PositiveInt = Annotated[int, Field(gt=0, strict=True), AfterValidator(_countable)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Momentum = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Partitioning = Annotated[str, AfterValidator(_checked_partitioning)]


class Setting(BaseModel):
    """One value for each of the ten hyperparameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocessing: Preprocessing = Preprocessing.NONE
    """How images (0 to 255) are scaled, by statistics of the training part."""
    augmentation: Augmentation = Augmentation.NONE
    """Random change of the training images, drawn anew for each image in each epoch."""
    precision: Precision = Precision.FLOAT32
    """Number format of the images, or of the whole computation; see `training.precision_applies_to`."""
    batch_size: PositiveInt = 32
    """Images in one optimizer step. Unit: images."""
    partitioning: Partitioning = "60-20-20"
    """Shares of training, validation and test, which add up to 100. Unit: %."""
    lr: PositiveFloat = 0.01
    """Learning rate of the first step."""
    lr_schedule: LrSchedule = LrSchedule.CONSTANT
    """How the learning rate changes over the optimizer's steps."""
    optimizer: Optimizer = Optimizer.SGD
    """The rule that turns gradients into new weights."""
    optimizer_momentum: Momentum = 0.0
    """Momentum of SGD and RMSProp."""
    internal: Internal = Internal.NONE
    """What is done to the computation itself: compilation by XLA, or int8 quantization during or after training."""

    @property
    def shares(self) -> Shares:
        """The split in percent."""
        return parse_partitioning(self.partitioning)


PARAMETERS: tuple[str, ...] = tuple(Setting.model_fields)
"""Names of the ten hyperparameters, in the order of the paper's table."""
