"""A short session of faults; `scripts/fault_session --faults 500` is the long one."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from scripts.fault_checks import Findings, check_leftovers, check_records, rows_of
from scripts.fault_rounds import TRIALS, Session, table_lines

pytestmark = pytest.mark.end_to_end

FAULTS = 8


def test_faults_lose_nothing_and_count_nothing_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(tmp_path, Random(2))
    session.run(FAULTS)
    said = capsys.readouterr().out
    tallies = session.tallies.values()
    assert sum(each.injected for each in tallies) == FAULTS
    assert not session.has_losses, said + "\n".join(table_lines(session.tallies))


def test_a_storage_that_stays_locked_ends_the_command_with_3_and_the_same_command_goes_on(tmp_path: Path) -> None:
    study = Session(tmp_path, Random(2)).new_round(patience_s=1)
    study.start()
    until_s = time.monotonic() + 60
    while len(study.trial_folders()) < 2 and time.monotonic() < until_s:
        time.sleep(0.02)
    with closing(sqlite3.connect(study.folder.path / "study.db", timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        study.wait()
        other.execute("ROLLBACK")
    assert study.code == 3
    out = study.output.read_text()
    assert f"storage {study.url} is away: it is locked by another process; running trials go on" in out
    assert "its storage was away for too long; run the same command to resume, nothing is lost" in out
    assert check_leftovers(study.folder, study.url, study.ledger).orphans == ()
    study.start()
    study.wait()
    assert study.code == 0
    rows = rows_of(study.folder, study.url)
    assert [row["state"] for row in rows] == ["complete"] * TRIALS
    assert check_records(rows, study.folder, study.ledger) == Findings()
