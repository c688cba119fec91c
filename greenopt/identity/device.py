"""The kind of device and of energy that a study began with: a study on a GPU does not go on on the CPU.

Energies of a GPU and of a CPU, of two models of GPU, or measured and estimated ones, do not compare.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from greenopt.energy.gpus import list_gpus
from greenopt.energy.host import RaplDomains
from greenopt.errors import UsageError
from greenopt.execution import Slot
from greenopt.reading import EnergySource

DEVICE_ATTRIBUTE = "greenopt:device"
"""The study's attribute that says on what kind of device it was last run, and how energy was obtained there."""


class DeviceKind(StrEnum):
    """What trials run on."""

    GPU = "gpu"
    CPU = "cpu"


@dataclass(frozen=True)
class Device:
    """What a study's trials run on, and where its energies come from.

    Attributes:
        kind: GPU or CPU.
        gpus: models of the GPUs, sorted; empty where not known.
        energy: how the CPU's energy is obtained; None for a GPU and where not known.
    """

    kind: DeviceKind
    gpus: tuple[str, ...] = ()
    energy: EnergySource | None = None

    @classmethod
    def from_kept(cls, kept: Any) -> Self | None:
        """Return the device that a storage holds; None of a study that has kept none."""
        if not isinstance(kept, dict):
            return None
        energy = kept.get("energy")
        return cls(DeviceKind(kept["kind"]), tuple(kept["gpus"]), EnergySource(energy) if energy else None)

    @property
    def kept(self) -> dict[str, Any]:
        """The device as a storage holds it."""
        return {"kind": str(self.kind), "gpus": list(self.gpus), "energy": str(self.energy) if self.energy else None}

    def __str__(self) -> str:
        """In words."""
        if self.kind is DeviceKind.GPU:
            return f"a GPU ({', '.join(self.gpus)})" if self.gpus else "a GPU"
        return "the CPU" + (f" (energy from {self.energy})" if self.energy else "")


def device_of_slots(slots: Sequence[Slot]) -> Device:
    """Return what trials would run on now."""
    if any(slot.host is not None for slot in slots):
        return _device_of_hosts(slots)
    uuids = {slot.gpu_uuid for slot in slots if slot.gpu_uuid}
    if uuids:
        return Device(
            DeviceKind.GPU, tuple(sorted({gpu.name for gpu in list_gpus() if gpu.uuid in uuids and gpu.name}))
        )
    return Device(
        DeviceKind.CPU, energy=EnergySource.RAPL if RaplDomains.find().moving().cpu else EnergySource.ESTIMATE
    )


def _device_of_hosts(slots: Sequence[Slot]) -> Device:
    """Return what trials would run on on other machines, which have said what they are."""
    if any(slot.gpu_uuid for slot in slots):
        return Device(DeviceKind.GPU, tuple(sorted({slot.gpu_name for slot in slots if slot.gpu_name})))
    sources = {slot.cpu_source for slot in slots}
    return Device(DeviceKind.CPU, energy=sources.pop() if len(sources) == 1 else EnergySource.ESTIMATE)


def device_of_trials(rows: Iterable[Mapping[str, Any]]) -> Device | None:
    """Return what a study's trials ran on, as they have recorded it, the last one deciding; None where none says."""
    rows = [row for row in rows if row.get("energy_source")]
    sources = [EnergySource(row["energy_source"]) for row in rows]
    if any(row.get("gpu_uuid") for row in rows):
        return Device(DeviceKind.GPU, tuple(sorted({row["gpu_name"] for row in rows if row.get("gpu_name")})))
    known = [source for source in sources if source in (EnergySource.RAPL, EnergySource.ESTIMATE)]
    return Device(DeviceKind.CPU, energy=known[-1]) if known else None


def check_device(began: Device | None, now: Device, study: str) -> None:
    """Check that a study goes on on the kind of device, and with the kind of energy, that it began with.

    Args:
        began: what it began with; None where that is not known.
        now: what trials would run on.
        study: its name.

    Raises:
        UsageError: they differ; one line.
    """
    if began is None or _compares(began, now):
        return
    way_out = "--gpus, " if DeviceKind.GPU in (began.kind, now.kind) else ""
    if began.kind is now.kind is DeviceKind.GPU and len(began.gpus) == 1:
        way_out = f"--gpu-model {began.gpus[0]!r} where there is one, "
    raise UsageError(
        f"study {study} began on {began} and would go on on {now}, whose energies do not compare: "
        f"{way_out}another --name or --accept-changes"
    )


def _compares(began: Device, now: Device) -> bool:
    if began.kind is not now.kind:
        return False
    if began.gpus and now.gpus:
        return set(now.gpus) <= set(began.gpus)
    return began.energy is None or now.energy is None or began.energy is now.energy
