"""Checks before a study starts, so that bad input costs nothing."""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from greenopt.coordination.image_checks import image_problem
from greenopt.coordination.image_room import room_note, room_problem
from greenopt.coordination.verdict import Verdict, trial_metrics
from greenopt.energy.footprint import Footprint
from greenopt.errors import GreenoptError, ProblemsError, UsageError
from greenopt.events import Outcome
from greenopt.identity.definitions import Call, definition_problem
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.identity.inputs import CODE_ATTRIBUTE, DATA_ATTRIBUTE, studied_references
from greenopt.identity.sources import is_there
from greenopt.runs.folder import RunFolder
from greenopt.search import check_sampler, check_url
from greenopt.spec import Choice, DataSet, Internal, Metric, StudySpec
from greenopt.storage.rows import COLUMNS
from greenopt.summary import summarise
from greenopt.trial.data.files import check_data, download_note, weights_note, weights_problem
from greenopt.trial.data.hub import fetch_hub
from greenopt.trial.failures import DataMissingError


def check_study(spec: StudySpec, file: Path) -> None:
    """Check what a study needs beyond its file.

    Args:
        spec: the study.
        file: where it was read, for messages.

    Raises:
        UsageError: the sampler does not fit, the data are not there or cannot be used, or what runs int8 models is not
            installed; a line for each, which starts with the file.
    """
    problems: list[str] = []
    for check in (
        _check_sampler,
        _check_electricity,
        _check_modules,
        _check_names,
        _check_int8_runtime,
        _check_weights,
        _check_data,
    ):
        try:
            check(spec, file)
        except ProblemsError as error:
            problems += error.problems
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise ProblemsError(problems)


MIN_FREE_BYTES = 100_000_000
"""Room for the results of a small study; what trials keep of models comes on top."""


