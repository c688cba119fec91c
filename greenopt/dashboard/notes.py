"""Notes in Markdown on a study and on its trials."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from greenopt.energy.footprint import Footprint
from greenopt.events import StopReason
from greenopt.formatting import (
    format_energy,
    format_figure,
    format_fraction,
    format_seconds,
    format_setting,
    significant,
)
from greenopt.front import plane_of
from greenopt.plain_text import in_one_line, printable, uncoloured
from greenopt.reading import EnergySource
from greenopt.spec import StudySpec
from greenopt.storage.trial_state import TrialState
from greenopt.validation_gap import accuracy_caution

LOG_LINES = 15
_SIGNS = re.compile(
    r"[\\`*{}\[\]<>#!$&]|~(?=~)|(?<=~)~|(?<![^\W_])_|_(?![^\W_])|^(?P<indent> *)[-+=:](?=[ \-=:]|$)|(?<=\d)[.)](?= )",
    re.MULTILINE,
)
"""What Markdown, its tables, formulas or HTML would take for a sign of theirs."""
LOG_CHARACTERS = 1200

HOW_TO_READ = """\
### How to read it

- Best is the upper left of the plot *Accuracy for energy*: high accuracy for little energy. Hovering shows a trial's
  efficiency and setting.
- `efficiency` is accuracy / `wh_per_epoch` in 1/Wh. Energies are in Wh, `avg_power_w` in W, `seconds` in s.
- `energy_wh` is the gross energy of the trial's device from the first epoch's start to the last one's end; `total_wh`
  has the set-up too.
- `energy_source` says how it was obtained. An `estimate` was not measured; in words it is marked `~6.1 Wh est.`, in
  tables it is not.
- *Complete* trials have all objectives. *Pruned* ones were stopped early (`stop_reason`), *failed* ones did not get to
  their end (`fail_reason`); the energy that they had used is in their metrics.
