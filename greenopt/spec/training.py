"""The `[training]` table of a study file: all of a training that is the same for every trial."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from greenopt.spec.consistency import raise_all
from greenopt.spec.models import MODEL_NAMES
from greenopt.spec.setting import PositiveFloat, PositiveInt
from greenopt.spec.table import (
    REFERENCE_PATTERN,
    Fraction,
    LogSize,
    MemorySize,
    PlainText,
    Reference,
    Table,
    addressable,
)


class ImageMeaning(StrEnum):
    """The meaning of float16, float32 and float64: of the images, or of the policy."""

    IMAGES = "images"
    POLICY = "policy"


class DecayedBy(StrEnum):
    """The optimizers that decay weights."""

    ADAMW = "adamw"
    ALL = "all"


class TrainingSpec(Table):
    """Everything about a training that is the same for all trials of a study."""

    epochs: PositiveInt
    """How many epochs each trial trains. Required, except with `study.objective`, where it is 1 unless given."""
    model: str = "ResNet50"
    """A model of `keras.applications`, or a function of your own as `package.module:function`, called with the shape of
    an image and the number of classes."""
    weights: PlainText | None = None
    """Weights to begin with: `"imagenet"`, which Keras downloads once, or the path of a file, `.weights.h5`, `.h5` or
    `.keras`, of the whole model or, for a model of `keras.applications`, of the model without its output layers. Random
    unless given. With weights, a model of `keras.applications` ends in the mean of its features over the image and one
    output layer."""
    imagenet_scaling: bool = True
    """With `weights` of a model of `keras.applications`: whether images are scaled as they were for its ImageNet
    weights, in place of `preprocessing`, which then has no effect. Set it to `false` for a file of weights that were
    trained with a `preprocessing` of greenopt."""
    trainable: Literal["all", "head"] | PositiveInt = "all"
    """Which layers are trained: `"all"`, the output layer alone (`"head"`), or the last so many layers that have
    weights, the output layer included. The others keep their weights, and BatchNormalization among them uses its
    moving statistics, as in inference."""
    dropout: Fraction | None = None
    """Share of its features that a model of `keras.applications` drops in training, before its output layer, which
    then is as with `weights`. The model's own unless given; a function of your own has its own."""
    label_smoothing: Fraction = 0.0
    """Share of a label that the training loss spreads evenly over all classes; validation and test have none."""
    batchnorm_momentum: Fraction | None = None
    """Momentum of every BatchNormalization layer; the model's own unless given (Keras: 0.99, which needs hundreds of
    steps to settle)."""
    decay_steps: PositiveInt | Literal["total"] = "total"
    """Steps in which the learning rate decays. `"total"` stretches cosine and polynomial over the whole training and
    has exponential step down once an epoch. Unit: optimizer steps."""
    exponential_decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.96
    """Factor of each step down of the exponential schedule."""
    polynomial_end_lr: PositiveFloat = 1e-4
    """Learning rate at the end of the polynomial schedule."""
    polynomial_power: PositiveFloat = 1.0
    """Power of the polynomial schedule; 1 is a straight line."""
    cosine_alpha: Fraction = 0.0
    """Learning rate at the end of the cosine schedule, as a share of the first."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.001
    """Weight decay, decoupled from the gradient: in each step a weight loses this share of it times the learning rate.
    Of the optimizers that `weight_decay_applies_to` names."""
    weight_decay_applies_to: DecayedBy = DecayedBy.ADAMW
    """Which optimizers decay weights: AdamW alone, or `"all"` of them."""
    momentum_as_beta_1: bool = False
    """Whether Adam and AdamW take `optimizer_momentum` as their `beta_1`; otherwise it has no effect with them."""
    precision_applies_to: ImageMeaning = ImageMeaning.IMAGES
    """What `float16`, `float32` and `float64` mean: the type of the images, as in the paper, or Keras's policy for the
    whole computation."""
    mixup_alpha: PositiveFloat = 0.2
    """Alpha of MixUp's beta distribution."""
    cutmix_alpha: PositiveFloat = 1.0
    """Alpha of CutMix's beta distribution."""
    random_layers: PositiveInt = 2
    """Operations that RandAugment applies to each image."""
    random_magnitude: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Strength of RandAugment's operations."""
    calibration_images: PositiveInt = 100
    """Training images by which an int8 conversion finds the ranges of activations. Unit: images."""
    block_images: PositiveInt = 2560
    """Images that are augmented and trained on in one call to the device; larger blocks need more memory. Unit: images.
    """
    device_images_bytes: Annotated[int, Field(ge=0), AfterValidator(addressable)] = 8_000_000_000
    """The most that images kept on the GPU may take; larger sets are fed from the host. Unit: bytes."""
    evaluation_batch_size: PositiveInt = 128
    """Batch size of validation and test. Unit: images."""
    inference_batch_size: PositiveInt = 1
    """Batch size of the predictions that `latency_ms` and `inference_mj` are measured with. Unit: images."""
    callbacks: tuple[Reference, ...] = ()
    """Keras callbacks of your own, each a function `package.module:function`, called without arguments, that returns
    one or a list of them. Which hooks are called: see [callbacks](training.md#callbacks)."""
    keep_model: bool = False
    """Whether each trial keeps its trained model: `model.keras`, `model.int8.tflite` and `model.json`."""
    time_limit_s: PositiveFloat | None = None
    """A trial that runs longer is ended and counts as failed (`timeout`). No limit unless given. Unit: s."""
    memory_limit: MemorySize | None = None
    """The most main memory that a trial and all processes that it starts may hold, as `"8 GB"`, `"500 MiB"` or a number
    of bytes. A trial that holds more is ended and counts as failed (`out_of_memory`). No limit unless given."""
    log_limit: LogSize = 20_000_000
    """The most that a trial's `log.txt` may take, as `"20 MB"` or a number of bytes. Of longer output the first and the
    last part are kept, with a line between them that says how much was left out."""

    @model_validator(mode="after")
    def _fits_the_model(self) -> Self:
        raise_all("training", self._problems())
        return self

    def _problems(self) -> Iterator[str]:
        is_of_keras = self.model in MODEL_NAMES
        if self.weights == "imagenet" and not is_of_keras:
            yield "weights = 'imagenet' is for models of keras.applications; have your function load its own"
        if self.dropout is not None and not is_of_keras:
            yield "dropout is for models of keras.applications; write it into your function"
        if self.trainable != "all" and is_of_keras and self.weights is None:
            yield "trainable needs weights: layers that are not trained stay random"

    @field_validator("model")
    @classmethod
    def _known_model(cls, name: str) -> str:
        if name in MODEL_NAMES or re.fullmatch(REFERENCE_PATTERN, name):
            return name
        import difflib

        if re.search(r"\.(keras|h5|hdf5|pb|pkl|pickle|pt|pth|joblib|tflite|onnx|zip)$", name, re.IGNORECASE):
            # Loading one may run whatever its author wrote into it.
            raise PydanticCustomError(
                "model",
                "is a saved model, which may hold code and is not loaded; name a function that loads it, "
                "package.module:function",
            )
        close = difflib.get_close_matches(name, MODEL_NAMES, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise PydanticCustomError(
            "model", "is neither a model of keras.applications nor package.module:function{hint}", {"hint": hint}
        )
