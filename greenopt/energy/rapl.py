"""RAPL: the energy counters of CPU packages and memory that Linux shows below `/sys/class/powercap`.

Invariants: joules that two zones show are counted once; where a counter restarted, or may have run through its whole
range unseen, the energy starts again at 0, which tells the meter that what was drawn meanwhile is not known; a socket
that cannot be read is never left out without a flag.
"""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from greenopt.energy.source import DeviceStats, ReadError
from greenopt.reading import EnergySource

POWERCAP = Path("/sys/class/powercap")

UNREADABLE_SOCKET = "unreadable_socket"
"""Flag: some of the host's CPU packages are not in the energy."""

MAX_ZONE_W = 1000.0
"""More than any CPU package or its memory draws; no server processor of today is specified for more than 600 W."""

SLACK_J = 100.0
"""What a zone may seem to draw on top, because reading its counter and the clock are not one instant."""

MOVING_WAIT_S = 0.2
"""A counter of RAPL changes every millisecond, of an idle host too; one that stands still for so long never moves."""

_POLL_S = 0.02
_NEAR_END = 0.9
_FASTER_THAN_BEFORE = 3.0
_MICRO = 1e6
_UNNAMED = "unnamed domain"
_FOLDER = re.compile(r"intel-rapl(?P<copy>-\w+)?(?P<place>(:\d+)+)")

Clock = Callable[[], float]
Sleep = Callable[[float], None]


class Zone:
    """One RAPL domain: a counter in microjoules that starts again at 0 after its range."""

    def __init__(self, name: str, folder: Path, clock: Clock = time.monotonic) -> None:
        """Read the counter for the first time.

        Args:
            name: the domain in words, such as `package-0`.
            folder: holds `energy_uj` and, mostly, `max_energy_range_uj`.
            clock: seconds of a monotonic clock.

        Raises:
            ReadError: the counter cannot be read.
        """
        self.name, self.folder, self._clock = name, folder, clock
        self._last_uj, self._last_s = self.read()
        self._range_uj = _range_uj(folder, self._last_uj)
        self._rate_w: float | None = None

    def read(self) -> tuple[int, float]:
        """Return the counter in microjoules and the instant in s.

        Raises:
            ReadError: it cannot be read.
        """
        counter = self.folder / "energy_uj"
        try:
            value_uj = int(counter.read_text())
        except (OSError, ValueError) as error:
            raise ReadError(f"{counter}: {_words(error)}") from error
        if value_uj < 0:
            raise ReadError(f"{counter}: {value_uj} is no energy")
        return value_uj, self._clock()

    def has_moved(self) -> bool:
        """Return whether the counter has changed since it was last taken in.

        Raises:
            ReadError: it cannot be read.
        """
        return self.read()[0] != self._last_uj

    def gained_j(self, now_uj: int, now_s: float) -> float | None:
        """Return the energy in J since the reading before; None where that cannot be told.

        Args:
            now_uj: the counter, as `read` gave it.
            now_s: the instant, too.
        """
        elapsed_s = now_s - self._last_s
        gained_uj = self._gained_uj(now_uj, elapsed_s)
        if gained_uj is not None and elapsed_s > 0:
            self._rate_w = gained_uj / _MICRO / elapsed_s
        self._last_uj, self._last_s = now_uj, now_s
        return None if gained_uj is None else gained_uj / _MICRO

    def _gained_uj(self, now_uj: int, elapsed_s: float) -> float | None:
        most_uj = MAX_ZONE_W * elapsed_s * _MICRO
        if self._range_uj is not None and most_uj >= self._range_uj:
            return None
        if now_uj >= self._last_uj:
            return now_uj - self._last_uj
        if self._range_uj is None:
            return None
        wrapped_uj = self._range_uj - self._last_uj + now_uj
        if wrapped_uj > most_uj + SLACK_J * _MICRO:
            return None
        is_near_end = self._last_uj >= _NEAR_END * self._range_uj
        is_usual = wrapped_uj <= _FASTER_THAN_BEFORE * (self._rate_w or 0.0) * elapsed_s * _MICRO
        return wrapped_uj if is_near_end or is_usual else None


class RaplSource:
    """The sum of RAPL domains of one kind over all sockets."""

    kind = EnergySource.RAPL
    counter_tick_s = 0.001
    power_lag_s = 0.0

    def __init__(self, name: str, zones: Sequence[Zone], absent: Sequence[str] = ()) -> None:
        """Start at 0.

        Args:
            name: the domains in words.
            zones: the domains.
            absent: those that should be among them and cannot be read.
        """
        self.name, self.zones, self.absent = name, tuple(zones), tuple(absent)
        self.power_limit_w: float | None = MAX_ZONE_W * len(zones)
        self._energy_j = 0.0

    def energy_j(self) -> float | None:
        """Energy in J since this source was made, or since a counter last restarted: it falls to 0 there.

        Raises:
            ReadError: a domain cannot be read just now.
        """
        # All are read before one is taken in, so that a domain that fails takes nothing from the others.
        readings = [(zone, *zone.read()) for zone in self.zones]
        gains_j = [zone.gained_j(now_uj, now_s) for zone, now_uj, now_s in readings]
        known_j = [gain_j for gain_j in gains_j if gain_j is not None]
        self._energy_j = self._energy_j + sum(known_j) if len(known_j) == len(gains_j) else 0.0
        return self._energy_j

    def power_w(self) -> float | None:
        """None: RAPL tells energy only."""
        return None

    def device_stats(self) -> DeviceStats:
        """Nothing is told."""
        return DeviceStats()

    def flags(self) -> tuple[str, ...]:
        """`unreadable_socket` where a domain is missing from the sum."""
        return (UNREADABLE_SOCKET,) if self.absent else ()

    def close(self) -> None:
        """There is nothing to give back."""


