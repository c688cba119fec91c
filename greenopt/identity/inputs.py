"""The inputs of a study, its code and its data, by fingerprints: those of now against those that trials ran with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from greenopt.cache_folder import cache_folder
from greenopt.errors import UsageError
from greenopt.identity.digests import DIGESTS_FILE, DataDigests, code_digest, combined
from greenopt.identity.sources import local_sources
from greenopt.spec import MODEL_NAMES, Choice, DataSet, DataSpec, StudySpec
from greenopt.trial.data.files import ARCHIVES, locate_archive
from greenopt.trial.data.hub import hub_files, locate_hub
from greenopt.trial.data.keras_sets import KERAS_SETS
from greenopt.trial.failures import DataMissingError, WrongSettingError

CODE_ATTRIBUTE, DATA_ATTRIBUTE = "code_id", "data_id"
"""The trial's attributes that tell code and data apart; equal where both were equal."""


@dataclass(frozen=True)
class Inputs:
    """Fingerprints of what a study's trials are made of.

    Attributes:
        code: module -> digest of its source; empty where greenopt's own training runs a model of Keras.
        data: name of the data set -> digest of its contents, and that of a file of `weights`; empty where images are
            generated or the function's own.
    """

    code: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_kept(cls, kept: Any) -> Self | None:
        """Return the fingerprints that a storage holds; None of a study from before there were any."""
        return cls(dict(kept["code"]), dict(kept["data"])) if isinstance(kept, dict) else None

    @property
    def kept(self) -> dict[str, dict[str, str]]:
        """The fingerprints as a storage holds them."""
        return {"code": dict(self.code), "data": dict(self.data)}

    @property
    def marks(self) -> dict[str, str | None]:
        """What each trial keeps of them."""
        return {
            CODE_ATTRIBUTE: combined(iter(self.code.items())) if self.code else None,
            DATA_ATTRIBUTE: combined(iter(self.data.items())) if self.data else None,
        }

    def changes_since(self, before: "Inputs") -> list[str]:
        """Return what differs from earlier inputs, each in words."""
        code = [f"module {name} {_how(name, before.code, self.code)}" for name in _differing(before.code, self.code)]
        both = before.data and self.data
        return code + [
            f"data {name} {_how(name, before.data, self.data)}" for name in _differing(before.data, self.data) if both
        ]


class InputReader:
    """Takes the fingerprints of a study's inputs, as often as asked."""

    def __init__(self, spec: StudySpec, digests: DataDigests | None = None) -> None:
        """Read nothing yet; `digests` keeps those of data, in greenopt's cache folder unless given."""
        self._spec = spec
        folder = cache_folder()
        self._digests = digests or DataDigests(folder / DIGESTS_FILE if folder is not None else None)

    def read(self) -> Inputs:
        """Return the fingerprints of now."""
        modules = [reference.partition(":")[0] for reference in studied_references(self._spec).values()]
        found = (local_sources(module, self._spec.modules_folder) for module in dict.fromkeys(modules))
        sources = {source.module: source for listed in found for source in listed}.values()
        return Inputs({source.module: code_digest(source.file) for source in sources}, self._data())

    def _data(self) -> dict[str, str]:
        return {**self._images(), **self._weights()}

    def _weights(self) -> dict[str, str]:
        """Return the digest of the file of weights that trainings begin with; those of ImageNet Keras checks itself."""
        weights = self._spec.training.weights
        if weights is None or weights == "imagenet":
            return {}
        digest = self._digests.of(Path(weights).expanduser())
        return {"weights": digest} if digest is not None else {}

    def _images(self) -> dict[str, str]:
        data = self._spec.data
        if data is None or data.name in (DataSet.DIGITS, DataSet.SYNTHETIC):
            return {}
        if data.name in ARCHIVES:
            path = locate_archive(data)
            # An archive is checked against its published digest before it is used, and so is what is downloaded.
            is_published = path is None or path.is_file()
            digest = ARCHIVES[data.name].sha256 if is_published else self._digests.of(Path(str(path)))
        elif data.name in KERAS_SETS:
            # Every file is checked against its published digest before it is used.
            digest = combined((file.name, file.sha256) for file in KERAS_SETS[data.name].files)
        elif data.name.is_hub:
            digest = self._hub(data)
        elif data.name is DataSet.FOLDER:
            digest = self._folder(Path(str(data.path)).expanduser())
        else:
            digest = self._digests.of(Path(str(data.path)).expanduser())
        return {str(data.name): digest} if digest is not None else {}

    def _hub(self, data: DataSpec) -> str | None:
        """Return the digest of a data set as its library has prepared it; None where it is not there."""
        try:
            found = locate_hub(data)
        except (DataMissingError, WrongSettingError):
            return None
        return self._digests.of_files(found, hub_files(found)) if found is not None else None

    def _folder(self, path: Path) -> str | None:
        """Return the digest of the images in a folder; None where there are none, as `check_data` says."""
        from greenopt.trial.data.folder import list_folder

        try:
            return self._digests.of_files(path, list_folder(path).files)
        except (DataMissingError, WrongSettingError):
            return None


