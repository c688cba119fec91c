"""What this machine has of what greenopt can use, and what to do about what is missing.

Everything is asked by doing it: a GPU's power is read, TensorFlow is imported in a child process.
"""

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from greenopt import __version__
from greenopt.energy import Gpu, PowerSource, gpu_processes, list_gpus, open_source
from greenopt.spec import DataSet, DataSpec, EnergySpec
from greenopt.trial.data_files import check_data

TENSORFLOW_LIMIT_S = 120
_PROBE = """
import json, time
began = time.monotonic()
import tensorflow as tf
import keras, keras_cv
details = tf.config.experimental.get_device_details
gpus = [details(gpu).get("device_name", gpu.name) for gpu in tf.config.list_physical_devices("GPU")]
print(json.dumps({"tensorflow": tf.__version__, "keras": keras.__version__, "keras_cv": keras_cv.__version__,
                  "gpus": gpus, "seconds": time.monotonic() - began}))
"""


class Health(StrEnum):
    """How a finding bears on running studies."""

    GOOD = "good"
    LIMITED = "limited"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        topic: what.
        health: whether studies can rely on it.
        text: what was found.
        advice: what to do about it; empty where nothing needs doing.
    """

    topic: str
    health: Health
    text: str
    advice: str = ""


def examine(runs: Path) -> Iterator[Finding]:
    """Look at everything, the quick things first.

    Args:
        runs: folder for studies' results, whose disk is looked at.
    """
    yield Finding("greenopt", Health.GOOD, f"{__version__}, Python {platform.python_version()}")
    gpus = list_gpus()
    yield from _gpus(gpus)
    yield _cpu_energy()
    yield from _data_sets()
    yield _disk(runs)
    yield from _packages()
    yield _tensorflow(gpus)


def _gpus(gpus: list[Gpu]) -> Iterator[Finding]:
    if not gpus:
        advice = (
            "with an NVIDIA GPU: install its driver, and see that nvidia-smi works; without one, trials run on the CPU"
        )
        yield Finding("GPU", Health.LIMITED, "no NVIDIA GPU that NVML can see", advice)
    for gpu in gpus:
        memory_gib = gpu.memory_bytes / 2**30
        mode = ", MIG: its counter is the whole board's" if gpu.mig else ""
        found = f"{gpu.name}, {memory_gib:.0f} GiB, driver {gpu.driver}, {gpu.uuid}{mode}"
        yield Finding(f"GPU {gpu.index}", Health.GOOD, found)
        yield _gpu_energy(gpu)
        others = gpu_processes(gpu.uuid)
        if others:
            names = ", ".join(f"{process.name} (pid {process.pid})" for process in others)
            advice = "their energy counts too; wait for them, or run with --share-gpus"
            yield Finding(f"GPU {gpu.index} in use", Health.LIMITED, names, advice)


def _gpu_energy(gpu: Gpu) -> Finding:
    topic = f"GPU {gpu.index} energy"
    try:
        source = open_source(gpu.uuid, EnergySpec())
    except Exception as error:
        return Finding(topic, Health.BAD, f"cannot be metered: {error}", "look at nvidia-smi -q -d POWER")
    try:
        return _readings(topic, source)
    finally:
        source.close()


def _readings(topic: str, source: PowerSource) -> Finding:
    energy_j, power_w = source.energy_j(), source.power_w()
    counter = "no energy counter" if energy_j is None else f"energy counter {energy_j / 3600:.1f} Wh"
    power = "no power reading" if power_w is None else f"power {power_w:.0f} W now"
    if energy_j is None and power_w is None:
        advice = "trials here end as not_measured; a virtual GPU often hides both readings from its guest"
        return Finding(topic, Health.BAD, "neither an energy counter nor a power reading", advice)
    health = Health.LIMITED if energy_j is None or power_w is None else Health.GOOD
    return Finding(topic, health, f"{counter}, {power} ({source.name})")


def _cpu_energy() -> Finding:
    source = open_source(None, EnergySpec())
    try:
        if source.kind.is_measured:
            return Finding("CPU energy", Health.GOOD, f"RAPL is readable ({source.name})")
    finally:
        source.close()
    rapl = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
    if rapl.exists():
        advice = f"chmod a+r {rapl.parent}*/energy_uj, as root, makes it readable until the next start"
        return Finding(
            "CPU energy", Health.LIMITED, "RAPL is there but not readable; trials on the CPU are estimates", advice
        )
    text = (
        f"no RAPL; energy of trials on the CPU is CPU time x {EnergySpec().cpu_w_per_core:.0f} W, marked as an estimate"
    )
    return Finding("CPU energy", Health.LIMITED, text, "energy.cpu_w_per_core in the study file sets the assumption")


def _data_sets() -> Iterator[Finding]:
    for name in DataSet:
        if name is DataSet.NPZ:
            continue
        problem = check_data(DataSpec(name=name))
        health = Health.GOOD if problem is None else Health.LIMITED
        yield Finding(f"data {name}", health, "there" if problem is None else "not there", problem or "")


def _disk(runs: Path) -> Finding:
    there = next(folder for folder in (runs.resolve(), *runs.resolve().parents) if folder.exists())
    free_gib = shutil.disk_usage(there).free / 2**30
    health = Health.GOOD if free_gib > 1 else Health.LIMITED
    return Finding(
        "results", health, f"{runs}: {free_gib:.1f} GiB free", "" if free_gib > 1 else "make room for results"
    )


def _packages() -> Iterator[Finding]:
    for package in ("optuna", "keras-cv", "ai-edge-litert", "nvidia-ml-py"):
        try:
            yield Finding(package, Health.GOOD, version(package))
        except PackageNotFoundError:
            yield Finding(package, Health.BAD, "not installed", f"pip install {package}")


def _tensorflow(gpus: list[Gpu]) -> Finding:
    command = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TENSORFLOW_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return Finding(
            "tensorflow", Health.BAD, f"not imported within {TENSORFLOW_LIMIT_S} s", "look at the machine's load"
        )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return Finding("tensorflow", Health.BAD, lines[-1], "install greenopt again in a fresh environment")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    seen = ", ".join(found["gpus"]) or "the CPU only"
    text = f"{found['tensorflow']} with Keras {found['keras']}, imported in {found['seconds']:.1f} s, sees {seen}"
    if gpus and not found["gpus"]:
        return Finding("tensorflow", Health.BAD, text, "pip install 'greenopt[cuda]' brings the CUDA libraries")
    return Finding("tensorflow", Health.GOOD, text)
