"""Samplers by name: the registry, the check against a study, and building one for the next trial.

Invariant: what is proposed for trial n depends on the study's seed, on n and on the trials before it, never on how
often the study was interrupted. A sampler is therefore built anew for each trial; one that keeps no state of its own
gets a seed derived from (seed, n).
"""

import difflib
import hashlib
import importlib.util
import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna

from greenopt.errors import UsageError
from greenopt.search.arguments import STARTUP, check_argument, offered, plain_parameters, shown
from greenopt.search.energy_aware import EnergyAwareSampler
from greenopt.search.evidence import weighs_accuracy_for_energy
from greenopt.search.exhaustive import ExhaustiveSampler, Places
from greenopt.spec import Choice, StudySpec


@dataclass(frozen=True)
class SamplerEntry:
    """What has to be known of a sampler to use it in any study.

    Attributes:
        class_name: its class in `optuna.samplers`.
        several_objectives: whether it can optimise more than one.
        derived_seed: whether each trial gets a seed of its own; False where one sequence spans the study.
        modules: modules that it imports when first used.
        extra: the extra of greenopt that installs them.
        defaults: arguments that differ from Optuna's, because they are better here.
        startup: the argument that says how many trials are random before it learns from them.
        visits_each_once: whether it proposes every setting of a finite space once; greenopt's own class does that.
        is_energy_aware: whether it is greenopt's own that weighs expected gain against forecast energy.
    """

    class_name: str
    several_objectives: bool = True
    derived_seed: bool = True
    modules: tuple[str, ...] = ()
    extra: str | None = None
    defaults: dict[str, Any] = field(default_factory=dict)
    startup: str | None = None
    visits_each_once: bool = False
    is_energy_aware: bool = False

    @property
    def is_own(self) -> bool:
        """Whether its class is greenopt's."""
        return self.visits_each_once or self.is_energy_aware


# Without it they log a line for each value that another sampler has to draw for them, such as those of first trials.
_QUIET = {"warn_independent_sampling": False}

SAMPLERS: dict[str, SamplerEntry] = {
    "random": SamplerEntry("RandomSampler"),
    # Multivariate: an ask cost 97 ms against 816 ms at 10,000 trials of ten categorical parameters (Optuna 5.0).
    "tpe": SamplerEntry("TPESampler", defaults={"multivariate": True}, startup=STARTUP),
    "nsga2": SamplerEntry("NSGAIISampler", startup="population_size"),
    "nsga3": SamplerEntry("NSGAIIISampler", startup="population_size"),
    "energy_aware": SamplerEntry("EnergyAwareSampler", startup=STARTUP, is_energy_aware=True),
    "gp": SamplerEntry("GPSampler", modules=("torch", "scipy"), extra="gp", defaults=_QUIET, startup=STARTUP),
    "qmc": SamplerEntry("QMCSampler", derived_seed=False, defaults=_QUIET),
    "cmaes": SamplerEntry(
        "CmaEsSampler",
        several_objectives=False,
        derived_seed=False,
        modules=("cmaes",),
        extra="cmaes",
        defaults=_QUIET,
        startup=STARTUP,
    ),
    "grid": SamplerEntry("GridSampler", visits_each_once=True),
    "brute_force": SamplerEntry("BruteForceSampler", visits_each_once=True),
}

ADAPTIVE = tuple(name for name, entry in SAMPLERS.items() if entry.startup is not None)
"""Samplers that learn from the trials, so that what they propose drifts."""

_OURS = ("spec", "seed", "settings", "search_space", "independent_sampler")


def build_sampler(spec: StudySpec, trial: int, places: Places | None = None) -> optuna.samplers.BaseSampler:
    """Build the study's sampler, ready to propose a trial.

    Args:
        spec: the study.
        trial: number of the trial that will be asked for.
        places: of the trials' settings, for a sampler that visits each setting once.

    Raises:
        UsageError: the name or an argument is unknown, or the sampler does not fit the study.
    """
    entry = entry_of(spec)
    arguments = sampler_arguments(spec)
    if entry.visits_each_once:
        _check_countable(spec)
        return build_untried(spec, trial, places)
    return build_with(spec, entry, trial, arguments)


def build_untried(spec: StudySpec, trial: int, places: Places | None = None) -> optuna.samplers.BaseSampler:
    """Build what proposes a setting that no trial has had, whatever the study's sampler is. See `build_sampler`."""
    seed = derived_seed(spec.seeds.sampler, trial)
    # Of infinitely many, one that is drawn at random is a new one.
    if math.isinf(spec.space.size):
        return optuna.samplers.RandomSampler(seed)
    return ExhaustiveSampler(spec.space, seed, places)


