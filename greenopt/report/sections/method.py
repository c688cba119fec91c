"""The study's protocol and environment, in enough detail to repeat it."""

from collections.abc import Iterable

import pandas as pd

from greenopt.formatting import format_percent
from greenopt.reading import EnergySource
from greenopt.report.document import Section, bullets, table, text
from greenopt.report.environment import ONLY_WHERE_TOLD, Environment
from greenopt.report.inputs import ReportInputs
from greenopt.report.report_data import SOURCE_TEXTS
from greenopt.report.sections.facts import imported_count, is_imported, lengths, partitionings
from greenopt.report.sections.formatting import format_value, plural
from greenopt.spec import Choice, Distribution, StudySpec

UNKNOWN = "not known"
_ON_CPU = {EnergySource.RAPL, EnergySource.ESTIMATE}
_REPEATED = {
    "run": "is run again",
    "skip": "is skipped",
    "replicate": "is run again with another training seed",
}


def method(inputs: ReportInputs) -> Section:
    """Return the section on protocol, search space and definitions of the metrics."""
    spec = inputs.analysis.study
    free = spec.space.free
    rows = [(name, _values(one) + _condition(spec, name)) for name, one in spec.space.distributions.items()]
    first = "; the first value is the baseline's" if free else ""
    return Section(
        "Method",
        (
            text(
                spec.study.description and f"{spec.study.description.rstrip('.')}.",
                _imported_protocol(inputs) if is_imported(inputs.analysis.trials) else _protocol(inputs),
            ),
            *bullets(_definitions(inputs)),
            table(
                f"The search space: {len(free)} of {plural(len(rows), 'parameter')} vary{first}.",
                ("parameter", "values"),
                rows,
                wide=1,
            ),
        ),
    )


def environment(inputs: ReportInputs) -> Section:
    """Return the section on machine, meter, versions and seeds; what trials did not record is named as unknown."""
    rows = [*_machine(inputs), *_software(inputs), *_seeds(inputs), *_times(inputs)]
    unknown = [name for name, value in rows if value == UNKNOWN]
    known = [row for row in rows if row[1] != UNKNOWN]
    if unknown:
        known.append(("not recorded", ", ".join(unknown)))
    return Section(
        "Measured environment",
        (text(_asked(inputs.environment)), table("Where and with what.", ("what", "value"), known, wide=1)),
    )


def _asked(known: Environment) -> str:
    if not known.asked:
        return "No trial has ended yet."
    whose = f"all {known.asked} trials that ended" if known.asked == known.ended else ""
    whose = whose or f"{known.asked} of {plural(known.ended, 'trial')} that ended, evenly spread over the study"
    if known.asked == 1:
        whose = "the one trial that ended"
    lacking = known.asked - known.answered
    return f"As recorded by {whose}" + (f"; {lacking} of them left no record." if lacking else ".")


def _protocol(inputs: ReportInputs) -> str:
    spec = inputs.analysis.study
    data = f"{spec.data.label}" if spec.data is not None else "data that the function loads"
    goals = " and ".join(f"{direction} {metric}" for metric, direction in spec.objectives.items())
    imported = imported_count(inputs.analysis.trials)
    elsewhere = (
        f" {plural(imported, 'trial')} ran elsewhere and were imported: the above holds for the others."
        if imported
        else ""
    )
    return (
        f"Each trial trains {_what(spec)} on {data} for {_epochs(spec)}{_others(inputs)}. "
        f"Settings come from the sampler {spec.sampler.name}{_arguments(spec)}, with the goals: {goals}. Planned are "
        f"{plural(spec.study.trials, 'trial')}.{_taken_over(spec)}{elsewhere}"
    )


def _taken_over(spec: StudySpec) -> str:
    extends = spec.study.extends
    if extends is None:
        return ""
    return (
        f" The first {plural(extends.trials, 'trial')} were taken over from study {extends.study}, as measured there."
    )


def _imported_protocol(inputs: ReportInputs) -> str:
    spec = inputs.analysis.study
    data = f" on {spec.data.label}" if spec.data is not None else ""
    goals = " and ".join(f"{metric} ({direction})" for metric, direction in spec.objectives.items())
    return (
        f"All trials ran elsewhere and were imported. Each trained {_what(spec)}{data} for "
        f"{_epochs(spec)}{_others(inputs)}. How their settings were chosen, how images were "
        f"split and what surrounded the training is not recorded. They are compared by {goals}."
    )


