"""How the study was done, and on what, so that somebody else can do it again."""

from collections.abc import Iterable

import pandas as pd

from greenopt.report.document import Section, bullets, table, text
from greenopt.report.reading import StudyReading
from greenopt.report.sections.words import number, plural
from greenopt.spec import Choice, Distribution, StudySpec

UNKNOWN = "not known"


def method(reading: StudyReading) -> Section:
    """Protocol, search space and what the figures mean."""
    spec = reading.analysis.study
    free = spec.space.free
    rows = [(name, _values(one)) for name, one in spec.space.distributions.items()]
    return Section(
        "Method",
        (
            text(spec.study.description and f"{spec.study.description.rstrip('.')}.", _protocol(spec)),
            *bullets([_imported(reading.analysis.trials), *_definitions(spec)]),
            table(
                f"The search space: {len(free)} of {len(rows)} parameters vary; the first value is the baseline's.",
                ("parameter", "values"),
                rows,
                wide=1,
            ),
        ),
    )


def environment(reading: StudyReading) -> Section:
    """Machine, meter, versions, seeds; what the trials do not say is said to be unknown."""
    rows = [*_machine(reading), *_software(reading), *_seeds(reading), *_times(reading)]
    origin = reading.origin
    asked = (
        f"Asked were {plural(origin.asked, 'trial')}, evenly spread; {origin.answered} had answers on file."
        if origin.asked
        else "No trial has run."
    )
    return Section(
        "Measured environment", (text(asked), table("Where and with what.", ("what", "value"), rows, wide=1))
    )


def _protocol(spec: StudySpec) -> str:
    data = f"{spec.data.name}" if spec.data is not None else "data that the function loads"
    what = f"the function {spec.study.objective}" if spec.study.objective else spec.training.model
    goals = " and ".join(f"{direction} {metric}" for metric, direction in spec.objectives.items())
    return (
        f"Each trial trains {what} on {data} for {plural(spec.training.epochs, 'epoch')}. Settings come from the "
        "sampler "
        f"{spec.sampler.name}{_arguments(spec)}, with the goals: {goals}. Planned are "
        f"{plural(spec.study.trials, 'trial')}."
    )


def is_imported(trials: pd.DataFrame) -> bool:
    """Whether all trials ran elsewhere."""
    return len(trials) > 0 and "run" in trials and bool(trials["run"].notna().all())


def _imported(trials: pd.DataFrame) -> str:
    if not is_imported(trials):
        return ""
    return (
        "All trials ran elsewhere and were imported: what is said here of sampler, split and energy is what greenopt "
        "would do; what those runs did may differ. Their energies are as stated under 'energy obtained by'."
    )


def _arguments(spec: StudySpec) -> str:
    given = ", ".join(f"{name} = {value}" for name, value in spec.sampler.arguments.items())
    return f" ({given})" if given else ""


def _definitions(spec: StudySpec) -> list[str]:
    accuracy = (
        "accuracy: what the function returned as its validation accuracy."
        if spec.study.objective
        else "accuracy: share of right answers on the validation part after the last epoch, of the model as it would "
        "be "
        "used; test accuracy the same on the test part, never optimised."
    )
    return [
        accuracy,
        "energy: gross energy of the trial's device from the start of the first epoch to the end of the last, "
        "validation "
        "included, plus quantization after training; set-up and compilation are not in it.",
        "power draw: mean energy of an epoch, in Wh. Efficiency: accuracy over power draw, in 1/Wh, as in "
        "'Computationally "
        "Efficient Deep Learning Training' (Burmester, Kalcher, Reil, 2023).",
        "Pareto front: completed trials than which none is both more accurate and more frugal.",
        "regressions: ordinary least squares on the completed trials, each value against the baseline's (treatment "
        "coding); intervals are 95 %; robust errors are HC3; p adjusted by Holm over all values of a regression.",
    ]


