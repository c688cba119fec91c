"""The results of an analysis, from which tables, figures, reports and JSON are built.

Invariant: everything here is frozen and comes from the trials alone. What could not be estimated is not in it as a
number but as a sentence that says why.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import pandas as pd

from greenopt.front import plane_of
from greenopt.spec import FRACTIONS, UNITS, StudySpec, Value

FOUND = 0.05
"""Below this an adjusted p is a finding."""
MARGIN = 0.01
"""Accuracy that may be lost, as a fraction: one point in a hundred."""
CLEAR_SAVING = math.log(0.8)
"""A saving that is clearly worth having, as a log ratio."""
CLEAR_GAIN = 0.05
"""A gain of accuracy that is clearly worth having, as a fraction."""
SETTLED_FROM = 0.98
"""Probability of being better, from which on a value is settled: if two are, one of 25 studies has a wrong one."""
SHOWN_FROM = 1 - FOUND
"""Probability from which on there is little to gain, or no matter."""


class Response(StrEnum):
    """The response of a regression."""

    LOG_ENERGY_WH = "log_energy_wh"
    ENERGY_WH = "energy_wh"
    ACCURACY = "accuracy"
    EFFICIENCY = "efficiency"
    WH_PER_EPOCH = "wh_per_epoch"

    @property
    def unit(self) -> str:
        """Unit of a coefficient; a coefficient b of `log_energy_wh` means energy times exp(b)."""
        return {"log_energy_wh": "log Wh", "accuracy": "fraction", "efficiency": "1/Wh"}.get(self, "Wh")


class OwnResponse(str):
    """The response of a regression of another objective of a study, by its name: `rmse`, `latency_ms`."""

    @property
    def unit(self) -> str:
        """Unit of a coefficient."""
        return UNITS.get(self, "fraction" if self in FRACTIONS else f"units of {self}")


Explained: TypeAlias = Response | OwnResponse


def own_responses(spec: StudySpec) -> list[OwnResponse]:
    """Return the objectives of a study that are explained beside accuracy and energies."""
    return [OwnResponse(name) for name in plane_of(spec).others]


class Coding(StrEnum):
    """The coding of values as columns.

    TREATMENT compares every value with the baseline's. EFFECTIVE is the same, with the values that have no effect in
    a trial's setting (`greenopt.spec.inert`) set to what they amount to. PAPER has a column for every value and no
    constant, solved with minimum norm.
    """

    TREATMENT = "treatment"
    EFFECTIVE = "effective"
    PAPER = "paper"


@dataclass(frozen=True)
class Counts:
    """The number of trials of each kind."""

    trials: int
    complete: int
    pruned: int
    failed: int
    unfinished: int
    duplicates_skipped: int
    outside_space: int
    settings: int
    replicated_settings: int
    excluded: int = 0


@dataclass(frozen=True)
class Exclusion:
    """Trials that are left out of a calculation.

    Attributes:
        trials: their numbers.
        reason: why, in words.
        left_out_of: what they are left out of, such as `regressions` or `energy_wh, log_energy_wh`.
    """

    trials: tuple[int, ...]
    reason: str
    left_out_of: str


@dataclass(frozen=True)
class FailureShare:
    """The share of trials of a value, or of a pair of values, that failed because of their setting.

    Attributes:
        parameter, value: what was tried; `second`, `second_value` the other of a pair, None for a value alone.
        trials: how many completed or failed so; `failed` is how many of them failed or were stopped early.
        low, high: bounds of the share's 95 % interval (Wilson), 0..1.
    """

    parameter: str
    value: Value
    second: str | None
    second_value: Value | None
    trials: int
    failed: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share that failed, 0..1."""
        return self.failed / self.trials

    @property
    def items(self) -> tuple[tuple[str, Value], ...]:
        """The parameters with their values."""
        first = ((self.parameter, self.value),)
        if self.second is None or self.second_value is None:
            return first
        return (*first, (self.second, self.second_value))


