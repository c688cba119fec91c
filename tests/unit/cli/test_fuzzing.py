"""A little of what `scripts/fuzz` does: no input ends in an internal error, in two lines, or in a file."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuzzing import judge
from tests.fuzzing.campaign import (
    Tally,
    made_place,
    try_command_lines,
    try_damaged_studies,
    try_imports,
    try_study_files,
)
from tests.fuzzing.command_lines import commands
from tests.fuzzing.judge import Verdict, judged
from tests.fuzzing.place import Place
from tests.fuzzing.study_files import built_studies, shipped_studies, to_toml


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with made_place() as made:
        yield made


@pytest.mark.parametrize(
    ("campaign", "examples"),
    [(try_study_files, 100), (try_damaged_studies, 12), (try_imports, 12), (try_command_lines, 80)],
)
def test_nothing_ends_otherwise_than_it_must(
    place: Place, campaign: Callable[[Place, int, int], list[Tally]], examples: int
) -> None:
    tallies = campaign(place, examples, 0)
    assert sum(tally.counts.total() for tally in tallies) >= 0.9 * examples
    assert [finding for tally in tallies for finding in tally.findings] == []


def test_the_studies_that_are_mutated_are_sound(place: Place) -> None:
    for tables in (*shipped_studies(), *built_studies()):
        (place.folder / "tried.toml").write_text(to_toml(tables))
        ended = judged(["run", "tried.toml", "--gpus", "none", "--dry-run"], place.folder, is_dry=True)
        needs = ("not installed", "optimises one objective", "needs a list", "a grid needs")
        assert ended.verdict is Verdict.ACCEPTED or any(need in ended.err for need in needs), ended


def test_every_command_is_drawn() -> None:
    assert {"run", "import", "export", "rename", "doctor"} <= set(commands())


def test_a_command_that_waits_hangs_and_one_that_computes_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "LIMIT_S", 1)
    monkeypatch.setattr(judge, "LEAST_S", 0.01)

    def compute() -> None:
        while time.process_time() < end_s:
            pass

    assert judge.run_here(lambda: time.sleep(60), ["list"], tmp_path)[0] == -1
    end_s = time.process_time() + 0.9
    assert judge.run_here(compute, ["list"], tmp_path)[0] == 0
    end_s = time.process_time() + 60
    assert judge.run_here(compute, ["list"], tmp_path)[0] == -1
