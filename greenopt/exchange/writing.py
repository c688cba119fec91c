"""An imported study as a folder like any other: events, storage, study file.

Invariant: the folder appears whole or not at all; it is built beside its place and then renamed.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from greenopt.coordination.verdict import Verdict, trial_metrics
from greenopt.errors import UsageError
from greenopt.events import AttemptBegan, EpochEnded, Event, FailReason, Outcome, TrialStarted, encode
from greenopt.exchange.imported import Import, ImportedTrial
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE, new_id
from greenopt.runs.folder import RunFolder
from greenopt.search import FinishedTrial, create_finished, open_storage
from greenopt.spec import StudySpec, inert_parameters
from greenopt.storage.url import without_password
from greenopt.summary import summarise


def _in_silence(_: int) -> None:
    """Report no progress."""


def write_import(
    imported: Import, runs: Path, storage: str | None = None, tell: Callable[[int], None] = _in_silence
) -> Path:
    """Write a study's folder and storage.

    Args:
        imported: what was read.
        runs: the folder that holds the studies' results.
        storage: URL of the storage; SQLite in the study's folder unless given.
        tell: called with the number of trials that are written, after each.

    Returns:
        The study's folder.

    Raises:
        UsageError: there is such a study already, or the folder cannot be written.
    """
    target = RunFolder(runs / imported.spec.name)
    if target.path.exists():
        raise UsageError(f"{target.path}: exists already; give the import another name with --name")
    made = [path for path in (runs, *runs.parents) if not path.exists()]
    try:
        runs.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".import-", dir=runs))
    except OSError as error:
        raise UsageError(f"{runs}: cannot be written: {error.strerror}") from None
    try:
        folder = RunFolder(scratch / imported.spec.name)
        folder.path.mkdir()
        study_id = new_id()
        written = _written(imported, folder, tell, study_id)
        create_finished(imported.spec, open_storage(storage or folder.default_storage), written, study_id)
        kept = without_password(storage or folder.default_storage)
        folder.write_study(imported.spec.model_dump(mode="json"), kept, study_id=study_id)
        folder.path.rename(target.path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for path in made:
            # What was made for a study that came to nothing, and is empty.
            with suppress(OSError):
                path.rmdir()
    return target.path


def _written(
    imported: Import, folder: RunFolder, tell: Callable[[int], None], study_id: str
) -> Iterator[FinishedTrial]:
    """Write each trial's events and yield it for the storage."""
    run_id = new_id()
    for number, trial in enumerate(imported.trials):
        head = AttemptBegan(study_id=study_id, run_id=run_id, attempt_id=new_id(), trial=number)
        events = [head, *(_numbered(event, number) for event in trial.events)]
        folder.trial(number).mkdir(parents=True)
        folder.events(number).write_bytes(b"".join(encode(event) for event in events))
        yield _finished(trial, events, imported.spec, head.attempt_id)
        tell(number + 1)


def _numbered(event: Event, number: int) -> Event:
    return event.model_copy(update={"trial": number}) if isinstance(event, TrialStarted) else event


def _finished(trial: ImportedTrial, events: list[Event], spec: StudySpec, attempt_id: str) -> FinishedTrial:
    metrics = {**trial_metrics(summarise(events), trial.verdict, None), "inert": _inert(trial, spec), "run": trial.run}
    if not any(isinstance(event, EpochEnded) for event in events):
        # A table says nothing of epochs unless it has a column of them: that is not known, and not 0.
        metrics["epochs_done"] = None
    metrics.update({name: value for name, value in trial.metrics.items() if value is not None})
    metrics[ATTEMPT_ATTRIBUTE] = attempt_id
    verdict, values = trial.verdict, None
    if verdict.outcome is Outcome.COMPLETED:
        missing = [str(metric) for metric in spec.objectives if metrics.get(metric) is None]
        values = None if missing else tuple(float(metrics[metric]) for metric in spec.objectives)
        if missing:
            verdict = Verdict(Outcome.FAILED, FailReason.NOT_MEASURED, f"{', '.join(missing)} not measured")
            metrics.update({"fail_reason": str(verdict.reason), "message": verdict.message})
    return FinishedTrial(trial.values, verdict.outcome, metrics, values, trial.began, trial.ended)


def _inert(trial: ImportedTrial, spec: StudySpec) -> str | None:
    if spec.space.own:
        return None
    inert = inert_parameters(
        spec.setting_of(trial.values),
        spec.training_of(trial.values),
        further=spec.further,
        left_out=spec.space.left_out(trial.values),
    )
    return " ".join(inert) or None