class InputGuard:
    """Compares the inputs of now with those that a study's trials ran with, at its start and before each trial.

    Attributes:
        inputs: those that trials run with, as far as known or accepted.
    """

    def __init__(self, reader: InputReader, before: Inputs | None, *, accepts: bool) -> None:
        """Take the first fingerprints.

        Args:
            reader: takes them.
            before: the inputs of the trials that are there; None where none are known.
            accepts: whether changes are accepted, and then told apart by the trials' marks.

        Raises:
            UsageError: they changed and that was not accepted; one line that names what changed.
        """
        self._reader, self._accepts = reader, accepts
        self._keep: Callable[[Inputs], None] = lambda _: None
        self.inputs = reader.read()
        changes = self.inputs.changes_since(before) if before is not None else []
        if changes and not accepts:
            raise UsageError(f"{_listed(changes)}; put it back, take another --name, or go on with --accept-changes")

    def keep_by(self, keep: Callable[[Inputs], None]) -> None:
        """Have the inputs kept, now and whenever a change is accepted."""
        self._keep = keep
        keep(self.inputs)

    @property
    def marks(self) -> dict[str, str | None]:
        """What a trial that starts now keeps of them."""
        return self.inputs.marks

    def change(self) -> str | None:
        """Return what changed since the last look and was not accepted, in words; None where trials may start."""
        now = self._reader.read()
        changes = now.changes_since(self.inputs)
        if changes and not self._accepts:
            return _listed(changes)
        self.inputs = now
        if changes:
            self._keep(now)
        return None


def check_inputs(spec: StudySpec, row: Mapping[str, Any], trial: int) -> None:
    """Check that code and data are those that a trial ran with, so that it can be trained again.

    Args:
        spec: what would be trained.
        row: the trial, as the storage has it; one from before there were fingerprints is not checked.
        trial: its number.

    Raises:
        UsageError: they changed; one line.
    """
    now = InputReader(spec).read().marks
    for name, what in ((CODE_ATTRIBUTE, "code"), (DATA_ATTRIBUTE, "data")):
        if row.get(name) is not None and now[name] is not None and row[name] != now[name]:
            raise UsageError(f"the {what} changed since trial {trial} ran; put it back, or go on with --accept-changes")


def studied_references(spec: StudySpec) -> dict[str, str]:
    """Return the user's functions that trials call, `module:name`, by the key of the study that names them."""
    varied = spec.space.distributions["model"] if "model" in spec.varied else None
    models = {"training.model": spec.training.model}
    if isinstance(varied, Choice):
        models = {f"space.model[{at}]": str(model) for at, model in enumerate(varied.values)}
    found = {key: model for key, model in models.items() if model not in MODEL_NAMES}
    if spec.study.objective is not None:
        found = {"study.objective": spec.study.objective}
    return found | {f"training.callbacks[{at}]": each for at, each in enumerate(spec.training.callbacks)}


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]


def _how(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    if name not in before:
        return "is new"
    return "changed" if name in now else "is gone"


def _listed(changes: list[str]) -> str:
    more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
    return f"{changes[0]}{more} since this study's trials ran"
