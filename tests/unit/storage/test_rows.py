"""Figures and leases of a damaged storage."""

import math
from typing import Any

import pytest

from greenopt.coordination.verdict import metric_names
from greenopt.events import FailReason
from greenopt.identity.ids import ATTEMPT_ATTRIBUTE
from greenopt.identity.inputs import CODE_ATTRIBUTE, DATA_ATTRIBUTE
from greenopt.storage.rows import NUMBERS, TEXTS, kept_lease, sound
from greenopt.storage.trial_state import failure_of, is_to_retry

LEASE = {"pid": 3, "started_s": 1.5, "host": "node7", "utc_s": 2.0}


def test_every_metric_is_known_as_a_number_or_a_text() -> None:
    assert set(metric_names()) | {ATTEMPT_ATTRIBUTE, CODE_ATTRIBUTE, DATA_ATTRIBUTE} <= NUMBERS | TEXTS
    assert not NUMBERS & TEXTS


@pytest.mark.parametrize("value", ["0.5", [0.5], {}, True, math.nan, math.inf, None])
def test_a_figure_that_is_no_number_counts_as_not_measured(value: Any) -> None:
    assert sound({"accuracy": value, "energy_wh": 1.5, "own": value}) == {"energy_wh": 1.5, "own": value}


@pytest.mark.parametrize("value", [1, ["gap"], None])
def test_a_text_that_is_none_is_left_out(value: Any) -> None:
    assert sound({"flags": value, "message": "x"}) == {"message": "x"}


def test_a_reason_of_another_version_is_a_crash_and_no_interruption() -> None:
    assert failure_of("fail", {"fail_reason": "unheard_of"}) is FailReason.CRASH
    assert not is_to_retry("fail", {"fail_reason": "unheard_of"})


@pytest.mark.parametrize(
    "damage", [{"pid": -1}, {"pid": "3"}, {"pid": True}, {"host": None}, {"utc_s": "now"}, {"started_s": None}]
)
def test_a_lease_that_does_not_say_whose_it_is_is_none(damage: dict[str, Any]) -> None:
    assert kept_lease(LEASE) == LEASE
    assert kept_lease({**LEASE, **damage}) is None


@pytest.mark.parametrize("kept", [None, [], "x", 3, {}])
def test_what_is_no_lease_is_none(kept: object) -> None:
    assert kept_lease(kept) is None
