"""The study that confirms a trial: its setting alone, trained with several seeds that the first study never used."""

from typing import Any

from pydantic import ValidationError

from greenopt.confirmation.pick import Picked
from greenopt.errors import UsageError
from greenopt.spec import Choice, Confirms, OnDuplicate, SamplerSpec, StoppingSpec, StudySpec, describe

SEED_DISTANCE = 10_000
"""From the training seed of a study to the first one of its confirmation: beyond what replicates have used."""


def confirming_study(study: StudySpec, picked: Picked, epochs: int, seeds: int, name: str | None = None) -> StudySpec:
    """Return the study that trains a trial's setting again on the same split and keeps the models.

    Args:
        study: the study whose trial is confirmed.
        picked: the trial.
        epochs: of each training; its time limit grows with them.
        seeds: number of trainings, each with a training seed of its own.
        name: of the new study; `STUDY-confirm-TRIAL` unless given.

    Raises:
        UsageError: that is no valid study.
    """
    try:
        return StudySpec.model_validate(_changed(study, picked, epochs, seeds, name))
    except ValidationError as error:
        raise UsageError(f"confirming trial {picked.trial} of {study.name}: {describe(error)}") from None


def _changed(study: StudySpec, picked: Picked, epochs: int, seeds: int, name: str | None) -> dict[str, Any]:
    return {
        **study.model_dump(),
        "study": {**dict(study.study), **_study_table(study, picked, seeds, name)},
        "sampler": SamplerSpec(name="random").model_dump(),
        # Trainings that are to be averaged all go to their end.
        "stopping": StoppingSpec(chance_epochs=0).model_dump(),
        "training": {**study.training.model_dump(), **_training(study, picked, epochs)},
        "space": {"own": study.space.own, "distributions": _setting(study, picked, epochs)},
    }


def _study_table(study: StudySpec, picked: Picked, seeds: int, name: str | None) -> dict[str, Any]:
    return {
        "name": name or f"{study.name}-confirm-{picked.trial}",
        "description": f"Trial {picked.trial} of {study.name} again",
        "trials": seeds,
        "split_seed": study.seeds.split,
        "training_seed": (study.seeds.training + SEED_DISTANCE) % 2**31,
        "baseline": False,
        "enqueue": (),
        "on_duplicate": OnDuplicate.REPLICATE,
        "confirms": Confirms(study=study.name, trial=picked.trial, by=picked.asked),
    }


def _training(study: StudySpec, picked: Picked, epochs: int) -> dict[str, Any]:
    limit_s = study.training.time_limit_s
    longer = max(1.0, epochs / study.epochs_of(picked.row))
    return {"epochs": epochs, "keep_model": not study.space.own, "time_limit_s": limit_s and limit_s * longer}


def _setting(study: StudySpec, picked: Picked, epochs: int) -> dict[str, Choice]:
    values = study.space.trimmed(picked.row)
    values |= {"epochs": epochs} if "epochs" in study.varied else {}
    return {name: Choice(values=(value,)) for name, value in values.items()}