def _what(spec: StudySpec) -> str:
    if "model" in spec.varied and isinstance(models := spec.space.distributions["model"], Choice):
        return " or ".join(str(model) for model in models.values)
    return f"the function {spec.study.objective}" if spec.study.objective else spec.training.model


def _epochs(spec: StudySpec) -> str:
    return "1 epoch" if spec.epochs_text == "1" else f"{spec.epochs_text} epochs"


def _others(inputs: ReportInputs) -> str:
    """Return how many completed trials trained for another number of epochs than the study's; empty if none did."""
    if "epochs" in inputs.analysis.study.varied:
        return ""
    planned = inputs.analysis.study.training.epochs
    others = [f"{count} for {epochs}" for epochs, count in lengths(inputs).items() if epochs != planned]
    return f" ({', '.join(others)})" if others else ""


def _arguments(spec: StudySpec) -> str:
    given = ", ".join(f"{name} = {value}" for name, value in spec.sampler.arguments.items())
    return f" ({given})" if given else ""


def _definitions(inputs: ReportInputs) -> list[str]:
    spec, has_results = inputs.analysis.study, inputs.analysis.counts.complete > 0
    trials = inputs.analysis.trials
    found = [_accuracy(inputs), _energy(spec, trials)]
    if has_results:
        found += [
            "power draw: mean energy of an epoch, in Wh per epoch. Efficiency: accuracy over power draw, in 1/Wh. Both "
            "as in 'Computationally Efficient Deep Learning Training' (Burmester, Kalcher, Reil, 2023).",
            "average power (avg_power_w): energy over the time in which it was used, in W.",
        ]
    if len(inputs.analysis.regressions):
        found.append(
            "regressions: ordinary least squares on the completed trials, each value against the baseline's (treatment "
            "coding), intervals of 95 %."
        )
    return found


def _accuracy(inputs: ReportInputs) -> str:
    spec = inputs.analysis.study
    if is_imported(inputs.analysis.trials):
        return (
            "accuracy: as the runs recorded it on their validation images; test accuracy, if they have one, likewise."
        )
    if spec.study.objective:
        return "accuracy: what the function returned as its validation accuracy."
    shares = partitionings(inputs)
    part = (
        f"the validation part, whose share of the images varies ({', '.join(shares)} % training-validation-test),"
        if len(shares) > 1
        else "the validation part"
    )
    return (
        f"accuracy: share of right answers on {part} after the last epoch, of the model as it would be used; test "
        "accuracy the same on the test part, never optimised."
    )


def _energy(spec: StudySpec, trials: pd.DataFrame) -> str:
    if is_imported(trials):
        return "energy: of the training's epochs, as the runs' files give it; see 'energy obtained by' below."
    quantized = "" if spec.study.objective else ", plus quantization after training"
    if spec.study.objective:
        return (
            "energy: gross energy of the trial's device over the training, from where the function says that it begins "
            "to the end of its last epoch."
        )
    return (
        "energy: gross energy of the trial's device from the start of the first epoch to the end of the last, "
        f"validation included{quantized}; set-up and compilation are not in it."
    )


def _condition(spec: StudySpec, name: str) -> str:
    """Return when a setting has a parameter, as it is added to its values; empty where it always has."""
    condition = spec.space.condition_text(name)
    return f"; only with {condition}" if condition else ""


def _values(distribution: Distribution) -> str:
    if isinstance(distribution, Choice):
        # Values with commas in them would run into one another.
        apart = "; " if any("," in str(value) for value in distribution.values) else ", "
        return apart.join(format_value(value) for value in distribution.values)
    scale = (
        ", on a log scale" if distribution.log else f", in steps of {distribution.step}" if distribution.step else ""
    )
    return f"{distribution.low} to {distribution.high}{scale}"


