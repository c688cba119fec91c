"""The result of reading an import: trials, and files that could not be read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from greenopt.coordination.verdict import Verdict
from greenopt.errors import UsageError
from greenopt.events import Event
from greenopt.spec import Range, StudySpec, Value

ELSEWHERE = "elsewhere:trained"
"""Stands for a training that is not known."""


class BrokenRunError(UsageError):
    """A run that cannot be imported; the text says what is wrong, without the run's name."""


@dataclass(frozen=True)
class ImportedTrial:
    """A trial that ran elsewhere.

    Attributes:
        run: its name there.
        values: its setting, by parameter.
        verdict: how it ended.
        events: what it would have said, without its number, which only the study gives; may be empty.
        metrics: flat figures by column; those that stand here take the place of what follows from the events.
        began, ended: in the time zone of whoever wrote them down; None where nobody did.
    """

    run: str
    values: Mapping[str, Value]
    verdict: Verdict
    events: tuple[Event, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    began: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True)
class Import:
    """A study that was read from elsewhere.

    Attributes:
        spec: the study, named; its size is the number of trials.
        skipped: what could not be read -> why.
        notes: what was understood in another way than one might expect, as sentences.
    """

    spec: StudySpec
    trials: tuple[ImportedTrial, ...]
    skipped: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def ranges(self) -> dict[str, Range]:
        """Return the ranges of a study whose space was made of the values that occur."""
        if self.spec.study.objective != ELSEWHERE:
            return {}
        return {name: found for name, found in self.spec.space.distributions.items() if isinstance(found, Range)}

    def outside_space(self) -> dict[str, tuple[str, Value]]:
        """Return the runs that have a value outside the study's space -> (parameter, value)."""
        found = {}
        for trial in self.trials:
            for name, value in trial.values.items():
                if not self.spec.space.distributions[name].holds(value):
                    found[trial.run] = (name, value)
        return found
