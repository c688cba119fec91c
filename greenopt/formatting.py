"""Formatting of quantities, shared by all outputs: estimates are marked, missing values are a dash."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

from greenopt.plain_text import is_seen
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import FRACTIONS, PARAMETERS, UNITS, Metric

MISSING = "–"
SMALLEST_PLAIN, LARGEST_PLAIN = 1e-9, 1e15
"""Beyond these a number is written with an exponent."""

_COUNTS = (Metric.PARAMETERS, Metric.SIZE_BYTES, Metric.PEAK_MEMORY_BYTES)
_ENERGIES = tuple(name for name, unit in UNITS.items() if unit == "Wh")
_ENERGY_UNITS = ((1e6, "MWh"), (1e3, "kWh"))


def format_energy(energy_wh: float | None, source: str | None) -> str:
    """Format an energy with its unit: `6.10 Wh`, `~6.10 Wh est.` for an estimate, a dash if it is missing."""
    if energy_wh is None:
        return MISSING
    figure = f"{significant(energy_wh)} Wh"
    return f"~{figure} est." if source == EnergySource.ESTIMATE else figure


def format_figure(name: str, value: float | None, source: str | None = None, digits: int = 3) -> str:
    """Format a figure of a trial by its name: a fraction, an energy, or a number with its unit; a dash if missing.

    Args:
        name: as in the study's objectives.
        value: in the figure's unit.
        source: where the trial's energy is from.
        digits: significant digits of what is neither fraction nor energy.
    """
    if value is None:
        return MISSING
    if name in FRACTIONS:
        return format_fraction(value)
    if name in _ENERGIES:
        return format_energy(value, source)
    unit = UNITS.get(name)
    text = f"{value:,.0f}" if name in _COUNTS else significant(value, digits)
    text = f"{text} {unit}" if unit else text
    return f"~{text} est." if name == Metric.INFERENCE_MJ and source == EnergySource.ESTIMATE else text


def format_budgets(least_wh: float, reference_wh: float, source: str | None = None) -> str:
    """Format what a hypervolume is a mean over: `budgets from 14.3 Wh to 669 Wh, on a log scale`."""
    return f"budgets from {format_energy(least_wh, source)} to {format_energy(reference_wh, source)}, on a log scale"


def format_reading(reading: EnergyReading) -> str:
    """Format the energy of a reading with its unit."""
    return format_energy(reading.energy_wh, reading.source)


def format_flags(flags: Iterable[str]) -> str:
    """Format an energy's flags as a suffix, such as ` (shared_gpu, gap)`; empty without flags."""
    words = ", ".join(flags)
    return f" ({words})" if words else ""


def format_fraction(fraction: float | None) -> str:
    """Format a fraction 0..1 with three decimals."""
    return MISSING if fraction is None else f"{fraction:.3f}"


def format_seconds(seconds: float | None) -> str:
    """Format a duration: `8.4 s`, `3:25` minutes, `2:14:07` hours."""
    if seconds is None:
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def significant(number: float, digits: int = 3) -> str:
    """Return a number with this many significant digits, without an exponent from 1e-9 to 1e15."""
    if number == 0:
        return "0"
    text = f"{number:.{digits}g}"
    # Decimal writes all digits of a very small or large number, where a fixed number of decimals would end in zeros.
    return f"{Decimal(text):f}" if "e" in text and SMALLEST_PLAIN <= abs(number) < LARGEST_PLAIN else text


def fixed_digits(number: float, digits: int = 3) -> str:
    """Return a number with all of its significant digits, zeros at the end included: `51.0`, `0.160`, `12300`."""
    if number == 0 or not math.isfinite(number):
        return f"{number:g}"
    text = f"{number:#.{digits}g}".removesuffix(".")
    return f"{Decimal(text):f}" if "e" in text and SMALLEST_PLAIN <= abs(number) < LARGEST_PLAIN else text


def format_energy_amount(energy_wh: float | None, source: str | None) -> str:
    """Format an energy in the unit that suits it: `0.160 Wh`, `51.0 Wh`, `15.2 kWh`; estimates are marked."""
    if energy_wh is None:
        return MISSING
    # A figure that rounds to 1000 belongs to the next unit.
    size = abs(float(f"{energy_wh:.3g}"))
    factor, unit = next((one for one in _ENERGY_UNITS if size >= one[0]), (1.0, "Wh"))
    figure = f"{fixed_digits(energy_wh / factor)} {unit}"
    return f"~{figure} est." if source == EnergySource.ESTIMATE else figure


def format_percent(share: float) -> str:
    """Format a share 0..1 in percent: `28 %`, `5.2 %`."""
    percent = 100 * share
    return f"{percent:.0f} %" if abs(percent) >= 10 or percent == 0 else f"{fixed_digits(percent, 2)} %"


def counted(count: int, thing: str = "trial") -> str:
    """Format a count with its noun: `1 trial`, `2 trials`."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def sentence(text: str) -> str:
    """Format a finding as a sentence: a capital first, a full stop last; a name in code stays as it is."""
    text = text.strip()
    if not text:
        return ""
    first = text.split()[0]
    if "_" in first or ":" in first:
        return text + ("" if text[-1] in ".:!?" else ".")
    return text[0].upper() + text[1:] + ("" if text[-1] in ".:!?" else ".")


def format_setting(setting: Mapping[str, object]) -> str:
    """Format a setting in one line: `b128 SGD 0.9 lr 0.00625 cosine · mixup · float16 · jit_compilation`.

    Args:
        setting: values by parameter: the ten and further ones, or those of an objective function, each with its name.
            A value that is None is left out: a running trial may be read before its last parameter was written.
    """
    setting = {name: _short(value) for name, value in setting.items() if value is not None}
    if not set(PARAMETERS) - {"optimizer_momentum"} <= set(setting):
        return " · ".join(f"{name} {value}" for name, value in setting.items())
    has_momentum = setting["optimizer"] in ("SGD", "RMSProp") and "optimizer_momentum" in setting
    momentum = f" {setting['optimizer_momentum']}" if has_momentum else ""
    head = f"b{setting['batch_size']} {setting['optimizer']}{momentum} lr {setting['lr']} {setting['lr_schedule']}"
    plain = ("none", "float32")
    rest = [str(setting[name]) for name in ("preprocessing", "augmentation", "precision", "internal")]
    further = [f"{name} {value}" for name, value in setting.items() if name not in PARAMETERS]
    return " · ".join([head, str(setting["partitioning"]), *(word for word in rest if word not in plain), *further])


def format_toml(name: str, value: object) -> str:
    """Format a value as a line of a study file; neither its name nor its text can add a line or a table there."""
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml_text(name)
    return f"{key} = {_toml_text(value) if isinstance(value, str) else json.dumps(value)}"


def _toml_text(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(letter if is_seen(letter) else f"\\U{ord(letter):08x}" for letter in quoted)


def _short(value: object) -> object:
    """Round a value sampled from a range to five significant digits."""
    return f"{value:.5g}" if isinstance(value, float) and len(str(value)) > 7 else value
