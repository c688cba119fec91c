"""Everything that can be checked before a study starts, so that bad input costs nothing."""

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from greenopt.errors import UsageError
from greenopt.events import Outcome
from greenopt.footprint import Footprint
from greenopt.image_checks import image_problem
from greenopt.record import Verdict, attributes
from greenopt.search import build_sampler
from greenopt.spec import Choice, DataSet, Internal, StudySpec
from greenopt.study_rows import COLUMNS
from greenopt.summary import summarise
from greenopt.trial.data_files import check_data


def check_study(spec: StudySpec, file: Path) -> None:
    """Check what a study needs beyond its file.

    Args:
        spec: the study.
        file: where it was read, for messages.

    Raises:
        UsageError: the sampler does not fit, the data are not there or cannot be used, or what runs int8 models is not
            installed; one line that starts with the file.
    """
    try:
        build_sampler(spec, 0)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    try:
        Footprint.of(spec.energy)
    except UsageError as error:
        raise UsageError(f"{file}: energy.{error}") from None
    if spec.study.objective is not None:
        _check_objective(spec, file, spec.study.objective)
    _check_int8_runtime(spec, file)
    problem = check_data(spec.data) if spec.data is not None else None
    if problem is not None:
        key = "path" if spec.data is not None and spec.data.name is DataSet.NPZ else "name"
        raise UsageError(f"{file}: data.{key}: {problem}")
    problem = image_problem(spec) if spec.data is not None else None
    if problem is not None:
        raise UsageError(f"{file}: {problem}")


def _check_objective(spec: StudySpec, file: Path, reference: str) -> None:
    """Check that the function's module can be found, without importing it, and that no parameter hides a figure."""
    top = reference.partition(":")[0].partition(".")[0]
    if PathFinder.find_spec(top, [str(Path.cwd()), *sys.path]) is None:
        raise UsageError(f"{file}: study.objective: {reference}: there is no module {top} in {Path.cwd()} or installed")
    figures = attributes(summarise(()), Verdict(Outcome.COMPLETED), None)
    taken = {*COLUMNS, *figures, "began", "ended"} & set(spec.space.distributions)
    if taken:
        raise UsageError(f"{file}: space.{min(taken)}: is the name of a figure of every trial; choose another")


def _check_int8_runtime(spec: StudySpec, file: Path) -> None:
    """Check that what runs int8 models is installed; a trial would miss it only after its training."""
    internal = spec.space.distributions.get("internal")
    wanted = isinstance(internal, Choice) and Internal.POST_QUANTIZATION in internal.values
    if wanted and not spec.space.own and find_spec("ai_edge_litert") is None:
        raise UsageError(
            f"{file}: space.internal: post_quantization needs ai-edge-litert, which is not installed; "
            "install it, or leave the value out"
        )
