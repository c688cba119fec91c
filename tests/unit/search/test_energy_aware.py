"""The sampler that weighs expected gain in hypervolume against forecast energy."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from greenopt.errors import UsageError
from greenopt.events import Outcome
from greenopt.search import Search, check_sampler, startup_note
from greenopt.search.energy_aware import Energies, best_candidate, expected_log
from greenopt.search.evidence import Evidence, known_accuracy, read_evidence, stopped_trial, whole_trial
from greenopt.search.gaussian_process import Encoder, Process
from greenopt.spec import StudySpec, Value
from tests.builders import study

SPACE = {"width": [1, 2, 4, 8], "rate": {"low": 0.01, "high": 1.0, "log": True}, "kind": ["a", "b", "c"]}


def spec_of(space: Mapping[str, Any] = SPACE, **sampler: Any) -> StudySpec:
    return StudySpec.model_validate(
        {
            "study": {"name": "tried", "trials": 30, "seed": 3, "objective": "mine:train"},
            "training": {"epochs": 10},
            "sampler": {"name": "energy_aware", "n_candidates": 60, **sampler},
            "space": dict(space),
        }
    )


def truth(values: Mapping[str, Value]) -> tuple[float, float]:
    """Accuracy and energy: the kind decides whether it learns, the width what it costs."""
    best = values["kind"] == "b"
    rate = float(values["rate"])
    return (0.9 - 0.2 * math.log10(rate / 0.1) ** 2 if best else 0.05), 10.0 * float(values["width"]) ** 1.5


def run(spec: StudySpec, trials: int, search: Search | None = None) -> list[dict[str, Value]]:
    search = search or Search(spec, None)
    found: list[dict[str, Value]] = []
    for _ in range(trials):
        proposal = search.ask()
        found.append(proposal.values)
        search.tell(proposal.trial, Outcome.COMPLETED, {}, list(truth(proposal.values)))
    return found


def test_it_learns_what_is_accurate_and_cheap() -> None:
    late = run(spec_of(), 20)[10:]
    assert sum(values["kind"] == "b" for values in late) >= 8
    assert np.mean([float(values["width"]) for values in late]) < np.mean([1, 2, 4, 8])


def test_the_same_seed_proposes_the_same_and_another_one_not() -> None:
    assert run(spec_of(), 8) == run(spec_of(), 8)
    other = spec_of().model_copy(update={"study": spec_of().study.model_copy(update={"seed": 4})})
    assert run(other, 8) != run(spec_of(), 8)


def test_running_trials_are_not_proposed_again() -> None:
    search = Search(spec_of({"width": [1, 2], "kind": ["a", "b", "c"]}), None)
    for _ in range(2):
        proposal = search.ask()
        search.tell(proposal.trial, Outcome.COMPLETED, {}, [0.5, 1.0 + proposal.trial])
    at_once = [tuple(search.ask().values.values()) for _ in range(4)]
    assert len(set(at_once)) == 4


def test_running_trials_count_as_they_are_forecast_to_end() -> None:
    spec = spec_of({"kind": ["a", "b", "c"], "width": [1, 2]})
    known = [whole_trial({"kind": "a", "width": width}, 0.3, 10.0 * width) for width in (1, 2)] * 3
    candidates: list[dict[str, Value]] = [{"kind": "b", "width": 1}, {"kind": "c", "width": 1}]
    for pending, other in (candidates, candidates[::-1]):
        assert best_candidate(spec, known, [pending], candidates) == other


@pytest.mark.parametrize("size", [1, 3])
def test_a_space_that_was_tried_whole_is_proposed_again(size: int) -> None:
    assert len(run(spec_of({"kind": list("abc")[:size], "width": 1, "rate": 0.1}), 6)) == 6


def test_a_failed_trial_counts_as_accuracy_0_and_an_interrupted_one_for_nothing() -> None:
    search = Search(spec_of(), None)
    for number, reason in enumerate(("crash", "killed")):
        search.ask()
        search.tell(number, Outcome.FAILED, {"fail_reason": reason})
    ended, pending = read_evidence(search._study.trials, search.spec)
    assert [each.accuracy for each in ended] == [known_accuracy(0.0)]
    assert ended[0].energy is None
    assert pending == []


def test_a_stopped_trial_tells_its_forecast_with_its_uncertainty() -> None:
    setting: dict[str, Value] = {"kind": "a", "width": 1, "rate": 0.1}
    early, late = (stopped_trial(setting, 0.5, 2.0 * epochs, epochs, 10) for epochs in (1, 9))
    assert early.accuracy is not None
    assert late.accuracy is not None
    assert early.accuracy.quantile(0.5) > late.accuracy.quantile(0.5) > 0.5
    assert early.accuracy.deviation > late.accuracy.deviation > 0
    assert early.energy is not None
    assert early.energy.median_wh == pytest.approx(20.0)
    assert (early.whole, early.cost_share) == (None, 0.1)


def test_stopped_trials_are_read_from_the_storage() -> None:
    search = Search(spec_of(), None)
    figures: list[dict[str, Any]] = [
        {"accuracy": 0.4, "energy_wh": 3.0, "epochs_done": 2, "stop_reason": "dominated"},
        {"stop_reason": "diverged"},
        {"forecast_wh": 5.0, "stop_reason": "not_started"},
    ]
    for number, each in enumerate(figures):
        search.ask()
        search.tell(number, Outcome.DIVERGED, each)
    ended, _ = read_evidence(search._study.trials, search.spec)
    assert len(ended) == 2, "one that was not started tells nothing"
    assert ended[0].energy is not None
    assert ended[0].energy.median_wh == pytest.approx(15.0)
    assert ended[1].accuracy == known_accuracy(0.0)


def test_what_is_likely_to_be_stopped_costs_less() -> None:
    spec = spec_of({"kind": ["a", "b", "c"], "width": [1]})
    known = [whole_trial({"kind": "a", "width": 1}, 0.5, 10.0), whole_trial({"kind": "a", "width": 1}, 0.52, 11.0)]
    stopped = [stopped_trial({"kind": "b", "width": 1}, 0.01, 0.1, 1, 100)] * 4
    for evidence in (known, [*known, *stopped]):
        assert best_candidate(spec, evidence, [], [{"kind": "c", "width": 1}]) == {"kind": "c", "width": 1}


def test_energy_is_expected_to_fall_with_the_batch_until_trials_tell() -> None:
    assert expected_log({"batch_size": 8}) > expected_log({"batch_size": 64})
    assert expected_log({"width": 8}) == expected_log({"batch_size": "auto"}) == 0.0
    spec = spec_of({"batch_size": [8, 64]})
    reverse = [whole_trial({"batch_size": size}, 0.5, wh) for size, wh in ((8, 1.0), (64, 9.0))] * 10
    logs, deviations = Energies(spec, reverse).forecast([{"batch_size": 8}, {"batch_size": 64}])
    assert np.exp(logs) == pytest.approx([1.0, 9.0], rel=0.1)
    assert deviations.max() < 0.5


@pytest.mark.parametrize(
    "objectives",
    [{"accuracy": "maximize"}, {"accuracy": "maximize", "efficiency": "maximize"}, {"energy_wh": "minimize"}],
)
def test_other_objectives_are_refused(objectives: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="weighs accuracy against energy"):
        check_sampler(study(sampler={"name": "energy_aware"}, objectives=objectives))


@pytest.mark.parametrize("metric", ["energy_wh", "total_wh", "wh_per_epoch"])
def test_any_energy_and_order_of_objectives_will_do(metric: str) -> None:
    spec = study(sampler={"name": "energy_aware"}, objectives={metric: "minimize", "accuracy": "maximize"})
    check_sampler(spec)
    search = Search(spec, None)
    for number in range(5):
        search.ask()
        search.tell(number, Outcome.COMPLETED, {}, [5.0 + number, 0.5])
    ended, _ = read_evidence(search._study.trials, spec)
    assert [each.whole[:2] for each in ended if each.whole is not None] == [(5.0 + n, 0.5) for n in range(5)]


def test_a_study_of_its_random_trials_alone_is_told() -> None:
    assert startup_note(spec_of(n_startup_trials=30)) is not None
    assert startup_note(spec_of()) is None


def test_the_process_predicts_what_is_additive_and_is_unsure_far_away() -> None:
    spec = spec_of({"kind": ["a", "b", "c"], "width": [1, 2, 4, 8]})
    effects = {"a": 0.0, "b": 1.0, "c": -1.0}
    settings = [{"kind": kind, "width": width} for kind in "abc" for width in (1, 2, 4)]
    response = np.array([effects[str(each["kind"])] + float(each["width"]) / 4 for each in settings])
    encoder = Encoder(spec.space)
    process = Process(encoder, encoder.encode(settings), response, np.zeros(9), 2.0)
    means, spreads = process.predict(encoder.encode([*settings, {"kind": "b", "width": 8}]))
    assert means[:9] == pytest.approx(response, abs=0.2)
    assert spreads[9] > spreads[:9].max()


def test_what_is_uncertain_weighs_less() -> None:
    encoder = Encoder(spec_of({"kind": ["a", "b"]}).space)
    settings, response = encoder.encode([{"kind": "a"}, {"kind": "a"}]), np.array([0.0, 2.0])
    unsure = Process(encoder, settings, response, np.array([0.0, 5.0]), 2.0).predict(settings)[0][0]
    even = Process(encoder, settings, response, np.zeros(2), 2.0).predict(settings)[0][0]
    assert unsure < even - 0.2


def test_evidence_of_an_energy_that_was_not_measured_has_no_energy() -> None:
    assert whole_trial({}, 0.5, 0.0) == Evidence({}, known_accuracy(0.5))
