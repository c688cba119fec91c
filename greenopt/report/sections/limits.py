"""Limits of the report's results."""

from greenopt.formatting import sentence
from greenopt.gpu_models import format_mixed
from greenopt.reading import EnergySource
from greenopt.report.document import Section, bullets
from greenopt.report.inputs import ReportInputs
from greenopt.report.sections.facts import has_tests, imported_count, is_imported, partitionings
from greenopt.report.sections.formatting import plural

GPU_SOURCES = (EnergySource.NVML_COUNTER, EnergySource.NVML_POWER, EnergySource.NVIDIA_SMI_SNAPSHOT)


def limits(inputs: ReportInputs) -> Section:
    """Return the section on limits, those of this study's own trials first."""
    return Section("Limits", bullets([*_footnotes(inputs), *_own(inputs), *_measured(inputs)]))


def _footnotes(inputs: ReportInputs) -> list[str]:
    """Return what holds for the whole analysis; of a study without a completed trial there is none."""
    return [sentence(remark) for remark in inputs.analysis.footnotes] if inputs.analysis.counts.complete else []


def _own(inputs: ReportInputs) -> list[str]:
    analysis, report_data = inputs.analysis, inputs.report_data
    trials, found = analysis.trials, []
    imported = imported_count(trials)
    if imported:
        found.append(
            f"{plural(imported, 'trial')} ran elsewhere and were imported. How their images were split is not known: "
            "if they were shuffled anew before each split, validation and test images were trained on and their "
            "accuracies are too high."
        )
    if EnergySource.ESTIMATE in report_data.sources:
        found.append(
            "Estimated energies are CPU time x an assumed power: they rank trials by their CPU time, and say little "
            "of Wh."
        )
    if analysis.counts.complete > 1 and not analysis.counts.replicated_settings:
        found.append(
            "No setting ran twice, so how much two trials of one setting differ is not known; small differences "
            "between single trials mean nothing. `greenopt confirm` trains the best one again."
        )
    if not inputs.confirmations and analysis.counts.complete > 1:
        found.append(
            "The best of many trials is partly the luckiest: its figures are better than it would show again. It has "
            "not been confirmed."
        )
    if mixed := format_mixed(trials.to_dict(orient="records")):
        found.append(sentence(mixed))
    return found


def _measured(inputs: ReportInputs) -> list[str]:
    """Return what holds for the energies and accuracies of this study."""
    sources = inputs.report_data.sources
    found = [
        f"Energy is that of the {_device(sources)} alone: the rest of the machine, its power supply and cooling are "
        "not in it."
    ]
    if set(sources) & set(GPU_SOURCES):
        found.append("Boards of one kind differ by about 5 % from a wall meter: compare trials on one board.")
    if not inputs.analysis.counts.complete:
        return found
    tests = "read test accuracy for what to expect of new images" if has_tests(inputs) else "no test accuracy is known"
    found.append(f"{_optimised(inputs)}: {tests}.{_split(inputs)}")
    if inputs.analysis.regressions:
        found.append(
            "Regressions describe this space, this data and this hardware, and assume that effects add up; a value's "
            f"effect elsewhere may differ. {_association(inputs)}"
        )
    return found


def _device(sources: tuple[str, ...]) -> str:
    on_cpu = {EnergySource.RAPL, EnergySource.ESTIMATE}
    if not sources or EnergySource.UNKNOWN in sources:
        return "GPU or CPU"
    kinds = ["GPU"] if set(sources) - on_cpu else []
    kinds += ["CPU"] if set(sources) & on_cpu else []
    return " or ".join(kinds)


def _optimised(inputs: ReportInputs) -> str:
    if is_imported(inputs.analysis.trials):
        return "Trials are ranked by validation accuracy, and the best of many looks better than it is"
    return "The search optimised validation accuracy"


def _split(inputs: ReportInputs) -> str:
    if is_imported(inputs.analysis.trials) or inputs.analysis.study.study.objective:
        return ""
    if len(partitionings(inputs)) > 1:
        return (
            " Trials of different partitionings are validated and tested on different images, and train on more or "
            "fewer of them: part of a partitioning's effect on accuracy and energy is that."
        )
    return " All trials share one split."


def _association(inputs: ReportInputs) -> str:
    if is_imported(inputs.analysis.trials):
        return "How settings were chosen is not recorded, so they show association, not cause."
    name = str(inputs.analysis.study.sampler.name)
    if name in ("random", "qmc", "grid", "brute_force"):
        return "Settings did not depend on results, so they show what a value does on average over the space."
    return (
        f"The sampler {name} chose settings by earlier results, so that values of good trials are seen together more "
        "often: they show association, not cause."
    )
