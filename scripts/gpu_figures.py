"""What the same study on one GPU and on several comes to: by run, by GPU, by setting."""

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenopt.energy.source import SHARED_GPU
from greenopt.events import FailReason
from scripts.gpu_runs import CUT_OFF, Board, Part, Ran, Run

J_PER_WH = 3600.0
ENOUGH_SAMPLES = 5
"""So many seconds without any utilisation say that a trial computed elsewhere."""


def overlaps(trials: Iterable[Ran]) -> list[str]:
    """A line for each trial that ran on a GPU while another held it."""
    found = []
    holder: dict[str, Ran] = {}
    for trial in sorted(trials, key=lambda trial: trial.began_s):
        before = holder.get(trial.gpu)
        if before is not None and trial.began_s < before.ended_s:
            both_s = min(before.ended_s, trial.ended_s) - trial.began_s
            found.append(f"trials {before.trial} and {trial.trial} both held {trial.gpu} for {both_s:.3f} s")
        if before is None or trial.ended_s > before.ended_s:
            holder[trial.gpu] = trial
    return found


def violations(run: Run) -> list[str]:
    """A line for each sign that a trial did not have its GPU for itself; none where all did."""
    found = overlaps(run.ran)
    for trial in run.ran:
        if SHARED_GPU in trial.flags or trial.outcome == FailReason.GPU_BUSY:
            found.append(f"trial {trial.trial} saw another process on {trial.gpu}")
        if trial.gpu not in run.used:
            found.append(f"trial {trial.trial} ran on {trial.gpu}, which the run was not given")
        if trial.outcome == "complete" and len(trial.busy) >= ENOUGH_SAMPLES and not any(trial.busy):
            found.append(f"trial {trial.trial} left {trial.gpu} idle: it computed elsewhere")
    for board in run.boards:
        most, allowed = run.most_processes(board.uuid), int(board.uuid in run.used)
        if most > allowed:
            found.append(f"{most} processes at a time were on {board.uuid}, which had room for {allowed}")
    return [f"{run.label}: {line}" for line in found]


def run_figures(run: Run) -> dict[str, Any]:
    """One run: times in s, energies in Wh; `total_wh` is None where a trial's energy is not known."""
    energies = [trial.total_wh for trial in run.ran]
    return {
        "gpus": len(run.used),
        "is_done": run.is_done,
        "parts": len(run.parts),
        "trials": len(run.ended),
        "cut_off": len(run.ran) - len(run.ended),
        "wall_s": run.wall_s,
        "trials_per_hour": 3600 * len(run.ended) / run.wall_s if run.wall_s > 0 else None,
        "total_wh": _sum(energies),
        "is_estimate": any(trial.source == "estimate" for trial in run.ran),
        "outcomes": dict(Counter(trial.outcome for trial in run.ran)),
        "by_gpu": [gpu_figures(run, board) for board in run.boards],
        "violations": violations(run),
    }


def gpu_figures(run: Run, board: Board) -> dict[str, Any]:
    """One GPU in one run.

    `rest_wh` is the counter's difference less the trials' energies; `idle_wh` is the time that no trial metered
    (`unmetered_s`) x idle power; `unexplained_wh` what is left of the rest then.
    """
    trials = [trial for trial in run.ran if trial.gpu == board.uuid]
    held_s = sum(trial.ended_s - trial.began_s for trial in trials)
    unmetered_s = run.wall_s - sum(trial.metered_s for trial in trials)
    busy = [share for trial in trials for share in trial.busy]
    trials_wh, counter_wh = _sum([trial.total_wh for trial in trials]), counted_wh(run.parts, board.uuid)
    rest_wh = _less(counter_wh, trials_wh)
    idle_wh = None if board.idle_w is None else board.idle_w * unmetered_s / J_PER_WH
    return {
        "gpu": board.uuid,
        "name": board.name,
        "trials": len(trials),
        "most_processes": run.most_processes(board.uuid),
        "held_s": held_s,
        "held_share": held_s / run.wall_s if run.wall_s > 0 else None,
        "busy_share": statistics.mean(busy) if busy else None,
        "trials_wh": trials_wh,
        "is_estimate": any(trial.source == "estimate" for trial in trials),
        "counter_wh": counter_wh,
        "rest_wh": rest_wh,
        "not_held_s": run.wall_s - held_s,
        "unmetered_s": unmetered_s,
        "idle_w": board.idle_w,
        "idle_wh": idle_wh,
        "unexplained_wh": _less(rest_wh, idle_wh),
    }


