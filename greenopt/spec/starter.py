"""Writes a first study file: commented, and ready to run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from greenopt.errors import UsageError, shown

CHOICES = {
    "lr": ("{ low = 1e-4, high = 1e-1, log = true }", "the first step's learning rate, drawn on a logarithmic scale"),
    "batch_size": ("[32, 64, 128]", "images in one step"),
    "optimizer": ('["SGD", "AdamW"]', "also RMSProp and Adam"),
    "optimizer_momentum": (
        '{ values = [0.9, 0.5], when = { optimizer = "SGD" } }',
        "left out of settings with another optimizer",
    ),
    "lr_schedule": ('["constant", "cosine"]', "also exponential and polynomial"),
    "preprocessing": ('["none", "standardization"]', "also robust_scaling and minmax"),
    "augmentation": ('["none", "random"]', "also mixup and cutmix"),
    "precision": ('["float32", "global_policy_float16"]', "the second computes in half precision"),
    "partitioning": ('["60-20-20", "80-10-10"]', "training, validation and test, in percent"),
    "internal": ('["none", "jit_compilation"]', "the second compiles by XLA"),
    "epochs": ("[3, 10]", "in place of those of [training]"),
    "model": ('["ResNet50", "MobileNetV2"]', "in place of that of [training]"),
    "image_size": ("[32, 64]", "the side that all images are scaled to"),
    "dropout": ("[0.0, 0.3]", "before the last layer"),
    "label_smoothing": ("[0.0, 0.1]", "of the classes' probabilities"),
    "weight_decay": ("[0.0, 1e-4]", "a step; of AdamW in place of its own"),
}
"""What a parameter may vary over at first, and what a comment says of it."""

BATCH_SIZES = ((32, 64, 128), (16, 32, 64), (8, 16, 32), (4, 8, 16), (2, 4, 8))
"""What the batch size may vary over, by how many images there are; the first that fits is taken."""

DEFAULT_VARY = ("lr", "batch_size", "optimizer")


@dataclass(frozen=True)
class Starter:
    """What a first study file is made of.

    Attributes:
        data: the data set's name.
        path: of the images, where they are the user's own.
        model: of `keras.applications`, or `module:function`.
        vary: the parameters that vary.
        trials: how many.
        epochs: of each.
        batch_sizes: one of `BATCH_SIZES`; where the batch size does not vary it is the first of these.
        image_size: the side that all images are scaled to; None where they stay as they are.
    """

    data: str = "digits"
    path: str | None = None
    model: str = "ResNet50"
    vary: Sequence[str] = DEFAULT_VARY
    trials: int = 8
    epochs: int = 3
    batch_sizes: Sequence[int] = BATCH_SIZES[0]
    image_size: int | None = None

    def text(self) -> str:
        """Return the study file.

        Raises:
            UsageError: a parameter that is to vary is unknown.
        """
        for name in self.vary:
            if name not in CHOICES:
                close = get_close_matches(name, CHOICES, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(CHOICES)}"
                raise UsageError(f"--vary {shown(name)}: unknown parameter; {hint}")
        place = f"path = {json.dumps(self.path, ensure_ascii=False)}\n" if self.path is not None else ""
        if self.image_size is not None:
            place += (
                f"image_size = {self.image_size}  # the side that all images are scaled to; larger ones cost more\n"
            )
        sizes = f"[{', '.join(map(str, self.batch_sizes))}]"
        values = {name: sizes if name == "batch_size" else choices for name, (choices, _) in CHOICES.items()}
        lines = [f"{name} = {values[name]}  # {CHOICES[name][1]}" for name in self.vary]
        if "batch_size" not in self.vary and self.batch_sizes != BATCH_SIZES[0]:
            lines.append(f"batch_size = {self.batch_sizes[0]}  # of the few images there are")
        space = "\n".join(lines)
        fixed = "\n".join(f"# {name} = {values[name]}" for name in CHOICES if name not in self.vary)
        return f"""# A study: run it with `greenopt run`, check it first with `greenopt run --dry-run`.
# Every key is explained by `greenopt docs study-file`.

[study]
trials = {self.trials}  # settings that are trained, each in a process of its own
baseline = true  # the first value of every parameter runs first
# budget = ["2 kWh", "3 h"]  # the most that the study may use

[objectives]
accuracy = "maximize"
energy_wh = "minimize"

[sampler]
name = "random"  # also tpe, nsga2, energy_aware, ...: greenopt docs samplers

[data]
name = {json.dumps(self.data, ensure_ascii=False)}
{place}
[training]
model = {json.dumps(self.model, ensure_ascii=False)}  # of keras.applications, or a function of yours: "module:function"
epochs = {self.epochs}
batchnorm_momentum = 0.8  # Keras's 0.99 needs hundreds of steps to settle

# What varies: a list of values, or a range {{ low = ..., high = ... }}.
[space]
{space}

# What may vary, too; left out, each keeps its default.
{fixed}
"""
