"""What makes figures of several studies incomparable, as sentences."""

from collections.abc import Callable, Sequence

from greenopt.comparison.read import ComparedStudy
from greenopt.formatting import sentence
from greenopt.reading import EnergySource

_ENERGY, _BOTH, _ACCURACY = "energies do not compare", "figures do not compare", "accuracies do not compare"
_UNSAID = "not recorded"
_IMPRECISE = (EnergySource.ESTIMATE, EnergySource.NVIDIA_SMI_SNAPSHOT, EnergySource.UNKNOWN)


def find_cautions(studies: Sequence[ComparedStudy], energy: str | None) -> tuple[str, ...]:
    """Return sentences on how studies differ in what their figures depend on, the gravest first.

    Args:
        studies: with their names, which the sentences use.
        energy: the column by which energies are compared; None where there is none in common.
    """
    having = [study for study in studies if len(study.complete)]
    none = [
        f"{study.name} has no completed trial: nothing of it is compared." for study in studies if study not in having
    ]
    found = [*none]
    if having and energy is None:
        found.append("No energy was measured in all of these studies: only accuracies are compared.")
    for what, consequence, values in _WHAT:
        found += _differ(having, what, consequence, values)
    found += [_imprecise(study) for study in having if set(study.values("energy_source")) & set(_IMPRECISE)]
    return tuple(dict.fromkeys(found))


def _differ(
    studies: Sequence[ComparedStudy], what: str, consequence: str, values: Callable[[ComparedStudy], Sequence[str]]
) -> list[str]:
    """Return a sentence where studies differ in something, or where some have not recorded it and others have."""
    by_study = {study.name: tuple(sorted(set(values(study)))) for study in studies}
    known = {name: each for name, each in by_study.items() if each}
    unknown = [name for name in by_study if name not in known]
    if len(set(known.values())) > 1 or any(len(each) > 1 for each in known.values()):
        told = "; ".join(f"{name}: {', '.join(each) or _UNSAID}" for name, each in by_study.items())
        return [f"Caution: {consequence}, for {what} differs ({told})."]
    if known and unknown:
        return [sentence(f"{what} is not recorded in {', '.join(unknown)}: it may differ from the others'")]
    return []


def _imprecise(study: ComparedStudy) -> str:
    meanings = {
        EnergySource.ESTIMATE: "estimates from CPU time, not measurements",
        EnergySource.NVIDIA_SMI_SNAPSHOT: "readings of nvidia-smi x time, which follow the time and hardly the power",
        EnergySource.UNKNOWN: "of a source that is not known",
    }
    found = [meanings[EnergySource(source)] for source in study.values("energy_source") if source in _IMPRECISE]
    return f"Energies of {study.name} are {' and '.join(found)}."


def _device(study: ComparedStudy) -> Sequence[str]:
    sources = set(study.values("energy_source"))
    on_cpu = {EnergySource.RAPL, EnergySource.ESTIMATE}
    kinds = ["GPU"] if sources - on_cpu - {EnergySource.UNKNOWN} else []
    return [*kinds, *(["CPU"] if sources & on_cpu else [])]


def _data(study: ComparedStudy) -> Sequence[str]:
    return [study.spec.data.label] if study.spec.data is not None else []


def _trained(study: ComparedStudy) -> Sequence[str]:
    return [study.spec.study.objective or study.spec.training.model]


def _epochs(study: ComparedStudy) -> Sequence[str]:
    done = study.complete["epochs_done"].dropna()
    return [f"{int(epochs)}" for epochs in done[done > 0].unique()] or [f"{study.spec.training.epochs}"]


def _split(study: ComparedStudy) -> Sequence[str]:
    return [] if study.values("run") or study.spec.study.objective else [f"{study.spec.seeds.split}"]


def _objectives(study: ComparedStudy) -> Sequence[str]:
    return [" and ".join(f"{way} {metric}" for metric, way in study.spec.objectives.items())]


def short_id(value: str) -> str:
    """Return the beginning of a fingerprint, enough to tell two apart."""
    return value[:12]


_WHAT: tuple[tuple[str, str, Callable[[ComparedStudy], Sequence[str]]], ...] = (
    ("the kind of device", _ENERGY, _device),
    ("the GPU", _ENERGY, lambda study: study.values("gpu_name") or study.environment.gpus),
    ("how energy was metered", _ENERGY, lambda study: study.values("energy_source")),
    ("the number of epochs", _BOTH, _epochs),
    ("the data set", _BOTH, _data),
    ("what was trained", _BOTH, _trained),
    ("the data (by fingerprint)", _BOTH, lambda study: [short_id(each) for each in study.values("data_id")]),
    ("the code (by fingerprint)", _BOTH, lambda study: [short_id(each) for each in study.values("code_id")]),
    ("the seed of the split", _ACCURACY, _split),
    ("the driver", _ENERGY, lambda study: study.environment.drivers),
    ("TensorFlow's version", _BOTH, lambda study: study.facts("tensorflow")),
    ("Keras' version", _BOTH, lambda study: study.facts("keras")),
    ("the goal of the search", "the searches do not compare", _objectives),
)
"""What, its consequence, and its values in a study; the gravest first."""
