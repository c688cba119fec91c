"""The study's protocol and environment, in enough detail to repeat it."""

from collections.abc import Iterable

import pandas as pd

from greenopt.report.document import Section, bullets, table, text
from greenopt.report.inputs import ReportInputs
from greenopt.report.sections.formatting import number, plural
from greenopt.spec import Choice, Distribution, StudySpec

UNKNOWN = "not known"


def method(inputs: ReportInputs) -> Section:
    """Return the section on protocol, search space and definitions of the metrics."""
    spec = inputs.analysis.study
    free = spec.space.free
    rows = [(name, _values(one)) for name, one in spec.space.distributions.items()]
    return Section(
        "Method",
        (
            text(spec.study.description and f"{spec.study.description.rstrip('.')}.", _protocol(spec)),
            *bullets([_imported(inputs.analysis.trials), *_definitions(spec)]),
            table(
                f"The search space: {len(free)} of {len(rows)} parameters vary; the first value is the baseline's.",
                ("parameter", "values"),
                rows,
                wide=1,
            ),
        ),
    )


def environment(inputs: ReportInputs) -> Section:
    """Return the section on machine, meter, versions and seeds; what trials did not record is marked as unknown."""
    rows = [*_machine(inputs), *_software(inputs), *_seeds(inputs), *_times(inputs)]
    known = inputs.environment
    asked = (
        f"{plural(known.asked, 'trial')} were sampled evenly; events of {known.answered} are on file."
        if known.asked
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
    """Return whether all trials were imported."""
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
        "power draw: mean energy per epoch, in Wh. Efficiency: accuracy over power draw, in 1/Wh, as in "
        "'Computationally "
        "Efficient Deep Learning Training' (Burmester, Kalcher, Reil, 2023).",
        "Pareto front: completed trials that no other trial beats in both accuracy and energy.",
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


def _machine(inputs: ReportInputs) -> list[tuple[str, str]]:
    known, trials = inputs.environment, inputs.analysis.trials
    gpus = _told(trials, "gpu_name") or ", ".join(known.gpus)
    return [
        ("GPU", gpus or f"{UNKNOWN}: the trials name none; they ran on a CPU, or elsewhere and were imported"),
        ("driver", ", ".join(known.drivers) or UNKNOWN),
        ("host", _told(trials, "host") or ", ".join(known.hosts) or UNKNOWN),
        ("energy metered on", ", ".join(known.meters) or UNKNOWN),
        (
            "energy obtained by",
            inputs.report_data.energy_note.removeprefix("Energy: ").rstrip(".") or "nothing was metered",
        ),
        ("idle power", ", ".join(known.idle) or "no baseline; energies are gross"),
        ("metered beside", ", ".join(known.beside) or "nothing; CPU and memory of the host are not in any figure"),
        ("coverage", _coverage(trials)),
        ("flags", _flags(trials)),
    ]


def _software(inputs: ReportInputs) -> list[tuple[str, str]]:
    facts = dict(inputs.environment.facts)
    names = ("tensorflow", "keras", "python", "device", "data", "image_shape", "weights")
    titles = {"device": "TensorFlow's device", "image_shape": "images", "tensorflow": "TensorFlow", "keras": "Keras"}
    code = inputs.code
    return [
        ("greenopt", code.get("greenopt", UNKNOWN)),
        ("git commit", code.get("git", f"{UNKNOWN}: not run from a git checkout, or not by this version")),
        *((titles.get(name, name), ", ".join(facts.get(name, (UNKNOWN,)))) for name in names),
    ]


def _seeds(inputs: ReportInputs) -> list[tuple[str, str]]:
    spec, trials = inputs.analysis.study, inputs.analysis.trials
    if is_imported(trials):
        told = _told(trials, "training_seed")
        return [("seeds", f"training {told or UNKNOWN}, as the runs say; sampler and split {UNKNOWN}")]
    seeds = spec.seeds
    return [
        ("seeds", f"sampler {seeds.sampler}, split {seeds.split}, training {seeds.training}"),
        ("repeated settings", str(spec.study.on_duplicate)),
    ]


def _times(inputs: ReportInputs) -> list[tuple[str, str]]:
    trials = inputs.analysis.trials
    if "began" not in trials or trials["began"].isna().all():
        return [("ran", UNKNOWN)]
    began, ended = trials["began"].min(), trials["ended"].max()
    until = f" to {ended:%Y-%m-%d %H:%M}" if not pd.isna(ended) else ""
    return [("ran", f"{began:%Y-%m-%d %H:%M}{until} (the coordinator's clock)")]


def _told(trials: pd.DataFrame, column: str) -> str:
    """Return the values of a column and how many trials have each, the most frequent first."""
    if column not in trials:
        return ""
    counted = trials[column].dropna().value_counts()
    return ", ".join(f"{value} ({plural(int(count), 'trial')})" for value, count in counted.items())


def _coverage(trials: pd.DataFrame) -> str:
    if "coverage" not in trials or trials["coverage"].isna().all():
        return UNKNOWN
    known = trials["coverage"].dropna().astype(float)
    return f"median {number(float(known.median()))}, least {number(float(known.min()))} of the time covered by readings"


def _flags(trials: pd.DataFrame) -> str:
    if "flags" not in trials:
        return "none"
    text: Iterable[str] = (word for flags in trials["flags"].dropna() for word in str(flags).split())
    counted = pd.Series(list(text), dtype="string").value_counts()
    return ", ".join(f"{word} ({plural(int(count), 'trial')})" for word, count in counted.items()) or "none"
