"""What the user said of trials after they had ended: which are excluded, and why, and which were asked for again.

Kept as one attribute of the study, because a trial that has ended can no longer be changed. Invariant: a mark never
changes what a trial measured; readers show an excluded trial in a state of its own, which no calculation counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from greenopt.storage.trial_state import TrialState

MARKS_ATTRIBUTE = "greenopt:marks"
"""The study's attribute that holds them."""


@dataclass(frozen=True)
class TrialMarks:
    """The marks of a study's trials.

    Attributes:
        excluded: trial -> why it is left out of front, analysis and report.
        retried: trials whose settings were asked for again; they no longer count towards the study's size.
    """

    excluded: Mapping[int, str] = field(default_factory=dict)
    retried: frozenset[int] = frozenset()

    @classmethod
    def from_kept(cls, kept: Any) -> Self:
        """Return the marks that a storage holds; what cannot be one is passed over: a storage may be damaged."""
        if not isinstance(kept, dict):
            return cls()
        excluded, retried = kept.get("excluded"), kept.get("retried")
        reasons = excluded.items() if isinstance(excluded, dict) else ()
        numbers = retried if isinstance(retried, list) else ()
        return cls(
            {int(number): why for number, why in reasons if str(number).isdecimal() and isinstance(why, str)},
            frozenset(number for number in numbers if type(number) is int),
        )

    @property
    def kept(self) -> dict[str, Any]:
        """The marks as a storage holds them."""
        return {
            "excluded": {str(number): why for number, why in self.excluded.items()},
            "retried": sorted(self.retried),
        }

    def add_to(self, row: dict[str, Any]) -> None:
        """Mark a trial's row: `excluded` holds the reason, and the state says so; `retried` is true where it was."""
        number = int(row["trial"])
        if number in self.retried:
            row["retried"] = True
        if number in self.excluded and TrialState(row["state"]).is_finished:
            row["excluded"], row["state"] = self.excluded[number], TrialState.EXCLUDED.value
