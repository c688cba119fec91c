"""Checks a study's sampler before the study starts, by letting it propose in a study in memory."""

import warnings
from collections.abc import Mapping
from typing import Any

import optuna

from greenopt.errors import UsageError
from greenopt.search.arguments import STARTUP
from greenopt.search.asking import suggest_all
from greenopt.search.samplers import build_sampler, build_with, entry_of, refused, sampler_arguments
from greenopt.search.search import as_optuna
from greenopt.spec import StudySpec

INVENTED_TRIALS = 3


def check_sampler(spec: StudySpec) -> None:
    """Check that the study's sampler can propose trials, also once it learns; nothing is written.

    Raises:
        UsageError: the name or an argument is unknown, or the sampler does not fit the study.
    """
    build_sampler(spec, 0)
    entry = entry_of(spec)
    # PyTorch takes seconds to import, and none of gp's arguments needs a trial to be judged.
    if entry.startup is None or "torch" in entry.modules:
        return
    arguments = sampler_arguments(spec)
    few = {STARTUP: min(1, arguments[STARTUP])} if STARTUP in arguments else {}
    try:
        _propose(spec, {**arguments, **few})
    except UsageError:
        raise
    except Exception as error:
        raise refused(spec, error) from None


def startup_note(spec: StudySpec) -> str | None:
    """Return a sentence where the study ends before its sampler has begun to learn; None where it does not."""
    startup = entry_of(spec).startup
    random_trials = sampler_arguments(spec).get(startup, 0) if startup is not None else 0
    if random_trials < spec.study.trials or startup is None or spec.sampler.prior is not None:
        return None
    return (
        f"sampler {spec.sampler.name}: draws all {spec.study.trials} trials at random, because it learns only after "
        f"{random_trials}; give more trials, or sampler.{startup} below {spec.study.trials}"
    )


def _propose(spec: StudySpec, arguments: Mapping[str, Any]) -> None:
    """Let the sampler learn from a few invented trials, and propose one."""
    distributions = {name: as_optuna(distribution) for name, distribution in spec.space.distributions.items()}
    objectives = len(spec.objectives)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.RandomSampler(seed=0)
        study = optuna.create_study(sampler=sampler, directions=["minimize"] * objectives)
        for number in range(INVENTED_TRIALS):
            trial = study.ask()
            suggest_all(trial, spec.space, distributions)
            study.tell(trial, [float(number)] * objectives)
        study.sampler = build_with(spec, entry_of(spec), INVENTED_TRIALS, arguments)
        suggest_all(study.ask(), spec.space, distributions)
    optuna.logging.set_verbosity(verbosity)
