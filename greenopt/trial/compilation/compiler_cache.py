"""Compiled programs and autotuning results that are kept between trials and studies.

Invariant: nothing but set-up time and set-up energy depends on what is kept; where nothing can be kept, trials run all
the same.
"""

import os
import time
from collections.abc import MutableMapping
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from greenopt.cache_folder import cache_folder, prune

COMPILER_BYTES = 2_000_000_000
"""What compiled programs may take; the least recently used go first."""

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

_COMPILED_AT_ONCE = (
    "--xla_gpu_enable_llvm_module_compilation_parallelism=true",
    "--xla_gpu_force_compilation_parallelism=12",
)
"""Parts of a program are compiled by several threads. Their number is the same on every machine, since what is kept
goes by the flags."""

_ONE_VERSION = "--xla_gpu_experimental_enable_fusion_autotuner=false"
"""Fused operations are not compiled in several versions to choose from: for nearly all there is one alone, and to
compile these beforehand takes 3 s of 20."""

_PRODUCTS = "--xla_gpu_enable_triton_gemm=false"
"""Matrix products come from cuBLAS; to compile and compare some hundred variants of each takes longer than a trial."""


class CompilerCache:
    """XLA's compiled programs for a GPU, and its autotuner's choice of each operation's fastest implementation.

    Without it the first step of ResNet-50 takes half a minute in every trial. Not for CPUs, where XLA says itself that
    what it loads may not fit the machine.
    """

    def __init__(self, folder: Path, flags: str = "") -> None:
        """Use a subfolder for each version of TensorFlow and each set of XLA's flags.

        Args:
            folder: of all that greenopt keeps.
            flags: that programs are compiled with; XLA itself would take one compiled with others.
        """
        compiled_by = f"{_compiler()}-{sha256(flags.encode()).hexdigest()[:8]}"
        self._folder = folder / "xla" / compiled_by
        self._tuned = self._folder / "autotuned.pb"
        self._found = self._folder / f"autotuned-{os.getpid()}.pb"

    def use(self, environment: MutableMapping[str, str]) -> None:
        """Set the cache in a process's environment, before TensorFlow compiles anything."""
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
        """Delete the unfinished files of trials that ended early."""
        for file in self._folder.glob("autotuned-*.pb"):
            with suppress(OSError):
                if time.time() - file.stat().st_mtime > _UNFINISHED_S:
                    file.unlink()

    def keep(self) -> None:
        """Store the autotuner's results; call this once all programs are compiled."""
        with suppress(FileNotFoundError):
            self._found.replace(self._tuned)


def prepare_compiler(environment: MutableMapping[str, str]) -> CompilerCache | None:
    """Set up a process for XLA on a GPU and return its cache; None if nothing can be cached."""
    _add(environment, "XLA_FLAGS", _GRAPH_SIZE, *_AT_ONCE, _PLAIN_SUMS, _ONE_VERSION, _PRODUCTS, *_COMPILED_AT_ONCE)
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
    """Let TensorFlow cache the kernels that it compiles at an operation's first run, half a second each.

    Args:
        environment: of this process.
        architecture: of the GPU; TensorFlow itself would load a kernel that was compiled for another.
    """
    folder = cache_folder()
    if folder is not None:
        environment.setdefault("TF_JIT_CACHE_DIR", str(folder / "kernels" / _compiler() / architecture))


def _compiler() -> str:
    return f"tensorflow-{version('tensorflow')}"


def _add(environment: MutableMapping[str, str], name: str, *flags: str) -> None:
    """Prepend flags to the user's, which take precedence."""
    environment[name] = " ".join([*flags, environment.get(name, "")]).strip()
