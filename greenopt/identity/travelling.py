"""What of a study must travel to other machines: the user's modules and data, as far as they are files here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from greenopt.cache_folder import cache_folder
from greenopt.execution.travel import Parcel, module_files
from greenopt.identity.digests import DIGESTS_FILE, DataDigests
from greenopt.identity.inputs import studied_references
from greenopt.spec import StudySpec


@dataclass(frozen=True)
class Luggage:
    """What travels.

    Attributes:
        modules: dotted names of the modules of the study's functions.
        modules_folder: where modules are looked for first; None for where Python does.
        parcels: data and weights.
    """

    modules: tuple[str, ...]
    modules_folder: str | None
    parcels: tuple[Parcel, ...]

    def code(self) -> Mapping[str, bytes]:
        """Return the modules as they are now, by their paths.

        Raises:
            OSError: one cannot be read.
        """
        return module_files(self.modules, self.modules_folder)


def luggage_of(spec: StudySpec) -> Luggage:
    """Return what of a study travels; data sets that are known by a name each machine has, or gets, itself."""
    folder = cache_folder()
    digests = DataDigests(folder / DIGESTS_FILE if folder is not None else None)
    weights = spec.training.weights
    paths = [spec.data.path if spec.data is not None else None, None if weights == "imagenet" else weights]
    found = [(path, digests.of(Path(path).expanduser())) for path in paths if path is not None]
    modules = dict.fromkeys(reference.partition(":")[0] for reference in studied_references(spec).values())
    parcels = tuple(Parcel(path, digest) for path, digest in found if digest is not None)
    return Luggage(tuple(modules), spec.modules_folder, parcels)
