"""RAPL trees as they are found in the field: restarts, mirrors, frozen and unreadable counters, long gaps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from greenopt.energy import EnergyMeter
from greenopt.energy.rapl import UNREADABLE_SOCKET, RaplDomains, RaplSource
from greenopt.energy.source import ReadError
from greenopt.energy.source_choice import open_source
from greenopt.reading import EnergyReading, EnergySource
from greenopt.spec import EnergySpec
from tests.unit.energy.fake_nvml import VirtualClock

INTEL_RANGE_J = 262_143.3
AMD_RANGE_J = 65_532.6


@dataclass
class Tree:
    """A powercap folder whose counters run with a virtual clock, each at its own power."""

    root: Path
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(1000.0))
    running: list[Callable[[], None]] = field(default_factory=list)

    def zone(
        self,
        folder: str,
        name: str,
        power_w: float = 0.0,
        start_j: float = 1000.0,
        range_j: float | None = INTEL_RANGE_J,
    ) -> "Counter":
        path = self.root / folder
        path.mkdir(parents=True)
        (path / "name").write_text(name + "\n")
        if range_j is not None:
            (path / "max_energy_range_uj").write_text(f"{round(range_j * 1e6)}\n")
        counter = Counter(path, power_w, start_j, self.clock(), range_j or INTEL_RANGE_J)
        self.running.append(lambda: counter.write(self.clock()))
        counter.write(self.clock())
        return counter

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for write in self.running:
            write()

    def domains(self) -> RaplDomains:
        return RaplDomains.find(self.root, self.clock)

    def cpu(self) -> RaplSource:
        source = self.domains().cpu
        assert source is not None
        return source

    def metered(
        self, source: RaplSource, seconds: float, at: dict[float, Callable[[], None]] | None = None
    ) -> EnergyReading:
        """Meter for so long; `at` holds what happens after so many seconds."""
        meter, events = EnergyMeter(source, clock=self.clock), sorted((at or {}).items())
        began_s = self.clock()
        start = meter.mark()
        while (elapsed_s := self.clock() - began_s) < seconds:
            while events and elapsed_s >= events[0][0]:
                events.pop(0)[1]()
            self.advance(max(1e-3, meter.step() - self.clock()))
        return meter.between(start, meter.mark())


@dataclass
class Counter:
    folder: Path
    power_w: float
    zero_j: float
    zero_s: float
    range_j: float
    is_frozen: bool = False

    @property
    def file(self) -> Path:
        return self.folder / "energy_uj"

    def value_j(self, now_s: float) -> float:
        return (self.zero_j + self.power_w * (now_s - self.zero_s)) % self.range_j

    def write(self, now_s: float) -> None:
        if not self.is_frozen and self.folder.exists():
            self.file.write_text(f"{round(self.value_j(now_s) * 1e6)}\n")

    def restart(self, now_s: float) -> None:
        self.zero_j, self.zero_s = 0.0, now_s
        self.write(now_s)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize("range_j", [INTEL_RANGE_J, AMD_RANGE_J, None])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.85, 0.98])
def test_a_counter_that_restarts_is_no_wrap(tree: Tree, share: float, range_j: float | None) -> None:
    counter = tree.zone("intel-rapl:0", "package-0", 200.0, share * (range_j or INTEL_RANGE_J), range_j)
    reading = tree.metered(tree.cpu(), 30.0, {12.0: lambda: counter.restart(tree.clock())})
    truth_wh = 200 * 30 / 3600
    assert reading.energy_wh == pytest.approx(truth_wh, rel=0.05)
    assert "reset" in reading.flags
    assert reading.uncertainty_wh is not None
    assert abs((reading.energy_wh or 0) - truth_wh) <= reading.uncertainty_wh < 0.2 * truth_wh


@pytest.mark.parametrize("range_j", [INTEL_RANGE_J, AMD_RANGE_J])
def test_a_counter_that_wraps_goes_on_without_a_flag(tree: Tree, range_j: float) -> None:
    tree.zone("intel-rapl:0", "package-0", 200.0, range_j - 2000, range_j)
    reading = tree.metered(tree.cpu(), 30.0)
    assert reading.energy_wh == pytest.approx(200 * 30 / 3600, rel=0.002)
    assert (reading.flags, reading.coverage) == ((), 1.0)


def test_two_sockets_of_which_one_restarts(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", 300.0)
    counter = tree.zone("intel-rapl:1", "package-1", 100.0, 5000.0)
    reading = tree.metered(tree.cpu(), 20.0, {5.0: lambda: counter.restart(tree.clock())})
    assert reading.energy_wh == pytest.approx(400 * 20 / 3600, rel=0.05)
    assert "reset" in reading.flags


@pytest.mark.parametrize(("gap_s", "is_told"), [(30.0, True), (70.0, False), (400.0, False)])
def test_a_gap_in_which_a_counter_may_have_wrapped_unseen_is_flagged(tree: Tree, gap_s: float, is_told: bool) -> None:
    tree.zone("intel-rapl:0", "package-0", 200.0, 0.0, AMD_RANGE_J)
    source = tree.cpu()
    meter = EnergyMeter(source, clock=tree.clock)
    start = meter.mark()
    for seconds in (*[1.0] * 5, gap_s, 1.0, 1.0):
        tree.advance(seconds)
        end = meter.mark()
    reading = meter.between(start, end)
    truth_wh = 200 * (gap_s + 7) / 3600
    assert ("reset" not in reading.flags) == is_told
    if is_told:
        assert reading.energy_wh == pytest.approx(truth_wh, rel=0.01)
    elif reading.energy_wh is not None:
        assert reading.uncertainty_wh is not None
        assert abs(reading.energy_wh - truth_wh) <= reading.uncertainty_wh


def test_after_a_long_gap_a_fall_far_from_the_end_is_not_taken_for_a_wrap(tree: Tree) -> None:
    counter = tree.zone("intel-rapl:0", "package-0", 50.0, 0.6 * INTEL_RANGE_J)
    source = tree.cpu()
    tree.advance(1.0)
    before_j = source.energy_j() or 0.0
    tree.clock.advance(200.0)
    counter.restart(tree.clock())
    assert (source.energy_j() or 0.0) < before_j


@pytest.mark.parametrize("text", ["0", "-1", "", "none", "12", "1e9", "\x00\xff"])
def test_a_range_that_makes_no_sense_is_unknown(tree: Tree, text: str) -> None:
    counter = tree.zone("intel-rapl:0", "package-0", 100.0, 9000.0)
    (counter.folder / "max_energy_range_uj").write_bytes(text.encode("latin-1"))
    reading = tree.metered(tree.cpu(), 10.0, {4.0: lambda: counter.restart(tree.clock())})
    assert "reset" in reading.flags
    assert reading.uncertainty_wh is not None
    assert reading.energy_wh == pytest.approx(1000 / 3600, rel=0.1)
    assert abs((reading.energy_wh or 0) - 1000 / 3600) <= reading.uncertainty_wh


MIRRORS = {
    "mmio": (("intel-rapl:0", "package-0"), ("intel-rapl-mmio:0", "package-0")),
    "mmio alone": (("intel-rapl-mmio:0", "package-0"),),
    "psys": (("intel-rapl:0", "package-0"), ("intel-rapl:1", "psys")),
    "the same name": (("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-0")),
    "below its control type": (("intel-rapl/intel-rapl:0", "package-0"), ("intel-rapl:0", "package-0")),
    "AMD": (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core")),
    "uncore": (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core"), ("intel-rapl:0:1", "uncore")),
}


@pytest.mark.parametrize("kind", MIRRORS)
def test_joules_that_two_zones_show_count_once(tree: Tree, kind: str) -> None:
    for folder, name in MIRRORS[kind]:
        tree.zone(folder, name, 100.0)
    reading = tree.metered(tree.cpu(), 10.0)
    assert reading.energy_wh == pytest.approx(1000 / 3600, rel=0.01)
    assert reading.flags == ()


def test_two_sockets_and_their_memories_are_sums(tree: Tree) -> None:
    for socket in (0, 1):
        tree.zone(f"intel-rapl:{socket}", f"package-{socket}", 100.0)
        tree.zone(f"intel-rapl:{socket}:0", "dram", 20.0)
    tree.zone("intel-rapl-mmio:0", "package-0", 100.0)
    tree.zone("intel-rapl-mmio:0:0", "dram", 20.0)
    domains = tree.domains()
    assert domains.cpu is not None
    assert domains.dram is not None
    tree.advance(10.0)
    assert (domains.cpu.energy_j(), domains.dram.energy_j()) == (pytest.approx(2000), pytest.approx(400))


def hide(counter: Counter, how: str) -> None:
    if how == "no permission":
        counter.file.unlink()
        counter.file.mkdir()  # A folder cannot be read either, not even by root.
    elif how == "garbage":
        counter.file.write_text("n/a")
    elif how == "empty":
        counter.file.write_text("")
    elif how == "negative":
        counter.file.write_text("-5")
    elif how == "no name":
        (counter.folder / "name").unlink()
    else:
        counter.file.unlink()
    counter.is_frozen = True


HIDDEN = ["no permission", "garbage", "empty", "negative", "gone"]


@pytest.mark.parametrize("how", [*HIDDEN, "no name", "frozen"])
def test_one_unreadable_socket_of_two_is_flagged(tree: Tree, how: str) -> None:
    tree.zone("intel-rapl:0", "package-0", 100.0)
    second = tree.zone("intel-rapl:1", "package-1", 100.0)
    if how == "frozen":
        second.is_frozen = True
    else:
        hide(second, how)
    domains = tree.domains().moving(sleep=tree.advance)
    assert domains.cpu is not None
    assert "1 of 2 CPU package" in domains.cpu.name
    assert len(domains.problems) == 1
    reading = tree.metered(domains.cpu, 10.0)
    assert reading.energy_wh == pytest.approx(1000 / 3600, rel=0.05)
    assert reading.flags == (UNREADABLE_SOCKET,)


def test_a_mirror_stands_in_for_a_counter_that_cannot_be_read(tree: Tree) -> None:
    hide(tree.zone("intel-rapl:0", "package-0", 100.0), "no permission")
    tree.zone("intel-rapl-mmio:0", "package-0", 100.0)
    assert tree.cpu().flags() == ()


@pytest.mark.parametrize("how", [*HIDDEN, "no name"])
def test_without_a_readable_counter_there_is_an_estimate(tree: Tree, how: str) -> None:
    hide(tree.zone("intel-rapl:0", "package-0", 100.0), how)
    source = open_source(None, EnergySpec(), rapl_root=tree.root, sleep=tree.advance)
    assert source.kind is EnergySource.ESTIMATE
    assert len(tree.domains().problems) == 1


@pytest.mark.parametrize("value_j", [0.0, 5000.0])
def test_a_counter_that_never_moves_is_not_there(tree: Tree, value_j: float) -> None:
    tree.zone("intel-rapl:0", "package-0", 0.0, value_j)
    tree.zone("intel-rapl:0:0", "dram", 0.0, value_j)
    assert open_source(None, EnergySpec(), rapl_root=tree.root, sleep=tree.advance).kind is EnergySource.ESTIMATE
    domains = tree.domains().moving(sleep=tree.advance)
    assert (domains.cpu, domains.dram) == (None, None)
    assert ["does not move" in problem for problem in domains.problems] == [True, True]


def test_counters_that_move_are_kept_after_one_look(tree: Tree) -> None:
    tree.zone("intel-rapl:0", "package-0", 2.0)
    waits: list[float] = []
    domains = tree.domains()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        tree.advance(seconds)

    assert domains.moving(sleep=sleep) is domains
    assert len(waits) == 1


@pytest.mark.parametrize("how", HIDDEN)
def test_a_counter_that_fails_midway_takes_nothing_from_the_others(tree: Tree, how: str) -> None:
    tree.zone("intel-rapl:0", "package-0", 100.0)
    second = tree.zone("intel-rapl:1", "package-1", 50.0)
    source = tree.cpu()
    tree.advance(10.0)
    hide(second, how)
    for _ in range(3):
        with pytest.raises(ReadError, match="energy_uj"):
            source.energy_j()
        tree.advance(1.0)
    if second.file.is_dir():
        second.file.rmdir()
    second.is_frozen = False
    tree.advance(7.0)
    assert source.energy_j() == pytest.approx(150 * 20)


def test_a_host_without_powercap_has_no_problem_to_tell(tree: Tree) -> None:
    assert RaplDomains.find(tree.root / "none").moving() == RaplDomains(None, None)


def test_links_that_lead_nowhere_are_problems_and_no_error(tree: Tree) -> None:
    (tree.root / "intel-rapl:0").symlink_to(tree.root / "masked")
    assert tree.domains().cpu is None
    assert len(tree.domains().problems) == 1
