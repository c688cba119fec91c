"""The advised setting in words: what is predicted of it, beside the trials that ran."""

from greenopt.analysis.results import MARGIN, MeasuredTrial, Predicted, Recommendation
from greenopt.formatting import fixed_digits, format_energy_amount, format_fraction, format_setting
from greenopt.reading import EnergySource

_NEVER, _ALWAYS = 0.005, 0.995


def format_recommendation(found: Recommendation) -> list[str]:
    """Return the sentences on the advised setting, the advice itself first."""
    is_same = found.proposed_trial == found.measured[0].trial
    return [_advice(found), *([] if is_same else [_predicted(found)]), *_measured(found)]


def _advice(found: Recommendation) -> str:
    best = found.measured[0]
    dominated = f"another trial's is truly better with probability {format_probability(found.probability_dominated)}"
    better = (
        f"the model's setting takes less energy and loses at most {MARGIN:g} of accuracy against it with probability "
        f"{format_probability(found.probability_better)}"
    )
    if found.trial is None:
        return (
            f"Advised setting: {format_setting(found.setting)}, which no trial has run. With probability "
            f"{format_probability(found.probability_sound)} it runs, loses at most {MARGIN:g} of accuracy against the "
            f"baseline, and no trial that ran is better. Trial {best.trial} is the "
            f"best that ran: {dominated}, and {better}. Run the advised setting before you rely on it."
        )
    if found.trial != best.trial:
        return f"Advised setting: {format_setting(found.setting)}, which trial {found.trial} has run."
    if found.proposed_trial == best.trial:
        return (
            f"Advised setting: that of trial {best.trial}, {format_setting(found.setting)}, which is the model's "
            f"choice too: measured {figures(best)}; {dominated} (as good in energy and accuracy and better in one)."
        )
    return (
        f"Advised setting: that of trial {best.trial}, {format_setting(found.setting)}: measured {figures(best)}; "
        f"{dominated} (as good in energy and accuracy and better in one of them), and {better}; "
        f"{found.probability_needed:g} is asked for."
    )


def _predicted(found: Recommendation) -> str:
    ran = "no trial has run it" if found.proposed_trial is None else f"trial {found.proposed_trial} has run it"
    return (
        f"The model's setting, {format_setting(found.proposed)}, is predicted to take "
        f"{format_prediction(found.predicted)} (95 % prediction intervals of one training); {ran}."
    )


def _measured(found: Recommendation) -> list[str]:
    best = found.measured[0]
    again = format_prediction(best.expected, best.energy_source)
    sentences = [
        f"Trial {best.trial} measured {figures(best)}; run again it is expected to take {again}: the best of many "
        "trials owes part of its figures to luck, which is taken off by weighing them against what similar trials "
        "measured."
    ]
    if len(found.measured) > 1:
        others = "; ".join(f"trial {one.trial}, {figures(one)}" for one in found.measured[1:])
        sentences.append(f"Other trials on the Pareto front: {others}.")
    return sentences


def figures(one: MeasuredTrial) -> str:
    """Format what a trial has measured: `16.4 Wh and accuracy 0.867`."""
    energy = format_energy_amount(one.energy_wh, one.energy_source)
    return energy if one.accuracy is None else f"{energy} and accuracy {format_fraction(one.accuracy)}"


def format_prediction(expected: Predicted, source: str | None = None) -> str:
    """Format a prediction: `21.6 Wh (12.0 to 39.1) and accuracy 0.490 (0.020 to 0.960)`.

    Args:
        expected: the prediction.
        source: of the energies that it rests on; estimates are marked.
    """
    begin, end = ("~", " est.") if source == EnergySource.ESTIMATE else ("", "")
    energy = (
        f"{begin}{fixed_digits(expected.energy_wh)} Wh{end} ({fixed_digits(expected.energy_low_wh)} to "
        f"{fixed_digits(expected.energy_high_wh)})"
    )
    if expected.accuracy is None:
        return energy
    low, high = format_fraction(expected.accuracy_low), format_fraction(expected.accuracy_high)
    return f"{energy} and accuracy {format_fraction(expected.accuracy)} ({low} to {high})"


def format_probability(probability: float) -> str:
    """Format a probability with two decimals, never as 0 or 1."""
    if probability < _NEVER:
        return "below 0.01"
    return "above 0.99" if probability > _ALWAYS else f"{probability:.2f}"
