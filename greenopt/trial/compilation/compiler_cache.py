"""What is kept between trials and studies: compiled programs, what the autotuner found, prepared images.

Invariants: a file or folder appears under its final name whole or not at all; nothing depends on what is kept but time
and set-up energy; where nothing can be kept, trials run all the same.
"""

import os
import shutil
import time
from collections import deque
from collections.abc import MutableMapping
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path

FOLDER_VARIABLE = "GREENOPT_CACHE"
"""Environment variable that names another folder; an empty one keeps nothing."""

COMPILER_BYTES = 2_000_000_000
IMAGES_BYTES = 10_000_000_000
"""What may be kept of each; the least recently used goes first."""

_UNFINISHED_S = 86400.0

_GRAPH_SIZE = "--xla_gpu_graph_min_graph_size=1"
"""XLA starts a sequence of kernels by one CUDA graph from this length on; it would wait for five."""

_AT_ONCE = (
    "--xla_gpu_command_buffer_scheduling_mode=CONCURRENT",
    "--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL",
)
"""Kernels of a CUDA graph that do not need one another run side by side, and the graph is the whole loop over a block's
steps: a step of ResNet-50 with small images is a thousand kernels too short to fill a fast GPU one by one."""

_PLAIN_SUMS = "--xla_gpu_experimental_enable_fusion_block_level_rewriter=false"
"""Sums over the rows of small matrices are left to XLA's own kernels; Triton's need more power here."""

_PRODUCTS = "--xla_gpu_enable_triton_gemm=false"
"""Matrix products come from cuBLAS; to compile and compare some hundred variants of each takes longer than a trial."""


def cache_folder() -> Path | None:
    """The folder of what is kept, made if need be; None where nothing is to be kept or nothing can be."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named == "":
        return None
    folder = Path(named).expanduser() if named else user_cache_path("greenopt")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


class CompilerCache:
    """Programs that XLA compiled for a GPU, and which implementation of each operation it found to be fastest there.

    Without it the first step of ResNet-50 takes half a minute in every trial. Not for CPUs, where XLA says itself that
    what it loads may not fit the machine.
    """

    def __init__(self, folder: Path, flags: str = "") -> None:
        """Keep under a folder, apart for each version of TensorFlow and each set of XLA's flags.

        Args:
            folder: of all that greenopt keeps.
            flags: that programs are compiled with; XLA itself would take one compiled with others.
        """
        compiled_by = f"{_compiler()}-{sha256(flags.encode()).hexdigest()[:8]}"
        self._folder = folder / "xla" / compiled_by
        self._tuned = self._folder / "autotuned.pb"
        self._found = self._folder / f"autotuned-{os.getpid()}.pb"

    def use(self, environment: MutableMapping[str, str]) -> None:
        """Name what is kept in a process's environment, before TensorFlow compiles anything in it."""
        programs = self._folder / "programs"
        programs.mkdir(parents=True, exist_ok=True)
        prune(programs, COMPILER_BYTES)
        self._forget_unfinished()
        flags = [f"--xla_gpu_dump_autotune_results_to={self._found}"]
        if self._tuned.exists():
            flags.append(f"--xla_gpu_load_autotune_results_from={self._tuned}")
        _add(environment, "XLA_FLAGS", *flags)
        _add(environment, "TF_XLA_FLAGS", f"--tf_xla_persistent_cache_directory={programs}")

    def _forget_unfinished(self) -> None:
        """Delete what trials left that ended before they kept it."""
        for file in self._folder.glob("autotuned-*.pb"):
            with suppress(OSError):
                if time.time() - file.stat().st_mtime > _UNFINISHED_S:
                    file.unlink()

    def keep(self) -> None:
        """Keep what the autotuner found; call it once all programs are compiled."""
        with suppress(FileNotFoundError):
            self._found.replace(self._tuned)


def prepare_compiler(environment: MutableMapping[str, str]) -> CompilerCache | None:
    """Set a process up for XLA on a GPU; returns the cache that it uses, None where nothing can be kept."""
    _add(environment, "XLA_FLAGS", _GRAPH_SIZE, *_AT_ONCE, _PLAIN_SUMS, _PRODUCTS)
    folder = cache_folder()
    if folder is None:
        return None
    cache = CompilerCache(folder, environment["XLA_FLAGS"])
    try:
        cache.use(environment)
    except OSError:
        return None
    return cache


def keep_kernels(environment: MutableMapping[str, str], architecture: str) -> None:
    """Have TensorFlow keep the kernels that it compiles when an operation first runs, half a second for each.

    Args:
        environment: of this process.
        architecture: of the GPU; TensorFlow itself would load a kernel that was compiled for another.
    """
    folder = cache_folder()
    if folder is not None:
        environment.setdefault("TF_JIT_CACHE_DIR", str(folder / "kernels" / _compiler() / architecture))


def name_functions_afresh(step: int = 100_000) -> None:
    """Have the next function that is traced get the name that it gets in every process that builds the same program.

    TensorFlow ends the names of functions with a number that it counts up at every tensor and function of the process,
    and XLA's programs are kept by name too: what came before, a scaling or an augmentation, would change it.

    Args:
        step: count on to the next multiple of it.
    """
    from tensorflow.python.framework import ops

    target = (ops.uid() // step + 1) * step
    deque(iter(ops.uid, target), maxlen=0)


def write_whole(target: Path, content: bytes) -> None:
    """Write a file so that a half-written one neither bears its name nor stays.

    Raises:
        OSError: it cannot be written.
    """
    scratch = target.with_name(f"part-{os.getpid()}.{target.name}")
    try:
        scratch.write_bytes(content)
        scratch.replace(target)
    finally:
        with suppress(OSError):
            scratch.unlink()


def prune(folder: Path, limit_bytes: int) -> None:
    """Delete the least recently used files and folders in a folder until the rest takes at most `limit_bytes`."""
    entries = []
    for entry in folder.iterdir():
        with suppress(OSError):
            files = [entry] if entry.is_file() else [file for file in entry.rglob("*") if file.is_file()]
            states = [file.stat() for file in files]
            if states:
                used_s = max(max(state.st_atime, state.st_mtime) for state in states)
                entries.append((used_s, sum(state.st_size for state in states), entry))
    kept_bytes = 0
    for _, size, entry in sorted(entries, reverse=True):
        kept_bytes += size
        if kept_bytes > limit_bytes:
            with suppress(OSError):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _compiler() -> str:
    return f"tensorflow-{version('tensorflow')}"


def _add(environment: MutableMapping[str, str], name: str, *flags: str) -> None:
    """Add flags before those that the user set, which count more."""
    environment[name] = " ".join([*flags, environment.get(name, "")]).strip()
