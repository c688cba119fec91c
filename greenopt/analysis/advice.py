"""Advice on values for least energy at no loss of accuracy, with its confidence and the trials to run next.

Values are judged by `greenopt.analysis.value_advice`, the setting is chosen by `greenopt.analysis.recommend`, and the
trials to run next by `greenopt.analysis.next_trials`; here they are put together and into sentences. A setting with a
value or pair whose trials have all failed is never advised.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from greenopt.analysis.design import left_out_words
from greenopt.analysis.evidence import Evidence, enough_to_pool, gather
from greenopt.analysis.expectation import Expectation, expect
from greenopt.analysis.failures import has_only_failed, tried_in_vain
from greenopt.analysis.next_trials import choose_next
from greenopt.analysis.no_advice import no_advice
from greenopt.analysis.questions import Question, open_questions
from greenopt.analysis.recommend import recommend
from greenopt.analysis.recommend_text import format_prediction, format_recommendation
from greenopt.analysis.regression import Regressions
from greenopt.analysis.results import (
    CLEAR_GAIN,
    Advice,
    Coding,
    Recommendation,
    Response,
    ValueAdvice,
)
from greenopt.analysis.value_advice import (
    ADVISED,
    HINT,
    LIKELY,
    LITTLE,
    NEGLIGIBLE,
    OPEN,
    SETTLED,
    TRADE_OFF,
    UNTOLD,
    judge_values,
)
from greenopt.formatting import format_toml, significant
from greenopt.front import plane_of
from greenopt.gpu_models import without_model
from greenopt.spec import StudySpec, Value
from greenopt.storage.trial_state import TrialState
from greenopt.validation_gap import doubtful_trials

NEXT_TRIALS = 6
ALL_FAILED = (
    "No whole setting is advised: with the baseline's other values it has a value or pair whose trials have all failed."
)
POOLED = (
    "Probabilities are those of a model in which most parameters may have no effect at all; tests beside them count "
    "the effects of all parameters but the one that is judged as random."
)


def advise(regressions: Regressions, trials: "pd.DataFrame", spec: StudySpec) -> Advice:
    """Advice from a study's regressions; it says why where there is none to give."""
    if (unweighed := _without_accuracy(trials, spec)) is not None:
        return Advice((unweighed,), (), None, (), "")
    evidence = gather(regressions, trials, spec)
    if evidence is None:
        return Advice((_no_advice(regressions, trials, spec),), (), None, (), "")
    expected = expect(trials, spec)
    values, drawn = judge_values(evidence, expected, spec)
    parts = tried_in_vain(trials, spec)
    setting = _setting(values, spec, parts)
    tried = _tried_settings(trials, spec)
    doubtful = doubtful_trials(spec, trials[trials["state"] == TrialState.COMPLETE].to_dict(orient="records"))
    kept = [one.parameter for one in values if one.confidence == SETTLED and setting.get(one.parameter) == one.value]
    recommended = None if expected is None else recommend(expected, setting, kept, doubtful, parts)
    following = _following(
        expected, recommended, values, setting, tried, spec, parts, open_questions(values, evidence, drawn)
    )
    forecasts = () if expected is None else tuple(expected.predict(one) for one in following)
    sentences = [
        *_sentences(values),
        *_not_judged(evidence, trials, spec),
        *_together(
            setting,
            values,
            tried.get(_key(setting, spec)),
            None if expected is None else expected.ratio(setting, spec.space.baseline),
        ),
        *(format_recommendation(recommended) if recommended is not None else ()),
        *_doubtful(doubtful),
        *_cautions(evidence),
    ]
    advised: Mapping[str, Value] | None = setting if recommended is None else recommended.setting
    if recommended is None and has_only_failed(setting, parts):
        sentences.append(ALL_FAILED)
        advised = None
    following = [without_model(one) for one in following]
    toml = as_toml(following, [format_prediction(forecast) for forecast in forecasts])
    return Advice(tuple(sentences), tuple(values), advised, tuple(following), toml, forecasts, recommended)


