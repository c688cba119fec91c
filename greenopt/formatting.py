"""Quantities in words, the same everywhere: estimates are marked, what is missing is a dash."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from greenopt.events import EnergyReading, EnergySource
from greenopt.spec import PARAMETERS

MISSING = "–"
SMALLEST_PLAIN = 1e-9


def energy_words(energy_wh: float | None, source: str | None) -> str:
    """An energy with its unit: `6.10 Wh`, `~6.10 Wh est.` where it is an estimate, a dash where it is missing."""
    if energy_wh is None:
        return MISSING
    figure = f"{significant(energy_wh)} Wh"
    return f"~{figure} est." if source == EnergySource.ESTIMATE else figure


def reading_words(reading: EnergyReading) -> str:
    """The energy of a reading with its unit."""
    return energy_words(reading.energy_wh, reading.source)


def flag_words(flags: Iterable[str]) -> str:
    """What may be wrong with an energy, to be put behind it: ` (shared_gpu, gap)`; empty where nothing is."""
    words = ", ".join(flags)
    return f" ({words})" if words else ""


def fraction_words(fraction: float | None) -> str:
    """A fraction 0..1 with three decimals."""
    return MISSING if fraction is None else f"{fraction:.3f}"


def seconds_words(seconds: float | None) -> str:
    """A duration: `8.4 s`, `3:25` minutes, `2:14:07` hours."""
    if seconds is None:
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def significant(number: float, digits: int = 3) -> str:
    """A number with this many significant digits, without an exponent down to 1e-9."""
    if number == 0:
        return "0"
    text = f"{number:.{digits}g}"
    # Decimal writes all digits of a very small or large number, where a fixed number of decimals would end in zeros.
    return f"{Decimal(text):f}" if "e" in text and abs(number) >= SMALLEST_PLAIN else text


def counted(count: int, thing: str = "trial") -> str:
    """How many of a thing: `1 trial`, `2 trials`."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def setting_words(setting: Mapping[str, object]) -> str:
    """A setting in one line: `b128 SGD 0.9 lr 0.00625 cosine · mixup · float16 · jit_compilation`.

    Args:
        setting: values by parameter: the ten, or those of an objective function, each with its name.
    """
    setting = {name: _short(value) for name, value in setting.items()}
    if set(setting) != set(PARAMETERS):
        return " · ".join(f"{name} {value}" for name, value in setting.items())
    momentum = f" {setting['optimizer_momentum']}" if setting.get("optimizer") in ("SGD", "RMSProp") else ""
    head = f"b{setting['batch_size']} {setting['optimizer']}{momentum} lr {setting['lr']} {setting['lr_schedule']}"
    plain = ("none", "float32")
    rest = [str(setting[name]) for name in ("preprocessing", "augmentation", "precision", "internal")]
    return " · ".join([head, str(setting["partitioning"]), *(word for word in rest if word not in plain)])


def _short(value: object) -> object:
    """A value with at most five significant digits where it has more than fit: one that was drawn from a range."""
    return f"{value:.5g}" if isinstance(value, float) and len(str(value)) > 7 else value
