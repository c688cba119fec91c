"""The figures of `scripts/gpu_figures.py` as tables in text. Estimates are marked `~`, what is not known is a dash."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from greenopt.formatting import MISSING, counted, format_setting, significant

RUN_HEADS = ("run", "GPUs", "trials", "wall s", "trials/h", "Wh", "parts", "outcomes")
GPU_HEADS = (
    *("run", "GPU", "trials", "held s", "held", "busy", "trials Wh", "counter Wh", "rest Wh", "unmetered s"),
    *("idle W", "idle Wh", "left Wh"),
)
PAIR_HEADS = (
    "one",
    "all",
    "outcome",
    "GPUs",
    "Wh one",
    "Wh all",
    "differ",
    "train one",
    "train all",
    "differ",
    "setting",
)


def lines(figures: Mapping[str, Any], labels: Sequence[str]) -> Iterator[str]:
    """All tables of a comparison; `labels` are the runs that there are, the one on one GPU first."""
    runs = {label: figures[label] for label in labels}
    yield from table([RUN_HEADS, *(_run_row(label, run) for label, run in runs.items())])
    if figures.get("speedup") is not None:
        gpus = [run["gpus"] for run in runs.values()]
        yield f"speedup: {figures['speedup']:.2f}x in trials/h with {counted(gpus[1], 'GPU')} against {gpus[0]}"
    yield ""
    yield from table([GPU_HEADS, *(_gpu_row(label, gpu) for label, run in runs.items() for gpu in run["by_gpu"])])
    yield (
        "rest: counter less the trials' energy; idle: unmetered time x idle power; left: what these do not explain. "
        "held: share of the wall time; busy: mean utilisation while metered."
    )
    if "pairs" in figures:
        names = {gpu["gpu"]: gpu["name"] for run in runs.values() for gpu in run["by_gpu"]}
        yield ""
        yield from table([PAIR_HEADS, *(_pair_row(pair, names) for pair in figures["pairs"])])
        yield from _spread_lines(figures["spreads"])
    yield ""
    if figures["violations"]:
        yield from (f"VIOLATED: {line}" for line in figures["violations"])
    else:
        yield _proof(runs)


def _proof(runs: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{label}: {counted(run['trials'] + run['cut_off'])}" for label, run in runs.items())
    seen = max(gpu["most_processes"] for run in runs.values() for gpu in run["by_gpu"])
    witness = "at most one process at a time was listed on each" if seen else "no process was ever listed on one"
    return f"no trial held a GPU that another one held, and none saw another process on its GPU ({counts}); {witness}"


def _run_row(label: str, run: Mapping[str, Any]) -> list[str]:
    outcomes = ", ".join(f"{count} {word}" for word, count in sorted(run["outcomes"].items()))
    state = "" if run["is_done"] else " (not done)"
    figures = [_number(run["wall_s"], 1), _number(run["trials_per_hour"], 1), _wh(run["total_wh"], run["is_estimate"])]
    return [label + state, str(run["gpus"]), str(run["trials"]), *figures, str(run["parts"]), outcomes]


def _gpu_row(label: str, gpu: Mapping[str, Any]) -> list[str]:
    return [
        *(label, gpu["name"], str(gpu["trials"]), _number(gpu["held_s"], 1)),
        *(_share(gpu["held_share"]), _share(gpu["busy_share"]), _wh(gpu["trials_wh"], gpu["is_estimate"])),
        *(_wh(gpu[name]) for name in ("counter_wh", "rest_wh")),
        *(_number(gpu["unmetered_s"], 1), _number(gpu["idle_w"], 1)),
        *(_wh(gpu[name]) for name in ("idle_wh", "unexplained_wh")),
    ]


def _pair_row(pair: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    halves = [pair["one"], pair["several"]]
    outcomes = list(dict.fromkeys(half["outcome"] for half in halves if half is not None))
    places = [MISSING if half is None else names.get(half["gpu"], half["gpu"]) for half in halves]
    numbers = [MISSING if half is None else str(half["trial"]) for half in halves]
    energies = []
    for name in ("total_wh", "training_wh"):
        energies += [MISSING if half is None else _wh(half[name], half["source"] == "estimate") for half in halves]
        percent = pair[f"{name}_percent"]
        energies.append(MISSING if percent is None else f"{percent:+.2f}%")
    return [*numbers, " / ".join(outcomes), " / ".join(places), *energies, format_setting(pair["setting"])]


def _spread_lines(spreads: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for place, words in (("different", "different GPUs"), ("same", "the same GPU")):
        for name, what in (("total_wh", "whole trials"), ("training_wh", "training alone")):
            spread = spreads[f"{place}_gpu_{name}"]
            if spread["pairs"]:
                yield (
                    f"equal settings on {words}, {what}: |difference| median {spread['median_percent']:.2f} %, "
                    f"largest {spread['largest_percent']:.2f} % ({counted(spread['pairs'], 'pair')})"
                )
            elif name == "total_wh":
                yield f"equal settings on {words}: no pair that came equally far"


def table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Rows of cells in columns; the last column is left-aligned."""
    kept = list(rows)
    widths = [max(len(row[i]) for row in kept) for i in range(len(kept[0]) - 1)]
    for row in kept:
        yield "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])


def _number(value: float | None, digits: int) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.1f}%"


def _wh(value: float | None, is_estimate: bool = False) -> str:
    return MISSING if value is None else f"{'~' if is_estimate else ''}{significant(value, 4)}"