def sampler_arguments(spec: StudySpec) -> dict[str, Any]:
    """Every argument of the study's sampler but its seed, defaults included, for the record.

    Raises:
        UsageError: the name or an argument is unknown, or the sampler does not fit the study.
    """
    entry = entry_of(spec)
    known = {} if entry.visits_each_once else plain_parameters(_class_of(entry), _OURS)
    for name, value in spec.sampler.arguments.items():
        if name not in known:
            what = f"sampler.{shown(name)[1:-1]}: {shown(value)}: unknown argument of {spec.sampler.name}"
            raise UsageError(f"{what}; it takes {offered(known)}")
        check_argument(spec.sampler.name, name, value, known[name])
    plain = {name: p.default for name, p in known.items() if isinstance(p.default, bool | int | float | str)}
    return {**plain, **entry.defaults, **spec.sampler.arguments}


def _class_of(entry: SamplerEntry) -> type:
    found: type = EnergyAwareSampler if entry.is_energy_aware else getattr(optuna.samplers, entry.class_name)
    return found


def visits_each_once(spec: StudySpec) -> bool:
    """Return whether the study's sampler proposes every setting once, and then has no more."""
    return entry_of(spec).visits_each_once


def derived_seed(seed: int, trial: int) -> int:
    """Derive a seed below 2**32 from two numbers and nothing else."""
    digest = hashlib.sha256(f"{seed}/{trial}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def build_with(
    spec: StudySpec, entry: SamplerEntry, trial: int, arguments: Mapping[str, Any]
) -> optuna.samplers.BaseSampler:
    """Build Optuna's sampler with these arguments; see `build_sampler`."""
    own_seed = derived_seed(spec.seeds.sampler, trial)
    if entry.is_energy_aware:
        return EnergyAwareSampler(spec, own_seed, **arguments)
    if spec.space.conditions and spec.sampler.name == "qmc":
        # It takes conditions, and warns of them with each trial while none has ended.
        logging.getLogger("optuna.samplers._qmc").setLevel(logging.ERROR)
    arguments = {**arguments, "seed": own_seed if entry.derived_seed else spec.seeds.sampler}
    if not entry.derived_seed:
        # What it does not propose itself would be the same in each trial, were it drawn with the study's one seed.
        arguments["independent_sampler"] = optuna.samplers.RandomSampler(seed=own_seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Of arguments that a later Optuna will not take; the study is none the worse for them.
            warnings.simplefilter("ignore", FutureWarning)
            sampler: optuna.samplers.BaseSampler = getattr(optuna.samplers, entry.class_name)(**arguments)
    except Exception as error:
        raise refused(spec, error) from None
    return sampler


def entry_of(spec: StudySpec) -> SamplerEntry:
    """Return the entry of a study's sampler; raises UsageError where there is none that fits the study."""
    name = spec.sampler.name
    entry = SAMPLERS.get(name)
    if entry is None:
        close = difflib.get_close_matches(name, list(SAMPLERS), n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(SAMPLERS)}"
        raise UsageError(f"sampler.name: {shown(name)}: unknown sampler; {hint}")
    if len(spec.objectives) > 1 and not entry.several_objectives:
        fitting = ", ".join(other for other, e in SAMPLERS.items() if e.several_objectives)
        raise UsageError(
            f"sampler.name: {name!r}: optimises one objective and this study has {len(spec.objectives)}; "
            f"give one objective or take one of {fitting}"
        )
    if entry.is_energy_aware and not weighs_accuracy_for_energy(spec):
        raise UsageError(
            f"sampler.name: {name!r}: weighs accuracy against energy; the study needs accuracy to maximize and one of "
            "energy_wh, total_wh, wh_per_epoch to minimize for its objectives, and no other"
        )
    missing = [module for module in entry.modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"sampler.name: {name!r}: needs {', '.join(missing)}, not installed; pip install 'greenopt[{entry.extra}]'"
        )
    return entry


def _check_countable(spec: StudySpec) -> None:
    """Raise UsageError where a sampler that visits each setting once would never end."""
    name = spec.sampler.name
    for parameter, distribution in spec.space.distributions.items():
        if name == "grid" and not isinstance(distribution, Choice):
            raise UsageError(f"space.{parameter}: a grid needs a list of values, not a range; or take brute_force")
        if math.isinf(distribution.size):
            raise UsageError(f"space.{parameter}: {name} needs a list of values, whole numbers, or a range with a step")


def refused(spec: StudySpec, error: Exception) -> UsageError:
    """Return the error to raise where a sampler fails with its arguments."""
    given = ", ".join(f"{name} = {shown(value)}" for name, value in spec.sampler.arguments.items()) or "these arguments"
    why = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UsageError(f"sampler: {spec.sampler.name} does not take {given}: {why}")