- Each trial has a note, its epochs as a table, its curves and what it printed.
- The table that sorts by any figure is under the fourth sign on the left.
"""


def study_note(spec: StudySpec, machines: Iterable[str], forecast: str = "", mixed: str = "") -> str:
    """Return a note on what a study does, how, on which machine, and how to read it.

    Args:
        spec: the study.
        machines: devices in words, as far as known.
        forecast: what it will take, in words; empty where that is not known or it has ended.
        mixed: that trials ran on GPUs of different models, in words; empty where they did not.
    """
    rows = {
        "objectives": ", ".join(f"{direction} {_code(str(metric))}" for metric, direction in spec.objectives.items()),
        "trains": _trained(spec),
        "goes on from": _extends(spec),
        "trials": f"{spec.study.trials}, proposed by {spec.sampler.name}, seed {spec.seeds.sampler}",
        "parameters that vary": ", ".join(_varying(spec, name) for name in spec.space.free) or "none",
        "repeated settings": {"run": "run again", "replicate": "run with another training seed"}.get(
            spec.study.on_duplicate, "are skipped"
        ),
        "machine": "; ".join(map(_markdown, machines)) or "not known yet",
        "energies": _markdown(mixed),
        "electricity": _markdown(Footprint.from_spec(spec.energy).origin),
        "budgets": _markdown(", ".join(map(str, spec.budgets))),
        "forecast": _markdown(forecast),
    }
    table = "\n".join(f"| {name} | {_cell(text)} |" for name, text in rows.items() if text)
    head = f"{_markdown(spec.study.description, keep=chr(10))}\n\n" if spec.study.description else ""
    return f"{head}| | |\n|---|---|\n{table}\n\n{_how_to_read(spec)}"


def _extends(spec: StudySpec) -> str:
    extends = spec.study.extends
    if extends is None:
        return ""
    return f"the first {extends.trials} trials of study {_code(extends.study)}, with figures as measured there"


def _varying(spec: StudySpec, name: str) -> str:
    condition = spec.space.condition_text(name)
    return f"{_code(name)} (only with {_markdown(condition)})" if condition else _code(name)


def _how_to_read(spec: StudySpec) -> str:
    plane = plane_of(spec)
    if plane.is_accuracy_for_energy:
        return HOW_TO_READ
    first, _, rest = HOW_TO_READ.partition("- Best is")
    _, _, rest = rest.partition("setting.\n")
    what = f"- The front is of {_code(plane.title)}; the plot shows {_code(plane.up)} over {_code(plane.across)}.\n"
    return f"{first}{what}{rest}"


def _trained(spec: StudySpec) -> str:
    epochs = "1 epoch" if spec.epochs_text == "1" else f"{spec.epochs_text} epochs"
    if spec.study.objective is not None or spec.data is None:
        return f"{_code(str(spec.study.objective))}, {epochs}"
    seeds = f"split and training seeds {spec.seeds.split} and {spec.seeds.training}"
    return f"{_markdown(spec.training.model)} on {spec.data.label}, {epochs}, {seeds}"


def trial_note(spec: StudySpec, row: Mapping[str, Any], log: str = "") -> str:
    """Return a note on a trial's training and result.

    Args:
        spec: its study.
        row: its setting and figures by name, and its `state`.
        log: what its process printed; its end is quoted where the trial failed.
    """
    head = excluded_head(row) if row["state"] == TrialState.EXCLUDED else ""
    row = {**row, "state": _state_before(row)}
    details = "\n".join(f"- {_markdown(line)}" for line in _details(spec, row))
    note = f"{head}**{_markdown(format_row_setting(spec, row))}**\n\n{_ending(spec, row)}\n\n{details}".rstrip() + "\n"
    tail = "\n".join(uncoloured(log).splitlines()[-LOG_LINES:])[-LOG_CHARACTERS:].strip()
    failed_running = row["state"] == TrialState.FAIL and row.get("epochs_done") is not None
    # Four spaces make a code block that no character of the log can end.
    return note + "\nIts last lines:\n\n    " + tail.replace("\n", "\n    ") + "\n" if failed_running and tail else note


_EXCLUDED_HEAD = "> **Excluded by hand:** "


def excluded_head(row: Mapping[str, Any]) -> str:
    """Return what stands at the head of the note of an excluded trial: why it is excluded."""
    return f"{_EXCLUDED_HEAD}{_markdown(str(row.get('excluded') or 'no reason kept'))}\n\n"


def without_excluded_head(note: str) -> str:
    """Return a note without what `excluded_head` put before it."""
    return note.partition("\n\n")[2] if note.startswith(_EXCLUDED_HEAD) else note


def _state_before(row: Mapping[str, Any]) -> TrialState:
    """Return a trial's state before it was excluded, which its reasons tell."""
    if row["state"] != TrialState.EXCLUDED:
        return TrialState(row["state"])
    if row.get("stop_reason"):
        return TrialState.PRUNED
    return TrialState.FAIL if row.get("fail_reason") else TrialState.COMPLETE


def format_row_setting(spec: StudySpec, row: Mapping[str, Any]) -> str:
    """Format the setting of a trial's row in one line."""
    return format_setting({name: row[name] for name in spec.space.distributions if name in row})


def _figures(names: Sequence[str], row: Mapping[str, Any]) -> str:
    shown = (f"{_code(name)} {format_figure(name, row.get(name), row.get('energy_source'), 4)}" for name in names)
    return ", ".join(shown)


