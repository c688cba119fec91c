"""The fault session notices what it is there to notice."""

import json
from pathlib import Path
from typing import Any

import pytest

from greenopt.runs.folder import RunFolder
from scripts.fault_checks import check_end, check_records
from scripts.fault_processes import epoch_wh


def row(trial: int, state: str = "complete", wh: float | None = None, **rest: Any) -> dict[str, Any]:
    spent = sum(epoch_wh(trial, epoch) for epoch in (1, 2)) if wh is None else wh
    return {"trial": trial, "state": state, "x": 0.1 * trial, "energy_wh": spent, "total_wh": spent, **rest}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    file = tmp_path / "ledger"
    entries = [
        {"trial": trial, "pid": 10 + trial, "epoch": epoch, "wh": epoch_wh(trial, epoch)}
        for trial in range(3)
        for epoch in (1, 2)
    ]
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return file


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (row(1), None),
        (row(1, wh=2.2), "lost"),
        (row(1, energy_wh=None), "lost"),
        (row(1, x=0.0), "twice"),
        (row(1, "fail", fail_reason="killed", wh=0.5), "lost"),
        (row(1, "fail", fail_reason="killed", wh=epoch_wh(1, 1)), None),
    ],
)
def test_records_are_compared_with_what_was_drawn(
    tmp_path: Path, ledger: Path, wrong: dict[str, Any], kind: str | None
) -> None:
    found = check_records([row(0), wrong], RunFolder(tmp_path / "study"), ledger)
    assert bool(found.lost) == (kind == "lost")
    assert bool(found.twice) == (kind == "twice")


def test_a_trial_that_ran_in_two_processes_is_noticed(tmp_path: Path, ledger: Path) -> None:
    with ledger.open("a") as file:
        file.write(json.dumps({"trial": 0, "pid": 99, "epoch": 1, "wh": 1.1}) + "\n")
    assert check_records([], RunFolder(tmp_path / "study"), ledger).twice == ("trial 0 ran in two processes",)


def test_a_missing_trial_and_a_missing_retry_are_noticed() -> None:
    assert check_end([row(0), row(1)], 2).lost == ()
    assert check_end([row(0)], 2).lost
    assert check_end([row(0), row(1), row(2, "running")], 2).lost
    assert any("never ran again" in line for line in check_end([row(0), row(1, "fail", fail_reason="killed")], 1).lost)
