"""Which trials ran with which code, data and kind of device: those of two versions do not compare without a word.

Invariant: a trial that has not recorded one of them (older studies, imports) is told apart by the others alone.
"""

from collections.abc import Iterable, Sequence
from string import ascii_uppercase

import pandas as pd

from greenopt.reading import EnergySource
from greenopt.storage.trial_state import TrialState

_WHAT = {"code_id": "code", "data_id": "data"}
_GPU = (EnergySource.NVML_COUNTER, EnergySource.NVML_POWER)
_CPU = (EnergySource.RAPL, EnergySource.ESTIMATE)


def versions_of(trials: "pd.DataFrame") -> "pd.Series[str]":
    """Return a letter for each trial that has ended, A for the oldest version; missing where all are of one version."""
    marks = _marks(trials)
    letters: dict[tuple[object, ...], str] = {}
    for key in marks.itertuples(index=False, name=None):
        if any(value is not None for value in key):
            letters.setdefault(key, ascii_uppercase[min(len(letters), 25)])
    found = [letters.get(key) if len(letters) > 1 else None for key in marks.itertuples(index=False, name=None)]
    return pd.Series(found, index=trials.index, dtype="object")


def version_notes(trials: "pd.DataFrame") -> list[str]:
    """Return a sentence for each of code, data and device in which completed trials differ."""
    complete = trials[trials["state"] == TrialState.COMPLETE]
    marks = _marks(complete)
    notes = []
    for what in marks:
        groups = [complete["trial"][marks[what] == value] for value in dict.fromkeys(marks[what]) if value is not None]
        if len(groups) > 1:
            earlier = ", ".join(_numbers(group) for group in groups[:-1])
            how = "on another kind of device" if what == "device" else f"with other {what}"
            one = "trial" if earlier.isdigit() else "trials"
            notes.append(
                f"{one} {earlier} ran {how} than {_numbers(groups[-1])}: their figures do not compare; letters in "
                "rankings and front tell them apart"
            )
    return notes


def _marks(trials: "pd.DataFrame") -> "pd.DataFrame":
    """Return code, data and kind of device of each trial; None where not recorded."""
    marks = {what: [_text(value) for value in _column(trials, name)] for name, what in _WHAT.items()}
    marks["device"] = [_device(value) for value in _column(trials, "energy_source")]
    return pd.DataFrame(marks, index=trials.index, dtype="object")


def _column(trials: "pd.DataFrame", name: str) -> Sequence[object]:
    return list(trials[name]) if name in trials else [None] * len(trials)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _device(source: object) -> str | None:
    if source in _GPU:
        return "GPU"
    return "CPU" if source in _CPU else None


def _numbers(trials: Iterable[int]) -> str:
    """Return numbers as ranges: `0-5, 8`."""
    ranges: list[list[int]] = []
    for number in sorted(int(each) for each in trials):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
