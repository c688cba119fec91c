"""Limits of the report's results."""

from greenopt.reading import EnergySource
from greenopt.report.document import Section, bullets
from greenopt.report.inputs import ReportInputs
from greenopt.report.sections.formatting import plural, sentence


def limits(inputs: ReportInputs) -> Section:
    """Return the section on limits, those of this study's own trials first."""
    return Section(
        "Limits", bullets([*(sentence(remark) for remark in inputs.analysis.footnotes), *_own(inputs), *_all()])
    )


def _own(inputs: ReportInputs) -> list[str]:
    analysis, report_data = inputs.analysis, inputs.report_data
    trials, found = analysis.trials, []
    if "run" in trials and trials["run"].notna().any():
        found.append(
            f"{plural(int(trials['run'].notna().sum()), 'trial')} ran elsewhere and were imported. How their images "
            "were "
            "split is not known: if they were shuffled anew before each split, validation and test images were "
            "trained on "
            "and their accuracies are too high."
        )
    if EnergySource.ESTIMATE in report_data.sources:
        found.append(
            "Estimated energies are CPU time x an assumed power: they rank trials by their CPU time, and say little "
            "of Wh."
        )
    if analysis.counts.complete > 1 and not analysis.counts.replicated_settings:
        found.append(
            "No setting ran twice, so how much two trials of one setting differ is not known; small differences "
            "between "
            "single trials mean nothing. `greenopt confirm` trains the best one again."
        )
    if not inputs.confirmations and analysis.counts.complete > 1:
        found.append(
            "The best of many trials is partly the luckiest: its figures are better than it would show again. It has "
            "not "
            "been confirmed."
        )
    devices = {str(name) for name in trials["gpu_name"].dropna()} if "gpu_name" in trials else set()
    if len(devices) > 1:
        found.append(f"Trials ran on different GPUs ({', '.join(sorted(devices))}); their energies hardly compare.")
    return found


def _all() -> list[str]:
    return [
        "Energy is that of the GPU (or CPU) alone: the rest of the machine, its power supply and cooling are not in "
        "it.",
        "Boards of one kind differ by about 5 % from a wall meter: compare trials on one board.",
        "The search optimised validation accuracy: read test accuracy for what to expect of new images. All trials "
        "share "
        "one split.",
        "Regressions describe this space, this data and this hardware, and assume that effects add up; a value's "
        "effect "
        "elsewhere may differ. They show association under random settings, and less than that where a sampler chose "
        "them.",
    ]