@dataclass(frozen=True)
class Descriptive:
    """One column over the trials that have it; units are the column's. `std` has n - 1 in its denominator."""

    n: int
    minimum: float
    median: float
    mean: float
    maximum: float
    std: float | None


@dataclass(frozen=True)
class Ranked:
    """A trial in a ranking or on the Pareto front.

    Attributes:
        trial: its number in the study.
        value: what it is ranked by, in the unit of that column.
        params: its setting.
        accuracy: 0..1.
        energy_wh: energy of the training in Wh.
        wh_per_epoch: mean energy of an epoch in Wh, the paper's power draw.
        efficiency: accuracy / (Wh per epoch), in 1/Wh.
        run: the name of the run that it was imported from; None otherwise.
        energy_source: how the energy was obtained.
        version: a letter that tells trials of other code, data or device apart; None where all are of one version.
        caution: why the accuracy is not to be trusted, as a clause; None where nothing is against it.
        figures: the study's objectives beside accuracy, energy and efficiency, by name.
    """

    trial: int
    value: float
    params: Mapping[str, Value]
    accuracy: float | None = None
    energy_wh: float | None = None
    efficiency: float | None = None
    run: str | None = None
    energy_source: str | None = None
    wh_per_epoch: float | None = None
    version: str | None = None
    caution: str | None = None
    figures: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Hypervolume:
    """The accuracy 0..1 that the front has, averaged over energy budgets on a logarithmic scale (`greenopt.pareto`).

    Attributes:
        value: None without a completed trial.
        reference_energy_wh: the largest budget, 1.1 x the most energy of any completed trial; accuracy's reference is
            0.
        after: hypervolume after each completed trial, by its number, with the same budgets throughout.
        least_energy_wh: the smallest budget, the least energy of any completed trial.
        box: of other objectives than accuracy for energy: the worse and the better end of each side of the box of which
            it is the share that the front dominates (`greenopt.front`); the budgets are then None.
    """

    value: float | None
    reference_energy_wh: float | None
    after: Mapping[int, float] = field(default_factory=dict)
    least_energy_wh: float | None = None
    box: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Correlation:
    """The correlation of two columns, over trials that have both.

    Attributes:
        pearson: Pearson's r; `low` and `high` bound its 95 % interval (Fisher's z).
        spearman: rank correlation and its p.
    """

    first: str
    second: str
    n: int
    pearson: float
    low: float
    high: float
    p: float
    spearman: float
    spearman_p: float


@dataclass(frozen=True)
class Coefficient:
    """A coefficient of a regression, in the response's unit; `low` and `high` bound the 95 % interval.

    Attributes:
        name: as in the paper's table, `batch_size_4`; `const` for the constant.
        parameter, value: what it stands for; None for the constant; `value` is None for the slope of a range.
        trials: how many trials have the value.
        hc3_*: the same with standard errors that hold under unequal variances (MacKinnon and White's HC3); None where
            a trial has a leverage of 1.
        t, p: None where the settings explain every trial exactly: there is no chance left to judge by.
        p_holm, p_bh: p adjusted over all values of the regression by Holm (family-wise) and by Benjamini and Hochberg
            (false discoveries); `hc3_p_holm` of the robust p. None for the constant and in the paper's coding.
    """

    name: str
    parameter: str | None
    value: Value | None
    trials: int
    coef: float
    std_err: float
    t: float | None
    p: float | None
    low: float
    high: float
    hc3_std_err: float | None = None
    hc3_p: float | None = None
    hc3_low: float | None = None
    hc3_high: float | None = None
    p_holm: float | None = None
    p_bh: float | None = None
    hc3_p_holm: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether it is a finding: below 5 % after Holm's correction, by the plain and by the robust p."""
        both = (self.p_holm, self.hc3_p_holm)
        return all(p is not None and p < FOUND for p in both)


