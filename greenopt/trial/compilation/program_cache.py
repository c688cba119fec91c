"""The cache of compiled programs, shared by trials and compiled ahead while a trial builds its model.

Invariants: what is kept is what tracing would give: its key holds all that a program depends on, greenopt's own source
included. Where something kept is damaged or does not fit, programs are traced.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import keras
import tensorflow as tf
from pydantic import TypeAdapter, ValidationError

import greenopt.trial
from greenopt.cache_folder import cache_folder, prune
from greenopt.files import write_whole
from greenopt.spec import MODEL_NAMES, TRIAL_LIMITS, Internal, TrialSpec
from greenopt.trial.compilation.function_names import name_functions_afresh
from greenopt.trial.compilation.serialized_graph import Graph, Program, TensorSpec, UnkeepableError, Variables
from greenopt.trial.data.images import Images
from greenopt.trial.model.optimizer import table_size
from greenopt.trial.model.precision import number_formats

Trace: TypeAlias = Callable[[], Graph]
Begin: TypeAlias = Callable[[int, Callable[..., None]], None]
"""Told a program's place and the program."""

GRAPHS_BYTES = 500_000_000
"""What graphs may take in the cache folder; ResNet-50's are two megabytes."""

_NO_PART_OF_A_PROGRAM = {"preprocessing", "augmentation", "precision", "partitioning", "lr", "lr_schedule"}
"""Parameters whose values are in the images, in a variable, or given to the key in another form."""

_BEYOND_TRACING = 500_000
"""More names than tracing uses up, so that programs have the same, whether or not they were traced in this process."""

_GRAPHS = TypeAdapter(tuple[Graph, ...])


class CachedPrograms:
    """The cached programs of one key."""

    def __init__(self, file: Path | None, jit: bool) -> None:
        """Read the cached graphs.

        Args:
            file: where, there or not; None keeps nothing.
            jit: whether XLA compiles them.
        """
        self._file, self._jit = file, jit
        self._graphs = _read(file) if file is not None else ()
        self._programs: list[Program] = []
        self._placeholders: list[tf.Variable] = []
        self._compiling: list[Future[None]] = []

    def compile_ahead(self) -> None:
        """Start compiling the cached graphs in threads, with placeholder variables."""
        if not self._graphs:
            return
        zeros = cache(tf.zeros)
        self._placeholders = [
            tf.Variable(zeros(tensor_spec.shape, tensor_spec.dtype), trainable=False)
            for tensor_spec in self._graphs[0].state
        ]
        try:
            self._programs = self._readied(self._graphs, self._placeholders)
        except (ValueError, tf.errors.OpError):
            # The file is intact, but the graph is not usable.
            return
        pool = ThreadPoolExecutor(len(self._graphs))
        for graph, program in zip(self._graphs, self._programs, strict=True):
            # Zero steps, if the program loops. A program that fails here raises the same error when it is used.
            inputs = [zeros(tensor_spec.shape, tensor_spec.dtype) for tensor_spec in graph.inputs]
            self._compiling.append(pool.submit(program, *inputs))
        pool.shutdown(wait=False)

    def resolve(
        self, variables: Variables, traces: Sequence[Trace], begin: Begin = lambda *_: None
    ) -> Sequence[Program] | None:
        """Return the programs for the variables that will be trained.

        Args:
            variables: all that they read or change, in the order of every trial of this key.
            traces: one for each program; called where they are not kept.
            begin: told the place of a program that was just traced, and the program, before the next one is traced.

        Returns:
            What `traces` give, ready to run, in their order; None where nothing can be kept of it.
        """
        if self._file is None:
            return None
        tensor_specs = tuple(map(TensorSpec.from_variable, variables))
        wait(self._compiling)
        for variable in self._placeholders:
            # A program keeps a reference to its first captures; free their memory.
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=tf.zeros(0, variable.dtype))
        if not self._programs or any(graph.state != tensor_specs for graph in self._graphs):
            graphs, programs = [], []
            try:
                for place, trace in enumerate(traces):
                    graphs.append(trace())
                    programs += self._readied(graphs[-1:], variables)
                    begin(place, programs[-1])
            except UnkeepableError:
                return None
            _write(graphs, self._file)
            return programs
        for program in self._programs:
            program.use(variables)
        return self._programs

    def _readied(self, graphs: Sequence[Graph], variables: Variables) -> list[Program]:
        programs = []
        for graph in graphs:
            name_functions_afresh(_BEYOND_TRACING)
            programs.append(Program(graph, variables, self._jit))
        return programs


def cached_programs(spec: TrialSpec, images: Images, block_steps: int, steps: int) -> CachedPrograms:
    """Return the cached programs of a trial. Custom models are never cached: their source cannot be hashed.

    Args:
        spec: the trial.
        images: its images.
        block_steps: training steps in one call.
        steps: of the whole training.
    """
    folder = cache_folder() if spec.training.model in MODEL_NAMES else None
    setting = spec.image_setting
    file = folder / "graphs" / f"{program_key(spec, images, block_steps, steps)}.json" if folder is not None else None
    return CachedPrograms(file, setting.internal is Internal.JIT_COMPILATION)


def program_key(spec: TrialSpec, images: Images, block_steps: int, steps: int) -> str:
    """Return a key that is equal for trials with the same programs; arguments as for `cached_programs`."""
    setting, training = spec.image_setting, spec.training
    left_out = set(_NO_PART_OF_A_PROGRAM)
    if not (setting.optimizer.uses_momentum or training.momentum_as_beta_1):
        left_out.add("optimizer_momentum")
    parts: list[Any] = [
        setting.model_dump(mode="json", exclude=left_out),
        training.model_dump(mode="json", exclude={"epochs", "keep_model", "callbacks", *TRIAL_LIMITS}),
        number_formats(setting.precision, training.precision_applies_to).policy,
        [images.shape, images.classes],
        [block_steps, table_size(steps)],
        [device.device_type for device in tf.config.list_logical_devices()],
        [keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format()],
        [version("tensorflow"), version("keras"), _source()],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


@cache
def _source() -> str:
    """Return a digest of the code that programs are traced from: every module of `greenopt.trial`."""
    return source_digest(Path(greenopt.trial.__file__).parent)


def source_digest(folder: Path) -> str:
    """Return a digest of all Python files below a folder: their paths there and their contents."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(folder).as_posix()}:{len(content)}:".encode() + content)
    return digest.hexdigest()


def _read(file: Path) -> Sequence[Graph]:
    """Read cached graphs; empty if the file is missing or damaged."""
    try:
        return _GRAPHS.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return ()


def _write(graphs: Sequence[Graph], file: Path) -> None:
    """Store graphs atomically; if that fails, the next trial traces again."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, _GRAPHS.dump_json(tuple(graphs)))
        prune(file.parent, GRAPHS_BYTES)