def check_places(folder: RunFolder, storage: str | None) -> None:
    """Check that a study could be written: its storage answers, its folder can be made, its disk has room.

    Args:
        folder: its results, which need not exist.
        storage: URL of its storage; that of the folder unless given.

    Raises:
        UsageError: a line for each thing that keeps it from being written; nothing was written.
    """
    problems: list[str] = []
    try:
        if storage is not None:
            check_url(storage)
    except UsageError as error:
        problems.append(str(error))
    place = next(path for path in (folder.path, *folder.path.parents) if path.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        problems.append(f"{folder.path}: cannot be written: folder {place} is not yours to write to")
    free_bytes = shutil.disk_usage(place).free
    if free_bytes < MIN_FREE_BYTES:
        problems.append(f"{folder.path}: {free_bytes / 1e6:.0f} MB are free on its disk; make room, at least 100 MB")
    if problems:
        raise ProblemsError(problems)


def _check_sampler(spec: StudySpec, file: Path) -> None:
    try:
        check_sampler(spec)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None


def _check_electricity(spec: StudySpec, file: Path) -> None:
    try:
        Footprint.from_spec(spec.energy)
    except UsageError as error:
        raise UsageError(f"{file}: energy.{error}") from None


def _check_data(spec: StudySpec, file: Path) -> None:
    if spec.data is None:
        return
    problem = check_data(spec.data)
    if problem is not None:
        where = "; data.path is relative to the study file, then to this folder" if _is_relative(spec) else ""
        key = "path" if spec.data.name.is_own and spec.data.path is not None else "name"
        raise UsageError(f"{file}: data.{key}: {problem}{where}")
    for problem in (image_problem(spec), room_problem(spec)):
        if problem is not None:
            raise UsageError(f"{file}: {problem}")


def fetch_inputs(spec: StudySpec, say: Callable[[str], None] = lambda _: None) -> None:
    """Bring the images of another library that are not on this machine, prepare them, and check them.

    Args:
        spec: a checked study.
        say: told what is downloaded, before it is.

    Raises:
        UsageError: they cannot be had, or are not enough for every setting; one line.
    """
    if spec.data is None or not spec.data.name.is_hub:
        return
    if (note := download_note(spec.data)) is not None:
        say(f"note: {note}")
    try:
        fetch_hub(spec.data)
    except DataMissingError as error:
        raise UsageError(f"data: {error}") from None
    if (problem := image_problem(spec)) is not None:
        raise UsageError(problem)


def input_notes(spec: StudySpec) -> list[str]:
    """Return what the user should know of a checked study before it starts: downloads, and files left out."""
    if spec.data is None:
        return []
    notes = [download_note(spec.data), room_note(spec)]
    if spec.data.name is DataSet.FOLDER:
        from greenopt.trial.data.folder import list_folder, named

        path = Path(str(spec.data.path)).expanduser()
        left_out = list_folder(path).left_out
        if left_out:
            notes.append(f"{path}: left out, as no images of a class: {named(left_out)}")
    if spec.training.weights == "imagenet":
        notes.append(weights_note(spec.training.model, spec.data.image_size))
    return [note for note in notes if note is not None]


def _is_relative(spec: StudySpec) -> bool:
    path = spec.data.path if spec.data is not None else None
    return path is not None and not Path(path).expanduser().is_absolute()


def _check_modules(spec: StudySpec, file: Path) -> None:
    """Check that the modules of the study's functions are there and define them, without importing them."""
    problems = [
        f"{file}: {key}: {reference}: {problem}"
        for key, reference in studied_references(spec).items()
        if (problem := _module_problem(reference, spec.modules_folder, file, _call(key, spec))) is not None
    ]
    if problems:
        raise ProblemsError(problems)


def _call(key: str, spec: StudySpec) -> Call | None:
    """Return how the function that a key of the study names is called; None of one without further parameters."""
    if key == "study.objective":
        return Call(["the trial"], [], "and is called with the trial alone; trial.params holds the parameters")
    if key.startswith("training.callbacks"):
        return None
    passed_on = [name for name in spec.further if name not in spec.varied]
    return Call(["input_shape", "classes"], passed_on, "which has no default and is no parameter of [space]")


def _module_problem(reference: str, folder: str | None, file: Path, call: Call | None) -> str | None:
    module, _, name = reference.partition(":")
    if is_there(module, folder):
        return definition_problem(module, name, folder, call)
    places = " or ".join(str(place) for place in dict.fromkeys((file.parent.resolve(), Path.cwd())))
    return f"there is no module {module} in {places}, and none installed"


def _check_names(spec: StudySpec, file: Path) -> None:
    """Check that no parameter of an objective function has the name of a figure, and no figure of its own one's."""
    if spec.study.objective is None:
        return
    metrics = trial_metrics(summarise(()), Verdict(Outcome.COMPLETED), None)
    marks = ("excluded", "retried", ATTEMPT_ATTRIBUTE, CODE_ATTRIBUTE, DATA_ATTRIBUTE)
    taken = {*COLUMNS, *metrics, *marks, "began", "ended"} & set(spec.space.distributions)
    if taken:
        raise UsageError(f"{file}: space.{min(taken)}: is also the name of a trial metric; choose another")
    own = {str(name) for name in spec.objectives if not isinstance(name, Metric)}
    if wrong := own & {*COLUMNS, *metrics, *marks, "began", "ended"}:
        raise UsageError(f"{file}: objectives.{min(wrong)}: is a figure that cannot be optimised; choose another name")
    if wrong := own & set(spec.space.distributions):
        raise UsageError(f"{file}: objectives.{min(wrong)}: is also a parameter of [space]; choose another name")


def _check_weights(spec: StudySpec, file: Path) -> None:
    """Check that a file of weights is there and is one that is read; whether it fits the model a trial tells."""
    weights, data = spec.training.weights, spec.data
    if weights is None or data is None:
        return
    if weights == "imagenet":
        problem = weights_problem(spec.training.model, data.image_size, is_any_side=data.name.is_own)
        if problem is not None:
            raise UsageError(f"{file}: training.weights: {problem}")
        return
    # Brings h5py, which no other study needs before it starts.
    from greenopt.trial.model.weights_file import check_weights_file

    try:
        check_weights_file(Path(weights).expanduser())
    except GreenoptError as error:
        is_relative = not Path(weights).expanduser().is_absolute()
        where = "; it is relative to the study file, then to this folder" if is_relative else ""
        raise UsageError(f"{file}: training.weights: {error}{where}") from None


def _check_int8_runtime(spec: StudySpec, file: Path) -> None:
    """Check that what runs int8 models is installed; a trial would miss it only after its training."""
    internal = spec.space.distributions.get("internal")
    wanted = isinstance(internal, Choice) and Internal.POST_QUANTIZATION in internal.values
    if wanted and not spec.space.own and find_spec("ai_edge_litert") is None:
        raise UsageError(
            f"{file}: space.internal: post_quantization needs ai-edge-litert, which is not installed; "
            "install it, or leave the value out"
        )
