"""The whole specification of a trial, from its study's and its setting."""

from pathlib import Path

from greenopt.execution import Slot
from greenopt.search import Proposal
from greenopt.spec import PARAMETERS, OnDuplicate, StudySpec, TrialSpec


def build_trial_spec(study: StudySpec, proposal: Proposal, slot: Slot, folder: Path) -> TrialSpec:
    """Return the whole specification of a trial.

    Args:
        study: its study.
        proposal: its setting. A replicate gets its own training seed.
        slot: where it runs.
        folder: its results, where its model is kept if the study keeps models.
    """
    replicates = study.study.on_duplicate is OnDuplicate.REPLICATE
    offset = proposal.repetition if replicates else 0
    kept = () if study.space.own else (*PARAMETERS, *study.varied)
    return TrialSpec(
        study=study.name,
        trial=proposal.trial,
        objective=study.study.objective,
        setting=None if study.space.own else study.setting_of(proposal.values),
        parameters={name: value for name, value in proposal.values.items() if name not in kept},
        varied={name: proposal.values[name] for name in study.varied if name in proposal.values},
        left_out=study.space.left_out(proposal.values),
        objectives=tuple(study.objectives),
        ranges=study.ranges,
        data=study.data_of(proposal.values),
        training=study.training_of(proposal.values),
        energy=study.energy,
        split_seed=study.seeds.split,
        training_seed=(study.seeds.training + offset) % 2**31,
        modules_folder=study.modules_folder,
        gpu_uuid=slot.gpu_uuid,
        share_gpu=slot.is_shared,
        model_folder=str(folder.resolve()) if study.training.keep_model else None,
        retry_of=proposal.retry_of,
        replicate_of=proposal.same_as[0] if replicates and proposal.same_as else None,
    )
