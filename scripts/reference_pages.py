"""Writes the generated parts of the documentation: the keys of a study file, and the commands.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; what stands around it is written by hand.
`scripts/docs` runs this; a test compares the pages with what it would write.
"""

import re
from collections.abc import Callable
from pathlib import Path

from greenopt.spec import Range, Setting
from greenopt.spec.data import DataSpec
from greenopt.spec.study import Confirms, EnergySpec, Extends, SamplerSpec, StoppingSpec, StudyTable
from greenopt.spec.training import TrainingSpec
from scripts.command_reference import command_list, command_sections
from scripts.study_file_reference import keys_table, objectives_table, samplers_table, tables_list

DOCS = Path(__file__).parents[1] / "greenopt" / "docs"

_PART = re.compile(r"<!-- generated: (?P<name>[\w.-]+) -->\n.*?<!-- end -->", re.DOTALL)

PARTS: dict[str, Callable[[], str]] = {
    "tables": tables_list,
    "study": lambda: keys_table(StudyTable),
    "confirms": lambda: keys_table(Confirms),
    "extends": lambda: keys_table(Extends),
    "objectives": objectives_table,
    "sampler": lambda: keys_table(SamplerSpec),
    "samplers": samplers_table,
    "stopping": lambda: keys_table(StoppingSpec),
    "data": lambda: keys_table(DataSpec),
    "training": lambda: keys_table(TrainingSpec),
    "energy": lambda: keys_table(EnergySpec),
    "space": lambda: keys_table(Setting),
    "range": lambda: keys_table(Range),
    "command-list": command_list,
    "commands": command_sections,
}


def regenerated(page: str) -> str:
    """Return a page with its generated parts made anew."""
    return _PART.sub(
        lambda match: f"<!-- generated: {match['name']} -->\n\n{PARTS[match['name']]()}\n\n<!-- end -->", page
    )


def main() -> None:
    """Write the generated parts into all pages."""
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = regenerated(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.name}: written anew")


if __name__ == "__main__":
    main()
