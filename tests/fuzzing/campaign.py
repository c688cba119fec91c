"""Runs many fuzzed files and command lines and counts how they ended."""

import json
import os
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzzing.command_lines import command_lines
from tests.fuzzing.damage import COMMANDS, REPORT, damage_import, damage_study
from tests.fuzzing.judge import FINDINGS, Ended, Verdict, judged
from tests.fuzzing.place import Place
from tests.fuzzing.study_files import mutated_studies, texts_like_studies

KEPT_EXAMPLES = 40


class TimeIsUpError(KeyboardInterrupt):
    """No more inputs are to be tried; of the kind that Hypothesis lets pass."""


@dataclass
class Tally:
    """How the inputs of one kind ended, and the first that ended as none may."""

    kind: str
    counts: Counter[Verdict] = field(default_factory=Counter)
    examples: dict[str, tuple[str, Ended]] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, ended: Ended) -> None:
        """Count an input."""
        self.counts[ended.verdict] += 1
        self.answers[_gist(ended)] += 1
        if ended.verdict in FINDINGS:
            self.examples.setdefault(f"{ended.verdict}: {_gist(ended)}", (what, ended))

    @property
    def findings(self) -> list[str]:
        """One text for each finding that is not like another: what it was, the input, what was said."""
        return [
            f"{gist}\n  input: {what}\n  exit code {ended.exit_code}, changed {ended.changed}\n"
            f"  out: {ended.out[:300]!r}\n  err: {ended.err[:600]!r}"
            for gist, (what, ended) in list(self.examples.items())[:KEPT_EXAMPLES]
        ]

    @property
    def row(self) -> str:
        """A line of the table."""
        cells = [self.kind, str(self.counts.total())]
        return " | ".join([*cells, *(str(self.counts[verdict]) for verdict in Verdict)])


HEAD = " | ".join(["kind", "tried", *Verdict])


def _gist(ended: Ended) -> str:
    return "".join("#" if letter.isdigit() else letter for letter in ended.err[-160:].strip())[:90]


def run_campaign(
    kind: str,
    strategy: st.SearchStrategy[Any],
    examples: int,
    seeded: int,
    attempt: Callable[[Any], tuple[str, Ended]],
) -> Tally:
    """Try inputs of one kind, until there are enough or `GREENOPT_FUZZ_S` seconds have passed.

    Args:
        kind: its name in the table.
        strategy: makes the inputs.
        examples: how many.
        seeded: the seed.
        attempt: gives one input to greenopt.
    """
    tally = Tally(kind)
    if not examples:
        return tally

    ends_s = time.monotonic() + float(os.environ.get("GREENOPT_FUZZ_S", "inf"))

    @seed(seeded)
    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def try_one(value: Any) -> None:
        if time.monotonic() > ends_s:
            raise TimeIsUpError
        tally.add(*attempt(value))

    with suppress(TimeIsUpError):
        try_one()
    return tally


@contextmanager
def made_place() -> Iterator[Place]:
    """A place in a folder of its own that is removed again."""
    with tempfile.TemporaryDirectory(prefix="greenopt-fuzz-") as folder:
        yield Place(Path(folder))


def try_study_files(place: Place, examples: int, seeded: int) -> list[Tally]:
    """Give study files to `greenopt run`, most of them with `--dry-run`."""

    def attempt(content: bytes) -> tuple[str, Ended]:
        (place.folder / "tried.toml").write_bytes(content)
        is_dry = zlib.crc32(content) % 20 > 0
        line = ["run", "tried.toml", "--gpus", "none", *(["--dry-run"] if is_dry else ["--plain"])]
        return repr(content[:2000]), _attempted(place, line, is_dry=is_dry)

    return [
        run_campaign("study file, structured", mutated_studies().map(str.encode), examples * 3 // 4, seeded, attempt),
        run_campaign("study file, textual", texts_like_studies(), examples - examples * 3 // 4, seeded, attempt),
    ]


def try_command_lines(place: Place, examples: int, seeded: int) -> list[Tally]:
    """Give command lines to `greenopt`."""

    def attempt(line: list[str]) -> tuple[str, Ended]:
        return json.dumps(line)[:2000], _attempted(place, line, is_dry="--dry-run" in line)

    return [run_campaign("command line", command_lines(), examples, seeded, attempt)]


def try_damaged_studies(place: Place, examples: int, seeded: int) -> list[Tally]:
    """Damage a study's folder, its database included, and give it to every command that reads one."""

    def attempt(data: st.DataObject) -> tuple[str, Ended]:
        place.restore()
        done = damage_study(place.folder / "runs" / "known", data.draw)
        line = data.draw(st.sampled_from(COMMANDS)) if data.draw(st.integers(0, 149)) else REPORT
        return f"{done}\n  {line}", judged(line, place.folder)

    return [run_campaign("damaged study", st.data(), examples, seeded, attempt)]


def try_imports(place: Place, examples: int, seeded: int) -> list[Tally]:
    """Import damaged CSV, Parquet and YAML files."""

    def attempt(data: st.DataObject) -> tuple[str, Ended]:
        place.restore()
        done, line = damage_import(place.folder, data.draw)
        return f"{done}\n  {line}", judged(line, place.folder)

    return [run_campaign("damaged import", st.data(), examples, seeded, attempt)]


def _attempted(place: Place, line: list[str], *, is_dry: bool) -> Ended:
    ended = judged(line, place.folder, is_dry=is_dry)
    if ended.changed:
        place.restore()
    return ended
