"""Checks of what greenopt can use on this machine, with advice on what is missing.

Everything is asked by doing it: a GPU's power is read, TensorFlow is imported in a child process.

Invariant: nothing that fails, in whatever way, keeps the next thing from being looked at.
"""

import json
import math
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from greenopt.cache_folder import cache_folder
from greenopt.energy.gpus import Gpu, find_gpus, read_processes
from greenopt.energy.rapl import POWERCAP, UNREADABLE_SOCKET, RaplDomains
from greenopt.energy.source import DriverError, PowerSource, ReadError
from greenopt.energy.source_choice import open_source
from greenopt.errors import GreenoptError
from greenopt.spec import DataSet, DataSpec, EnergySpec
from greenopt.trial.data.files import check_data
from greenopt.version import __version__

TENSORFLOW_LIMIT_S = 120
PACKAGES = ("optuna", "keras-cv", "ai-edge-litert", "nvidia-ml-py")
_ASSUMPTION = "energy.cpu_w_per_core in the study file sets the assumption"
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
    """The effect of a finding on running studies."""

    GOOD = "good"
    LIMITED = "limited"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

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


Look = Callable[[], Iterator[Finding]]


def examine(runs: Path) -> Iterator[Finding]:
    """Look at everything, the quick things first; what cannot be looked at is a finding, and the next thing follows.

    Args:
        runs: folder for studies' results, whose disk is looked at.
    """
    gpus: list[Gpu] = []
    looks: dict[str, Look] = {
        "greenopt": _greenopt,
        "GPU": lambda: _boards(gpus),
        "GPU energy": lambda: _each_gpu(gpus),
        "CPU energy": _cpu_energy,
        **{f"data {name}": partial(_data_set, name) for name in DataSet if not name.is_own},
        "results": lambda: _disk(runs),
        "prepared images": _prepared_images,
        **{package: partial(_package, package) for package in PACKAGES},
        "tensorflow": lambda: _tensorflow(gpus),
    }
    for topic, look in looks.items():
        yield from guarded(topic, look)


def guarded(topic: str, look: Look) -> Iterator[Finding]:
    """Give what a look finds; where it raises, that is a finding too.

    Args:
        topic: what is looked at.
        look: gives findings.
    """
    try:
        yield from look()
    except Exception as error:
        yield Finding(topic, Health.BAD, f"cannot be looked at: {in_a_line(error)}", "see that it can be used at all")


def in_a_line(error: Exception) -> str:
    """Say an error in one line; its kind where it has no text or is no error of greenopt's."""
    text = " ".join(str(error).split())
    return text if text and isinstance(error, GreenoptError) else f"{type(error).__name__}: {text}".rstrip(": ")


def _greenopt() -> Iterator[Finding]:
    yield Finding("greenopt", Health.GOOD, f"{__version__}, Python {platform.python_version()}")


def _boards(gpus: list[Gpu]) -> Iterator[Finding]:
    """Find the boards, which are added to `gpus`; what is said of each comes later."""
    try:
        found = find_gpus()
    except DriverError as error:
        advice = "see that nvidia-smi works; --gpus none trains on the CPU meanwhile"
        yield Finding("GPU", Health.BAD, f"NVIDIA's driver is installed and does not work: {error}", advice)
        return
    gpus += found.gpus
    others = "studies use the other GPUs" if gpus else "--gpus none trains on the CPU meanwhile"
    for board in found.lost:
        yield Finding(f"GPU {board.index}", Health.BAD, str(board), f"restart the machine; {others}")
    if not gpus and not found.lost:
        advice = (
            "with an NVIDIA GPU: install its driver, and see that nvidia-smi works; without one, trials run on the CPU"
        )
        yield Finding("GPU", Health.LIMITED, "no NVIDIA GPU that NVML can see", advice)


def _each_gpu(gpus: list[Gpu]) -> Iterator[Finding]:
    for gpu in gpus:
        topic = f"GPU {gpu.index}"
        yield Finding(topic, Health.GOOD, _facts(gpu))
        yield from guarded(f"{topic} energy", partial(_gpu_energy, f"{topic} energy", gpu.uuid))
        yield from guarded(f"{topic} in use", partial(_gpu_processes, f"{topic} in use", gpu.uuid))


def _facts(gpu: Gpu) -> str:
    memory = "memory not reported" if gpu.memory_bytes is None else f"{gpu.memory_bytes / 2**30:.0f} GiB"
    mode = ", MIG: its counter is the whole board's" if gpu.mig else ""
    return f"{gpu.name or 'name not reported'}, {memory}, driver {gpu.driver or 'not reported'}, {gpu.uuid}{mode}"


def _gpu_energy(topic: str, uuid: str) -> Iterator[Finding]:
    source = open_source(uuid, EnergySpec())
    try:
        yield _readings(topic, source)
    finally:
        with suppress(Exception):
            source.close()