def _ending(spec: StudySpec, row: Mapping[str, Any]) -> str:
    if row["state"] == TrialState.COMPLETE:
        energy = format_energy(row.get("energy_wh"), row.get("energy_source"))
        test = f" (test {format_fraction(row['test_accuracy'])})" if row.get("test_accuracy") is not None else ""
        others = plane_of(spec).others
        if row.get("accuracy") is None and others:
            return f"{_figures(others, row)}, for {energy} in {format_seconds(row.get('seconds'))}."
        text = (
            f"Accuracy {format_fraction(row.get('accuracy'))}{test} "
            f"for {energy} in {format_seconds(row.get('seconds'))}."
        )
        efficiency = row.get("efficiency")
        text = text if efficiency is None else f"{text} Efficiency {significant(efficiency)} 1/Wh."
        return f"{text} {_figures(others, row)}." if others else text
    word, reason = ("Stopped early", "stop_reason") if row["state"] == TrialState.PRUNED else ("Failed", "fail_reason")
    if row.get("stop_reason") == StopReason.NOT_STARTED and row.get("message"):
        return f"N{_markdown(str(row['message']))[1:]}."
    message = f": {_markdown(str(row['message']))}" if row.get("message") else ""
    return f"{word}, {_code(str(row.get(reason) or 'unknown'))}{message}."


def _details(spec: StudySpec, row: Mapping[str, Any]) -> list[str]:
    lines = [f"**caution**: {caution}"] if (caution := accuracy_caution(spec, row)) else []
    if row.get("retry_of") is not None:
        lines.append(f"repeats trial {row['retry_of']}, which was interrupted")
    if row.get("from_study"):
        lines.append(f"measured as trial {row.get('from_trial')} of study {row['from_study']}")
    if row.get("replicate_of") is not None:
        lines.append(f"the setting of trial {row['replicate_of']} again, with training seed {row.get('training_seed')}")
    if row.get("baseline"):
        lines.append("the baseline: the first value of each parameter")
    if row.get("audited"):
        lines.append(f"an audit of the stopping rule, which would have stopped it: {_markdown(str(row['audited']))}")
    if row.get("inert"):
        lines.append(f"without effect in this setting: {row['inert'].replace(' ', ', ')}")
    if row["state"] != TrialState.COMPLETE and row.get("energy_wh") is not None:
        spent = format_energy(row["energy_wh"], row.get("energy_source"))
        lines.append(f"{spent} used in {row.get('epochs_done')} finished epochs")
    lines += _energy_details(spec, row)
    if row.get("gpu_name") or row.get("host"):
        lines.append("on " + ", ".join(str(row[name]) for name in ("gpu_name", "host") if row.get(name)))
    return lines


def _energy_details(spec: StudySpec, row: Mapping[str, Any]) -> list[str]:
    lines = []
    if row.get("energy_wh") is not None:
        doubt = "" if row.get("uncertainty_wh") is None else f", ± {significant(row['uncertainty_wh'], 2)} Wh"
        power = f", {_power(row)} on average" if row.get("avg_power_w") is not None else ""
        lines.append(f"energy from {row.get('energy_source')}{doubt}{power}")
    elif row.get("energy_missing"):
        lines.append(f"energy not measured: {row['energy_missing']}")
    if row.get("total_wh") is not None:
        total = format_energy(row["total_wh"], row.get("total_source"))
        footprint = Footprint.from_spec(spec.energy).format(row["total_wh"])
        lines.append(f"{total} with the set-up{f', {footprint}' if footprint else ''}")
    if row.get("flags"):
        lines.append(f"flags: {row['flags'].replace(' ', ', ')}")
    return lines


def _power(row: Mapping[str, Any]) -> str:
    power = f"{significant(row['avg_power_w'])} W"
    return f"~{power} est." if row.get("energy_source") == EnergySource.ESTIMATE else power


def _markdown(text: str, keep: str = "") -> str:
    """Return anybody's text as Markdown that shows it letter by letter: no link, no picture, no HTML, no formula."""
    shown = printable(text if keep else " ".join(text.split("\n")), keep)
    return _SIGNS.sub(_escaped, shown)


def _escaped(found: re.Match[str]) -> str:
    indent, sign = found["indent"] or "", found.group().lstrip(" ")
    return indent + {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}.get(sign, f"\\{sign}")


def _code(text: str) -> str:
    """Return anybody's text as a code span; one with a backtick, which could end it, as text."""
    shown = in_one_line(text)
    return _markdown(shown) if "`" in shown or not shown.strip() else f"`{shown}`"


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text).replace("\n", " ")