@dataclass(frozen=True)
class AnovaRow:
    """A parameter as a whole: its type II sum of squares against the residual's; no F and p where there is none.

    Attributes:
        hc3_f, hc3_p, hc3_p_holm: of Wald's test of the same with the robust (HC3) covariance; None where a single trial
            decides.
    """

    parameter: str
    df: int
    sum_sq: float
    f: float | None
    p: float | None
    partial_eta_squared: float
    p_holm: float | None
    p_bh: float | None
    hc3_f: float | None = None
    hc3_p: float | None = None
    hc3_p_holm: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether it is a finding: below 5 % after Holm's correction, by the plain and by the robust p."""
        return all(p is not None and p < FOUND for p in (self.p_holm, self.hc3_p_holm))


@dataclass(frozen=True)
class Interaction:
    """A pair of parameters, added to all main effects: does one's effect depend on the other's value?

    Attributes:
        f: None where the pair explains exactly what the main effects do not; p is 0 then.
        hc3_p, hc3_p_holm: of Wald's test with the robust (HC3) covariance; None where a single trial decides.
    """

    first: str
    second: str
    df: int
    f: float | None
    p: float
    partial_eta_squared: float
    p_holm: float
    p_bh: float
    hc3_p: float | None = None
    hc3_p_holm: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether it is a finding, by the plain and by the robust p after Holm's correction, or exact."""
        return self.p_holm < FOUND and (self.f is None or (self.hc3_p_holm is not None and self.hc3_p_holm < FOUND))