def _without_accuracy(trials: "pd.DataFrame", spec: StudySpec) -> str | None:
    """Return why nothing is weighed in a study of other objectives of which no trial tells an accuracy."""
    others = plane_of(spec).others
    complete = trials[trials["state"] == TrialState.COMPLETE]
    if not others or not len(complete) or complete["accuracy"].notna().any():
        return None
    return (
        "No advice: it weighs accuracy against energy, and no trial tells an accuracy. What "
        f"{', '.join(others)} depends on is said by regressions, and what is best by the front."
    )


def _no_advice(regressions: Regressions, trials: "pd.DataFrame", spec: StudySpec) -> str:
    key = Response.LOG_ENERGY_WH, Coding.EFFECTIVE
    needed, refused = regressions.needed.get(key), regressions.refused[key]
    if needed is not None:
        enough = enough_to_pool(spec)
        refused = f"{refused}; from {enough} trials on, effects can be pooled" if enough < needed else refused
        needed = min(needed, enough)
    return no_advice(trials, spec, refused, needed)


def _setting(values: Sequence[ValueAdvice], spec: StudySpec, parts: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Return the advised values together, the surest first, without a value or pair whose trials have all failed."""
    setting = dict(spec.space.baseline)
    for advice in values:
        changed = spec.space.whole({**setting, advice.parameter: advice.value})
        new = [part for part in parts if has_only_failed(changed, [part]) and not has_only_failed(setting, [part])]
        if advice.confidence in ADVISED and not new:
            setting = changed
    return setting


def _sentences(values: Sequence[ValueAdvice]) -> list[str]:
    if not values:
        return ["No advice: no parameter takes several values in these trials."]
    sure = [advice.text for advice in values if advice.confidence == SETTLED]
    likely = [advice.text for advice in values if advice.confidence == LIKELY]
    likely += [advice.text for advice in values if advice.confidence == TRADE_OFF]
    hints = [advice.text for advice in values if advice.confidence == HINT]
    undecided, idle, little = (
        ", ".join(advice.parameter for advice in values if advice.confidence == kind)
        for kind in (OPEN, NEGLIGIBLE, LITTLE)
    )
    head = [] if sure or likely else ["No value is shown to save energy at no loss of accuracy in these trials."]
    tail = [f"{idle}: every value's interval lies within 10 % of energy; choose by accuracy."] if idle else []
    if little:
        tail.append(
            f"{little}: little to gain: surely (95 %) no value saves 20 % of energy at no loss, or gains "
            f"{CLEAR_GAIN:g} of accuracy."
        )
    tail += [f"Still undecided: {undecided}."] if undecided else []
    together = ", ".join(one.parameter for one in values if one.text.endswith(UNTOLD))
    tail += [f"{together}: values always change together with others here; vary them apart."] if together else []
    return [*head, *sure, *likely, *hints, *tail]


def _not_judged(evidence: Evidence, trials: "pd.DataFrame", spec: StudySpec) -> list[str]:
    """Why nothing is said of a parameter that the study varies."""
    left = [name for name in spec.space.free if name not in evidence.energy]
    chosen = trials[trials["trial"].isin(evidence.trials)]
    alike = [name for name in left if chosen[name].nunique() <= 1]
    varied = [left_out_words(name, int(chosen[name].nunique()), len(chosen)) for name in left if name not in alike]
    found = [f"Nothing can be said of {', '.join(alike)}: these trials have one value of it."] if alike else []
    return [*found, *(f"Nothing can be said of a parameter: {text}." for text in varied)]


def _together(
    setting: Mapping[str, Value],
    values: Sequence[ValueAdvice],
    trial: int | None,
    expected: tuple[float, float, float] | None,
) -> list[str]:
    changed = [advice for advice in values if advice.value == setting.get(advice.parameter) != advice.baseline]
    if not changed:
        return []
    seen = "no trial has run it yet" if trial is None else f"trial {trial} has run it"
    if expected is None:
        ratio = math.prod(advice.energy_ratio for advice in changed)
        return [
            f"Together these choices are estimated to take {significant(ratio)} x the baseline's energy, if their "
            f"effects add up on the log scale; {seen}."
        ]
    most_likely, low, high = map(significant, expected)
    return [
        f"Together these choices are expected to take {most_likely} x the baseline's energy (95 %: {low} to {high}) by "
        f"a model of shrunk effects and interactions; {seen}."
    ]


def _doubtful(trials: Sequence[int]) -> list[str]:
    if not trials:
        return []
    named = ", ".join(map(str, trials[:8])) + (f" and {len(trials) - 8} more" if len(trials) > 8 else "")
    which = f"trial {named} is" if len(trials) == 1 else f"trials {named} is"
    return [
        f"The validation accuracy of {which} far above the test accuracy: none of them is advised, but the regressions "
        "have them."
    ]


def _cautions(evidence: Evidence) -> list[str]:
    found = []
    if not evidence.accuracy:
        why = evidence.why_no_accuracy
        found.append(f"Accuracy could not be explained ({why}): look at the accuracy of what you choose.")
    if evidence.is_pooled:
        found.append(POOLED)
    for regression in evidence.regressions.values():
        strong = [f"{pair.first} with {pair.second}" for pair in regression.interactions if pair.is_clear]
        if strong:
            found.append(
                f"In {regression.response} some effects depend on another parameter ({', '.join(strong[:3])}): judge "
                "those values together, not one by one."
            )
        if regression.is_exact:
            found.append(
                f"The settings explain {regression.response} of every trial to the last digit: intervals have no width."
            )
        if regression.cv_r_squared is None:
            found.append(
                f"Most trials alone have some value, so that their {regression.response} cannot be predicted from the "
                "others; treat the model with caution."
            )
        elif regression.cv_r_squared < 0.1:
            found.append(f"The model predicts {regression.response} poorly on held-out trials; treat it with caution.")
    return found


_Key = tuple[Value | None, ...]


def _key(setting: Mapping[Any, Any], spec: StudySpec) -> _Key:
    """Return a setting's values in the order of the space; None of a parameter that it does not have."""
    had = spec.space.trimmed(setting)
    return tuple(had.get(name) for name in spec.space.distributions)


def _tried_settings(trials: "pd.DataFrame", spec: StudySpec) -> dict[_Key, int]:
    """Every completed setting -> the first trial that ran it."""
    complete = trials[trials["state"] == TrialState.COMPLETE]
    settings = complete[list(spec.space.distributions)].to_dict(orient="records")
    found: dict[_Key, int] = {}
    for trial, setting in zip(complete["trial"], settings, strict=True):
        found.setdefault(_key(setting, spec), int(trial))
    return found


def _following(
    expected: Expectation | None,
    recommended: Recommendation | None,
    values: Sequence[ValueAdvice],
    setting: Mapping[str, Value],
    tried: Mapping[_Key, int],
    spec: StudySpec,
    parts: Sequence[Mapping[str, Value]],
    questions: Sequence[Question],
) -> list[dict[str, Value]]:
    """Return the settings to run next: the model's, if no trial has run it, then those that tell most."""
    if expected is None or recommended is None:
        return _next(setting, values, tried, spec)
    first = [recommended.proposed] if recommended.proposed_trial is None else []
    return choose_next(expected, questions, first, parts)


def _next(
    setting: Mapping[str, Value],
    values: Sequence[ValueAdvice],
    tried: Mapping[_Key, int],
    spec: StudySpec,
) -> list[dict[str, Value]]:
    """Return the settings whose trials would settle most: the advised one, the baseline, and open alternatives."""
    candidates: list[dict[str, Value]] = [dict(setting), dict(spec.space.baseline)]
    unsettled = [advice for advice in values if advice.confidence in (LIKELY, HINT, OPEN)]
    unsettled.sort(key=lambda advice: advice.energy_low)
    for advice in unsettled:
        other = advice.baseline if advice.confidence == LIKELY else advice.value
        candidates.append(spec.space.whole({**setting, advice.parameter: other}))
    fresh = [candidate for index, candidate in enumerate(candidates) if candidate not in candidates[:index]]
    return [candidate for candidate in fresh if _key(candidate, spec) not in tried][:NEXT_TRIALS]


def as_toml(settings: Sequence[Mapping[str, Value]], expected: Sequence[str] = ()) -> str:
    """Format settings as `[[study.enqueue]]` tables of a study file, each with what is expected as a comment."""
    heads = [f"# expected: {text}\n[[study.enqueue]]" for text in expected] or ["[[study.enqueue]]"] * len(settings)
    tables = ("\n".join(format_toml(name, value) for name, value in setting.items()) for setting in settings)
    return "\n".join(f"{head}\n{table}\n" for head, table in zip(heads, tables, strict=True))
