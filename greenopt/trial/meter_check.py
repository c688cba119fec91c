"""The loads of `greenopt doctor --meter`, run on the device in a separate process: JSON lines on standard output.

`python -m greenopt.trial.meter_check --gpu-uuid UUID`. Each line is `{"NAME": figures}` with the figures of
`greenopt.energy.check`.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf
from pydantic import BaseModel

from greenopt.energy.check import compare, overhead, repeat
from greenopt.energy.source import PowerSource
from greenopt.energy.source_choice import open_source
from greenopt.spec import DataSpec, EnergySpec, Internal, Setting, TrainingSpec, TrialSpec
from greenopt.trial.compilation.compiler_cache import prepare_compiler
from greenopt.trial.failures import WrongSettingError
from greenopt.trial.parent_watchdog import die_with_parent
from greenopt.trial.run import choose_device, load_split
from greenopt.trial.training.setup import prepare_trial


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every load and print the result of each."""
    parser = argparse.ArgumentParser(prog="python -m greenopt.trial.meter_check", description="Put a meter under load.")
    parser.add_argument("--gpu-uuid", help="the GPU; the CPU unless given")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of each window")
    parser.add_argument("--model", default="ResNet50")
    parser.add_argument(
        "--batch-size", type=int, default=1024, help="large, so that the GPU and not the CPU sets the pace"
    )
    parser.add_argument("--steps", type=int, default=10, help="steps of one piece of work")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--pair-seconds", type=float, default=2.5, help="least length of either half of a pair")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--matrix", type=int, default=8192, help="side of the matrices that are multiplied")
    options = parser.parse_args(arguments)
    die_with_parent()
    if options.gpu_uuid is not None:
        prepare_compiler(os.environ)
    try:
        choose_device(options.gpu_uuid)
    except WrongSettingError as error:
        sys.exit(str(error))
    source = open_source(options.gpu_uuid, EnergySpec())
    try:
        for name, metrics in check(source, options):
            print(f'{{"{name}": {metrics.model_dump_json()}}}', flush=True)
    finally:
        source.close()


def check(source: PowerSource, options: argparse.Namespace) -> Iterator[tuple[str, BaseModel]]:
    """Yield each result with its name, as soon as it is known."""
    multiply = multiplication(options.matrix)
    multiply()
    seconds = options.seconds
    yield "agreement", compare(source, "steady load", lambda: square(multiply, seconds, 1.0, 1.0))
    yield "agreement", compare(source, "load on and off every half second", lambda: square(multiply, seconds, 1.0, 0.5))
    work = training(options.gpu_uuid, options.model, options.batch_size, options.steps)
    yield "overhead", overhead(source, work, options.pairs, options.pair_seconds)
    yield "repeats", repeat(source, lambda: [work() for _ in range(4)], options.repeats)


def multiplication(side: int) -> Callable[[], None]:
    """Return a function that multiplies matrices for a few milliseconds and returns when the device is done."""
    dtype = tf.float16 if tf.config.list_logical_devices("GPU") else tf.float32
    matrix = tf.random.stateless_normal((side, side), (1, 2), dtype=dtype)

    product = tf.function(lambda: tf.linalg.matmul(matrix, matrix)[0, 0], autograph=False)
    return lambda: product().numpy()


def square(burst: Callable[[], None], seconds: float, period_s: float, duty: float) -> None:
    """Repeat bursts through the first share of each period, and rest for the other."""
    began_s = time.monotonic()
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        rest_s = period_s * (1 - (elapsed_s / period_s) % 1)
        if elapsed_s / period_s % 1 < duty:
            burst()
        else:
            time.sleep(rest_s)


def training(
    gpu_uuid: str | None, model: str, batch_size: int, steps: int, internal: Internal = Internal.NONE
) -> Callable[[], None]:
    """Return a function that runs training steps as a trial does, on synthetic images, until they are done."""
    spec = TrialSpec(
        study="meter-check",
        trial=0,
        setting=Setting(batch_size=batch_size, partitioning="50-25-25", internal=internal),
        data=DataSpec.model_validate({"name": "synthetic", "images": 2 * steps * batch_size, "classes": 10}),
        training=TrainingSpec(epochs=1, model=model),
        energy=EnergySpec(),
        split_seed=0,
        training_seed=0,
        gpu_uuid=gpu_uuid,
    )
    data, split = load_split(spec)
    trainer = prepare_trial(spec, data, split).trainer
    trainer.warm_up()

    def work() -> None:
        trainer.train_epoch(1, lambda step: None)
        tf.test.experimental.sync_devices()

    return work


if __name__ == "__main__":
    main()