def counted_wh(parts: Iterable[Part], uuid: str) -> float | None:
    """What a GPU's energy counter grew by over all parts, in Wh; None where a reading is missing or it was reset."""
    total_j = 0.0
    for part in parts:
        began_j, ended_j = part.began_j.get(uuid), part.ended_j.get(uuid)
        if began_j is None or ended_j is None or ended_j < began_j:
            return None
        total_j += ended_j - began_j
    return total_j / J_PER_WH


def paired(one: Iterable[Ran], several: Iterable[Ran]) -> list[dict[str, Any]]:
    """The trials of both runs with the same setting, in the order of the first; those that were cut off are left out.

    Differences are those of the second against the first in %, and None where either is missing or the trials did not
    come equally far, or not through an epoch.
    """
    waiting: dict[str, list[Ran]] = defaultdict(list)
    for trial in several:
        if trial.outcome not in CUT_OFF:
            waiting[_key(trial)].append(trial)
    pairs = []
    for trial in one:
        if trial.outcome not in CUT_OFF:
            others = waiting[_key(trial)]
            pairs.append(_pair(trial, others.pop(0) if others else None))
    return pairs + [_pair(None, trial) for left in waiting.values() for trial in left]


def _key(trial: Ran) -> str:
    return json.dumps(dict(trial.setting), sort_keys=True)


def _pair(one: Ran | None, several: Ran | None) -> dict[str, Any]:
    first = one or several
    assert first is not None
    comparable = (
        one is not None
        and several is not None
        and (one.outcome, one.epochs) == (several.outcome, several.epochs)
        and one.epochs > 0
    )
    differences = {
        f"{name}_percent": _percent(getattr(one, name), getattr(several, name)) if comparable else None
        for name in ("total_wh", "training_wh")
    }
    return {
        "setting": dict(first.setting),
        "one": None if one is None else _half(one),
        "several": None if several is None else _half(several),
        "is_same_gpu": one is not None and several is not None and one.gpu == several.gpu,
        **differences,
    }


def _half(trial: Ran) -> dict[str, Any]:
    names = ("trial", "outcome", "gpu", "total_wh", "training_wh", "source", "flags")
    return {**{name: getattr(trial, name) for name in names}, "held_s": trial.ended_s - trial.began_s}


def spreads(pairs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Median and largest |difference| in % of equal settings, on different GPUs and on the same one."""
    found = {}
    for place, is_same in (("different", False), ("same", True)):
        for name in ("total_wh", "training_wh"):
            known = [
                abs(pair[f"{name}_percent"])
                for pair in pairs
                if pair["is_same_gpu"] is is_same and pair[f"{name}_percent"] is not None
            ]
            found[f"{place}_gpu_{name}"] = {
                "pairs": len(known),
                "median_percent": statistics.median(known) if known else None,
                "largest_percent": max(known, default=None),
            }
    return found


def comparison(one: Run | None, several: Run | None) -> dict[str, Any]:
    """All figures of both runs, or of the one that is there."""
    found: dict[str, Any] = {run.label: run_figures(run) for run in (one, several) if run is not None}
    if one is not None and several is not None:
        rates = [found[run.label]["trials_per_hour"] for run in (one, several)]
        found["speedup"] = rates[1] / rates[0] if all(rates) else None
        found["pairs"] = paired(one.ran, several.ran)
        found["spreads"] = spreads(found["pairs"])
    found["violations"] = [line for run in (one, several) if run is not None for line in found[run.label]["violations"]]
    return found


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _less(whole: float | None, part: float | None) -> float | None:
    return None if whole is None or part is None else whole - part


def _percent(first: float | None, second: float | None) -> float | None:
    return None if not first or second is None else 100 * (second / first - 1)