def _machine(inputs: ReportInputs) -> list[tuple[str, str]]:
    known, trials = inputs.environment, inputs.analysis.trials
    beside = UNKNOWN if is_imported(trials) else "nothing; CPU and memory of the host are not in any figure"
    return [
        ("GPU", _gpus(inputs)),
        ("driver", ", ".join(known.drivers) or UNKNOWN),
        ("host", _told(trials, "host") or ", ".join(known.hosts) or UNKNOWN),
        ("energy metered on", ", ".join(known.meters) or UNKNOWN),
        ("energy obtained by", _obtained(inputs)),
        ("idle power", ", ".join(known.idle) or "no baseline; energies are gross"),
        ("metered beside", ", ".join(known.beside) or beside),
        ("coverage", _coverage(trials)),
        ("flags", _flags(trials)),
    ]


def _gpus(inputs: ReportInputs) -> str:
    trials = inputs.analysis.trials
    named = _told(trials, "gpu_name") or ", ".join(inputs.environment.gpus)
    if named or is_imported(trials):
        return named or UNKNOWN
    sources = {str(source) for source in trials.get("energy_source", pd.Series(dtype=object)).dropna()}
    return "none: the trials ran on a CPU" if sources and sources <= _ON_CPU else UNKNOWN


def _obtained(inputs: ReportInputs) -> str:
    if inputs.report_data.energy_note:
        return inputs.report_data.energy_note.removeprefix("Energy: ").rstrip(".")
    trials = inputs.analysis.trials
    spent = trials["total_source"].dropna() if "total_source" in trials else pd.Series(dtype=object)
    if not len(spent):
        return "nothing was metered"
    return "; ".join(SOURCE_TEXTS[EnergySource(source)] for source in dict.fromkeys(spent))


def _software(inputs: ReportInputs) -> list[tuple[str, str]]:
    facts = dict(inputs.environment.facts)
    names: tuple[str, ...] = ("tensorflow", "keras", "python", "device", "data", "image_shape", "weights")
    titles = {
        "device": "TensorFlow's device",
        "image_shape": "shape of images",
        "tensorflow": "TensorFlow",
        "keras": "Keras",
        "python": "Python",
        "weights": "number of weights",
        "class_names": "classes",
        "own_parts": "parts that the data give",
        "left_out": "files left out",
        "weights_loaded": "begun with weights of",
    }
    code = inputs.code
    # Of a function of the user's own, what TensorFlow would say does not apply.
    if inputs.analysis.study.study.objective:
        names = tuple(name for name in names if name in facts)
    names += tuple(name for name in ONLY_WHERE_TOLD if name in facts)
    return [
        ("greenopt", code.get("greenopt", UNKNOWN)),
        ("git commit", code.get("git", UNKNOWN)),
        *((titles.get(name, name), ", ".join(facts.get(name, (UNKNOWN,)))) for name in names),
    ]


def _seeds(inputs: ReportInputs) -> list[tuple[str, str]]:
    spec, trials = inputs.analysis.study, inputs.analysis.trials
    if is_imported(trials):
        told = _told(trials, "training_seed")
        return [("seed of training", f"{told}, as the runs say" if told else UNKNOWN)]
    seeds = spec.seeds
    return [
        ("seeds", f"sampler {seeds.sampler}, split {seeds.split}, training {seeds.training}"),
        ("a setting that comes again", _REPEATED.get(str(spec.study.on_duplicate), str(spec.study.on_duplicate))),
    ]


def _times(inputs: ReportInputs) -> list[tuple[str, str]]:
    trials = inputs.analysis.trials
    if "began" not in trials or trials["began"].isna().all():
        return [("ran", UNKNOWN)]
    began, ended = trials["began"].min(), trials["ended"].max()
    until = f" to {ended:%Y-%m-%d %H:%M}" if not pd.isna(ended) else ""
    whose = "as the runs' files say" if is_imported(trials) else "the coordinator's clock"
    return [("ran", f"{began:%Y-%m-%d %H:%M}{until} ({whose})")]


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
    least, median = float(known.min()), float(known.median())
    if least == median:
        return f"{format_percent(median)} of the time seen by readings in every trial"
    return f"{format_percent(median)} (median) of the time seen by readings, {format_percent(least)} at least"


def _flags(trials: pd.DataFrame) -> str:
    if "flags" not in trials:
        return "none"
    text: Iterable[str] = (word for flags in trials["flags"].dropna() for word in str(flags).split())
    counted = pd.Series(list(text), dtype="string").value_counts()
    return ", ".join(f"{word} ({plural(int(count), 'trial')})" for word, count in counted.items()) or "none"