@dataclass(frozen=True)
class RaplDomains:
    """What RAPL of this host tells: CPU packages and, where the processor has it, memory. None where unreadable.

    Attributes:
        problems: the domains that are there and cannot be used, each with the reason.
    """

    cpu: RaplSource | None
    dram: RaplSource | None
    problems: tuple[str, ...] = ()

    @classmethod
    def find(cls, root: Path = POWERCAP, clock: Clock = time.monotonic) -> "RaplDomains":
        """Look for readable domains below a powercap folder.

        Packages are counted once: `psys` holds the same joules again, and `intel-rapl-mmio` mirrors `intel-rapl`.
        """
        readable: dict[str, Zone] = {}
        unreadable: dict[str, str] = {}
        for name, folder in _named_folders(root):
            if name.startswith(_UNNAMED):
                unreadable.setdefault(name, f"{folder / 'name'}: cannot be read")
                continue
            try:
                readable.setdefault(name, Zone(name, folder, clock))
            except ReadError as error:
                unreadable.setdefault(name, str(error))
        absent = {name: reason for name, reason in unreadable.items() if name not in readable}
        return cls(
            cpu=_package_source([zone for name, zone in readable.items() if _is_package(name)], absent),
            dram=_memory_source([zone for name, zone in readable.items() if _is_memory(name)], absent),
            problems=tuple(f"{name}: {reason}" for name, reason in absent.items()),
        )

    def moving(self, wait_s: float = MOVING_WAIT_S, sleep: Sleep = time.sleep) -> "RaplDomains":
        """Return the same without domains whose counter stands still, as those of many virtual machines do.

        Args:
            wait_s: how long to wait for a counter to move, in s; mostly a tenth of it is enough.
            sleep: waits that many seconds.
        """
        zones = [zone for source in (self.cpu, self.dram) if source is not None for zone in source.zones]
        still = set(zones)
        for _ in range(max(1, round(wait_s / _POLL_S))):
            if not still:
                return self
            sleep(_POLL_S)
            still = {zone for zone in still if not _has_moved(zone)}
        stuck = {zone.name: f"{zone.folder / 'energy_uj'}: does not move" for zone in zones if zone in still}
        moving = [zone for zone in zones if zone not in still]
        absent = {name: "" for source in (self.cpu, self.dram) if source is not None for name in source.absent} | stuck
        return replace(
            self,
            cpu=_package_source([zone for zone in moving if _is_package(zone.name)], absent),
            dram=_memory_source([zone for zone in moving if _is_memory(zone.name)], absent),
            problems=(*self.problems, *(f"{name}: {reason}" for name, reason in stuck.items())),
        )


def _named_folders(root: Path) -> list[tuple[str, Path]]:
    """Every domain with what it measures; of mirrors, the plain `intel-rapl` comes first."""
    found = []
    for folder in {path.name: path for path in (*root.glob("*/intel-rapl*:*"), *root.glob("intel-rapl*:*"))}.values():
        match = _FOLDER.fullmatch(folder.name)
        if match is None:
            continue
        above, _, last = match["place"].rpartition(":")
        name = _name(folder)
        if name is None and match["copy"]:
            continue
        name = name or f"{_UNNAMED} {match['place'].strip(':')}"
        if above:
            parent = folder.with_name(folder.name.removesuffix(f":{last}"))
            parent = parent if parent.exists() else folder.parent
            name = f"{name} of {_name(parent) or above.strip(':')}"
        found.append((match["copy"] or "", folder.name, name, folder))
    return [(name, folder) for _, _, name, folder in sorted(found)]


def _name(folder: Path) -> str | None:
    try:
        return (folder / "name").read_text().strip() or None
    except (OSError, ValueError):
        return None


def _range_uj(folder: Path, first_uj: int) -> int | None:
    """Return where the counter wraps, in microjoules; None where that is not told or cannot be."""
    try:
        range_uj = int((folder / "max_energy_range_uj").read_text())
    except (OSError, ValueError):
        return None
    return range_uj if range_uj > 0 and range_uj >= first_uj else None


def _is_package(name: str) -> bool:
    return name.startswith("package") and " of " not in name


def _is_memory(name: str) -> bool:
    return name.startswith("dram")


def _package_source(zones: Sequence[Zone], absent: Iterable[str]) -> RaplSource | None:
    # A domain whose very name cannot be read may be a package.
    missing = [name for name in absent if _is_package(name) or (name.startswith(_UNNAMED) and " of " not in name)]
    of_all = f" of {len(zones) + len(missing)}" if missing else ""
    return RaplSource(f"{len(zones)}{of_all} CPU package(s), RAPL", zones, missing) if zones else None


def _memory_source(zones: Sequence[Zone], absent: Iterable[str]) -> RaplSource | None:
    missing = [name for name in absent if _is_memory(name)]
    of_all = f" of {len(zones) + len(missing)}" if missing else ""
    return RaplSource(f"DRAM of {len(zones)}{of_all} socket(s), RAPL", zones, missing) if zones else None


def _has_moved(zone: Zone) -> bool:
    try:
        return zone.has_moved()
    except ReadError:
        return False


def _words(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
