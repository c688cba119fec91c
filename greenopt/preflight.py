"""Everything that can be checked before a study starts, so that bad input costs nothing."""

from pathlib import Path

from greenopt.errors import UsageError
from greenopt.footprint import Footprint
from greenopt.search import build_sampler
from greenopt.spec import StudySpec
from greenopt.trial.data_files import check_data


def check_study(spec: StudySpec, file: Path) -> None:
    """Check what a study needs beyond its file.

    Args:
        spec: the study.
        file: where it was read, for messages.

    Raises:
        UsageError: the sampler does not fit or the data are not there; one line that starts with the file.
    """
    try:
        build_sampler(spec, 0)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    try:
        Footprint.of(spec.energy)
    except UsageError as error:
        raise UsageError(f"{file}: energy.{error}") from None
    problem = check_data(spec.data)
    if problem is not None:
        raise UsageError(f"{file}: data.name: {problem}")