@dataclass(frozen=True)
class LackOfFit:
    """The model's misfit against the spread of repeated settings.

    Attributes:
        pure_error_std: standard deviation of trials with the same setting, in the response's unit.
        f, p: None where the model leaves no degree of freedom for misfit, and where there is no misfit or no spread.
    """

    pure_error_df: int
    pure_error_std: float
    lack_of_fit_df: int
    f: float | None
    p: float | None


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics of the residuals; p is None where it cannot be computed.

    Attributes:
        normality_p: Jarque-Bera's test of the residuals.
        skewness, kurtosis: of the residuals; 0 and 3 where they are normal.
        heteroscedasticity_p: Breusch and Pagan's test, Koenker's studentised form.
        white_p: White's test with two degrees of freedom: the squares on the fitted value and its square.
        influential: trials whose Cook's distance exceeds 4 / n, the worst first.
        text: findings as sentences for the user, the gravest first.
        asks_for_robust: whether a robust fit should be read beside this one.
    """

    normality_p: float | None
    skewness: float | None
    kurtosis: float | None
    heteroscedasticity_p: float | None
    influential: tuple[int, ...]
    text: tuple[str, ...]
    asks_for_robust: bool
    white_p: float | None = None


@dataclass(frozen=True)
class Alternative:
    """The same model fitted by another method.

    Attributes:
        method: in words: Huber's M-estimation, median regression, censored (Tobit).
        coefficients: name -> (coefficient, standard error, p), as in the OLS.
        text: whether it changes what the OLS says.
    """

    method: str
    n: int
    coefficients: Mapping[str, tuple[float, float, float]]
    text: str


@dataclass(frozen=True)
class Regression:
    """OLS of one response in one coding.

    Attributes:
        n: trials in it.
        is_exact: the settings explain every trial to the last digit; F, t and p are None.
        rank: of the design matrix; `columns` is how many columns it has.
        df_model, df_resid: degrees of freedom.
        condition_number: of the design matrix, as in statsmodels (infinite or huge where rank < columns).
        cv_r_squared: R2 on trials that were left out of the fit, each alone below 200 trials, else in ten folds; None
            where a left-out trial cannot be predicted.
        residual_std: standard error of the regression, in the response's unit.
        coefficients: in the order of the study's parameters and their values.
        reference: parameter -> the value that its coefficients are compared with; empty in the paper's coding.
        anova, interactions: empty in the paper's coding; interactions by p.
        alternatives: robust fits where diagnostics ask for them, and a censored one where trials ended early.
        fitted: trial number -> fitted value.
        notes: what the reader must know, as sentences: unobserved values, confounded values, too few trials.
    """

    response: Explained
    coding: Coding
    n: int
    columns: int
    rank: int
    df_model: float
    df_resid: float
    r_squared: float
    adj_r_squared: float
    f_value: float | None
    f_pvalue: float | None
    condition_number: float
    cv_r_squared: float | None
    residual_std: float
    coefficients: tuple[Coefficient, ...]
    reference: Mapping[str, Value]
    lack_of_fit: LackOfFit | None
    diagnostics: Diagnostics
    fitted: Mapping[int, float]
    anova: tuple[AnovaRow, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    notes: tuple[str, ...] = ()
    is_exact: bool = False


@dataclass(frozen=True)
class Importance:
    """Each parameter's share of importance for one objective, 0..1, adding up to 1, without a direction.

    Attributes:
        objective: a column of the trials.
        method: `ped_anova` (which parameter tells the best trials from the rest) or `fanova` (share of variance).
        text: empty, or why there are no shares, or on how many trials they rest.
        chance: by parameter, the share that 95 of 100 permutations of the results stay below; empty where not known.
    """

    objective: str
    method: str
    shares: Mapping[str, float]
    text: str = ""
    chance: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ValueAdvice:
    """Advice on a parameter's value.

    Attributes:
        value: the advised value; `baseline` is what it was compared with.
        energy_ratio, energy_low, energy_high: energy with it / energy with the baseline's value, and the 95 % interval.
        accuracy_change, accuracy_low, accuracy_high: the same for accuracy, as a difference.
        confidence: `settled` (better with a probability of 0.98, and by a test), `likely` (a tenth of such is expected
            to be false), `hint` (better with a probability of 0.75), `trade_off` (more accurate for more energy),
            `no_matter` (all values within 10 % of energy), `little_to_gain` (no value may save 20 % of energy at no
            loss, or gain 0.05 of accuracy), or `open`.
        text: one sentence.
        most_accurate: the value estimated to be the most accurate; None where accuracy is not known.
        most_accurate_change, most_accurate_energy_ratio: what it gives, against the baseline's value.
        probability_better: that it saves energy at a loss of at most 0.01 of accuracy, or is more accurate for at most
            5 % more energy; None where tests alone decide.
    """

    parameter: str
    value: Value
    baseline: Value
    energy_ratio: float
    energy_low: float
    energy_high: float
    accuracy_change: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    confidence: str
    text: str
    most_accurate: Value | None = None
    most_accurate_change: float | None = None
    most_accurate_energy_ratio: float | None = None
    probability_better: float | None = None


@dataclass(frozen=True)
class Predicted:
    """What one more training of a setting is expected to measure, each with its 95 % prediction interval.

    Attributes:
        energy_wh: the median; `energy_low_wh` and `energy_high_wh` bound the interval.
        accuracy: 0..1; None where no trial has an accuracy.
    """

    energy_wh: float
    energy_low_wh: float
    energy_high_wh: float
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None


@dataclass(frozen=True)
class MeasuredTrial:
    """A trial that ran: what it has measured, and what its setting is expected to measure if it ran again."""

    trial: int
    params: Mapping[str, Value]
    energy_wh: float
    accuracy: float | None
    energy_source: str | None
    expected: Predicted


@dataclass(frozen=True)
class Recommendation:
    """The setting that is advised, of the model's and those that ran.

    Attributes:
        trial: the trial that has run the advised setting; None where none has.
        setting: the advised setting.
        proposed: the model's setting; `proposed_trial` has run it, where a trial has.
        predicted: what the model's setting is expected to measure.
        measured: the best trials that ran, the one first that the model's setting is compared with.
        probability_better: that the model's setting takes less energy than that trial's and loses at most 0.01 of
            accuracy; `probability_needed` is how much it takes to be advised.
        probability_dominated: that another trial's setting is truly as good as that trial's in both and better in one;
            `proposed_dominated` is the same of the model's setting.
        probability_sound: that the model's setting runs, loses at most 0.01 of accuracy against the baseline, takes at
            most 5 % more energy and is not dominated.
    """

    trial: int | None
    setting: Mapping[str, Value]
    proposed: Mapping[str, Value]
    predicted: Predicted
    proposed_trial: int | None
    measured: tuple[MeasuredTrial, ...]
    probability_better: float
    probability_needed: float
    probability_dominated: float
    probability_sound: float
    proposed_dominated: float


@dataclass(frozen=True)
class Advice:
    """Advice on values for least energy at no loss of accuracy, and the trials to run next.

    Attributes:
        sentences: the advice in words, the most important first.
        values: by parameter, where something can be said.
        setting: the advised setting: that of the best trial that ran, or the model's where it is better with enough
            probability; None where nothing can be advised.
        recommended: how it was chosen, with predictions; None with too few trials.
        next_settings: settings of trials that would settle it, ready to enqueue.
        next_forecasts: what each of them is expected to measure; empty where that is not known.
        toml: `[[study.enqueue]]` tables with `next_settings`, to append to the study file; empty without any.
    """

    sentences: tuple[str, ...]
    values: tuple[ValueAdvice, ...]
    setting: Mapping[str, Value] | None
    next_settings: tuple[Mapping[str, Value], ...]
    toml: str
    next_forecasts: tuple[Predicted, ...] = ()
    recommended: Recommendation | None = None


@dataclass(frozen=True)
class Analysis:
    """The complete analysis of a study.

    Attributes:
        trials: a row a trial, every state; index 0..n-1. Columns: `greenopt.search.COLUMNS` and the study's
            parameters, then every further figure that a trial has (the page `numbers`); besides them
            `effective_PARAMETER` (the value after inert ones are set to what they amount to), `in_space` (bool),
            `in_regressions` (bool), `on_front` (bool) and `version_letter` (where code, data or device changed).
        descriptive: column -> its figures over the completed trials.
        ranking: `accuracy`, `energy` (least first) and `efficiency`, and each other objective by its name: the best
            five of each.
        pareto: the front of accuracy against energy_wh, least energy first, `value` being the energy in Wh; of other
            objectives, the best in the first one first, by whose value.
        regressions: response -> coding -> fit; one that could not be made is in `refused` instead. Objectives other
            than accuracy and energies are responses too.
        refused: (response, coding) -> why it cannot be estimated.
        footnotes: what holds for the whole analysis, as sentences.
        failures: shares of failures by value, then by pair; empty where no trial failed because of its setting.
    """

    study: StudySpec
    trials: pd.DataFrame
    counts: Counts
    exclusions: tuple[Exclusion, ...]
    descriptive: Mapping[str, Descriptive]
    ranking: Mapping[str, tuple[Ranked, ...]]
    pareto: tuple[Ranked, ...]
    hypervolume: Hypervolume
    correlations: tuple[Correlation, ...]
    regressions: Mapping[Explained, Mapping[Coding, Regression]]
    refused: Mapping[tuple[Explained, Coding], str]
    importance: tuple[Importance, ...]
    advice: Advice
    footnotes: tuple[str, ...]
    failures: tuple[FailureShare, ...] = ()

    @property
    def tells_accuracy(self) -> bool:
        """Whether the study is about accuracy: the trials of one of other objectives alone may tell none."""
        return not plane_of(self.study).others or bool(self.trials["accuracy"].notna().any())

    def explained(self, responses: Iterable[Response]) -> list[Explained]:
        """Return these responses, without those of accuracy where no trial tells one, and then the study's own."""
        without = () if self.tells_accuracy else (Response.ACCURACY, Response.EFFICIENCY)
        return [*(response for response in responses if response not in without), *own_responses(self.study)]