def _values(distribution: Distribution) -> str:
    if isinstance(distribution, Choice):
        return ", ".join(str(value) for value in distribution.values)
    scale = (
        ", on a log scale" if distribution.log else f", in steps of {distribution.step}" if distribution.step else ""
    )
    return f"{distribution.low} to {distribution.high}{scale}"


def _machine(reading: StudyReading) -> list[tuple[str, str]]:
    origin, trials = reading.origin, reading.analysis.trials
    gpus = _told(trials, "gpu_name") or ", ".join(origin.gpus)
    return [
        ("GPU", gpus or f"{UNKNOWN}: the trials name none; they ran on a CPU, or elsewhere and were imported"),
        ("driver", ", ".join(origin.drivers) or UNKNOWN),
        ("host", _told(trials, "host") or ", ".join(origin.hosts) or UNKNOWN),
        ("energy metered on", ", ".join(origin.meters) or UNKNOWN),
        (
            "energy obtained by",
            reading.material.energy_note.removeprefix("Energy: ").rstrip(".") or "nothing was metered",
        ),
        ("idle power", ", ".join(origin.idle) or "no baseline; energies are gross"),
        ("metered beside", ", ".join(origin.beside) or "nothing; CPU and memory of the host are not in any figure"),
        ("coverage", _coverage(trials)),
        ("flags", _flags(trials)),
    ]


def _software(reading: StudyReading) -> list[tuple[str, str]]:
    facts = dict(reading.origin.facts)
    names = ("tensorflow", "keras", "python", "device", "data", "image_shape", "weights")
    titles = {"device": "TensorFlow's device", "image_shape": "images", "tensorflow": "TensorFlow", "keras": "Keras"}
    code = reading.code
    return [
        ("greenopt", code.get("greenopt", UNKNOWN)),
        ("git commit", code.get("git", f"{UNKNOWN}: not run from a git checkout, or not by this version")),
        *((titles.get(name, name), ", ".join(facts.get(name, (UNKNOWN,)))) for name in names),
    ]


def _seeds(reading: StudyReading) -> list[tuple[str, str]]:
    spec, trials = reading.analysis.study, reading.analysis.trials
    if is_imported(trials):
        told = _told(trials, "training_seed")
        return [("seeds", f"training {told or UNKNOWN}, as the runs say; sampler and split {UNKNOWN}")]
    seeds = spec.seeds
    return [
        ("seeds", f"sampler {seeds.sampler}, split {seeds.split}, training {seeds.training}"),
        ("a setting that comes again", str(spec.study.on_duplicate)),
    ]


def _times(reading: StudyReading) -> list[tuple[str, str]]:
    trials = reading.analysis.trials
    if "began" not in trials or trials["began"].isna().all():
        return [("ran", UNKNOWN)]
    began, ended = trials["began"].min(), trials["ended"].max()
    until = f" to {ended:%Y-%m-%d %H:%M}" if not pd.isna(ended) else ""
    return [("ran", f"{began:%Y-%m-%d %H:%M}{until} (the coordinator's clock)")]


def _told(trials: pd.DataFrame, column: str) -> str:
    """The values of a column with how many trials have them, the commonest first."""
    if column not in trials:
        return ""
    counted = trials[column].dropna().value_counts()
    return ", ".join(f"{value} ({plural(int(count), 'trial')})" for value, count in counted.items())


def _coverage(trials: pd.DataFrame) -> str:
    if "coverage" not in trials or trials["coverage"].isna().all():
        return UNKNOWN
    known = trials["coverage"].dropna().astype(float)
    return f"median {number(float(known.median()))}, least {number(float(known.min()))} of the time seen by readings"


def _flags(trials: pd.DataFrame) -> str:
    if "flags" not in trials:
        return "none"
    words: Iterable[str] = (word for flags in trials["flags"].dropna() for word in str(flags).split())
    counted = pd.Series(list(words), dtype="string").value_counts()
    return ", ".join(f"{word} ({plural(int(count), 'trial')})" for word, count in counted.items()) or "none"