def _readings(topic: str, source: PowerSource) -> Finding:
    energy_j, counter = _tried(source.energy_j, "energy counter")
    power_w, power = _tried(source.power_w, "power reading")
    if energy_j is None and power_w is None:
        advice = "trials here end as not_measured; a virtual GPU often hides both readings from its guest"
        return Finding(topic, Health.BAD, f"{counter}, {power}", advice)
    counter = counter if energy_j is None else f"energy counter {energy_j / 3600:.1f} Wh"
    power = power if power_w is None else f"power {power_w:.0f} W now"
    if energy_j is None or power_w is None:
        advice = "trials are measured with the other one, which nothing confirms then"
        return Finding(topic, Health.LIMITED, f"{counter}, {power} ({source.name})", advice)
    return Finding(topic, Health.GOOD, f"{counter}, {power} ({source.name})")


def _tried(read: Callable[[], float | None], name: str) -> tuple[float | None, str]:
    """Return a reading and, where there is none, why."""
    try:
        value = read()
    except Exception as error:
        return None, f"{name} fails: {in_a_line(error)}"
    return (value, "") if value is not None and math.isfinite(value) else (None, f"no {name}")


def _gpu_processes(topic: str, uuid: str) -> Iterator[Finding]:
    try:
        others = read_processes(uuid)
    except (ReadError, DriverError) as error:
        advice = "see by yourself that nothing else computes on it: its energy would count too"
        yield Finding(topic, Health.LIMITED, f"its processes cannot be listed: {error}", advice)
        return
    if others:
        names = ", ".join(f"{process.name} (pid {process.pid})" for process in others)
        yield Finding(topic, Health.LIMITED, names, "their energy counts too; wait for them, or run with --share-gpus")


def _cpu_energy() -> Iterator[Finding]:
    domains = RaplDomains.find().moving()
    problems = "; ".join(domains.problems)
    advice = f"chmod a+r {POWERCAP}/intel-rapl:*/energy_uj, as root, makes them readable until the next start"
    if domains.cpu is not None and domains.cpu.absent:
        text = f"RAPL tells a part only ({domains.cpu.name}): {problems}; trials here are flagged {UNREADABLE_SOCKET}"
        yield Finding("CPU energy", Health.LIMITED, text, advice)
    elif domains.cpu is not None:
        yield Finding("CPU energy", Health.GOOD, f"RAPL is readable ({domains.cpu.name})")
    elif problems:
        text = f"RAPL is there but tells nothing: {problems}; trials on the CPU are estimates"
        yield Finding("CPU energy", Health.LIMITED, text, advice if "does not move" not in problems else _ASSUMPTION)
    else:
        assumed_w = EnergySpec().cpu_w_per_core
        text = f"no RAPL; energy of trials on the CPU is CPU time x {assumed_w:.0f} W, marked as an estimate"
        yield Finding("CPU energy", Health.LIMITED, text, _ASSUMPTION)


def _data_set(name: DataSet) -> Iterator[Finding]:
    problem = check_data(DataSpec(name=name))
    health = Health.GOOD if problem is None else Health.LIMITED
    yield Finding(f"data {name}", health, "there" if problem is None else "not there", problem or "")


def _disk(runs: Path) -> Iterator[Finding]:
    there = next(folder for folder in (runs.resolve(), *runs.resolve().parents) if folder.exists())
    free_gib = shutil.disk_usage(there).free / 2**30
    health = Health.GOOD if free_gib > 1 else Health.LIMITED
    yield Finding(
        "results", health, f"{runs}: {free_gib:.1f} GiB free", "" if free_gib > 1 else "make room for results"
    )


def _prepared_images() -> Iterator[Finding]:
    """Find what images that have been prepared take, and what room there is for more."""
    reasons: list[str] = []
    folder = cache_folder(reasons.append)
    if folder is None:
        why = f": {reasons[0]}" if reasons else ""
        advice = 'studies with data.images_on = "disk" need it; name a folder with GREENOPT_CACHE'
        yield Finding("prepared images", Health.LIMITED, f"there is no cache folder{why}", advice)
        return
    sizes_bytes = [file.stat().st_size for file in (folder / "images").glob("*/x.npy")]
    free_gib = shutil.disk_usage(folder).free / 2**30
    held = f"{len(sizes_bytes)} sets, {sum(sizes_bytes) / 2**30:.1f} GiB; {free_gib:.1f} GiB free"
    yield Finding("prepared images", Health.GOOD, f"{folder / 'images'}: {held}")


def _package(package: str) -> Iterator[Finding]:
    try:
        yield Finding(package, Health.GOOD, version(package))
    except PackageNotFoundError:
        yield Finding(package, Health.BAD, "not installed", f"pip install {package}")


def _tensorflow(gpus: list[Gpu]) -> Iterator[Finding]:
    command = [sys.executable, "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TENSORFLOW_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        text = f"not imported within {TENSORFLOW_LIMIT_S} s"
        yield Finding("tensorflow", Health.BAD, text, "look at the machine's load")
        return
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        yield Finding("tensorflow", Health.BAD, lines[-1], "install greenopt again in a fresh environment")
        return
    found = json.loads(done.stdout.strip().splitlines()[-1])
    seen = ", ".join(found["gpus"]) or "the CPU only"
    text = f"{found['tensorflow']} with Keras {found['keras']}, imported in {found['seconds']:.1f} s, sees {seen}"
    if gpus and not found["gpus"]:
        yield Finding("tensorflow", Health.BAD, text, "pip install 'greenopt[cuda]' brings the CUDA libraries")
    else:
        yield Finding("tensorflow", Health.GOOD, text)
