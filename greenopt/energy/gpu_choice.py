"""Which of a host's GPUs a name means, and which of them CUDA would show.

Invariant: an index is NVML's, in which lost boards count; a lost board that is asked for is named as lost.
"""

from collections.abc import Mapping, Sequence

from greenopt.energy.gpus import Gpu, LostGpu
from greenopt.errors import UsageError


def hides_all_gpus(environment: Mapping[str, str]) -> bool:
    """Return whether CUDA_VISIBLE_DEVICES shows no GPU at all, so that none needs to be looked for."""
    text = environment.get("CUDA_VISIBLE_DEVICES")
    first = None if text is None else text.split(",")[0].strip()
    return first is not None and (not first or _is_negative(first))


def shown_gpus(gpus: list[Gpu], environment: Mapping[str, str], lost: Sequence[LostGpu] = ()) -> list[Gpu]:
    """Return the GPUs that CUDA shows to a process with this environment, in its order.

    Args:
        gpus: all boards that answer, in NVML's order.
        environment: holds CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, or neither.
        lost: the boards that do not.

    Raises:
        UsageError: as `visible_gpus`.
    """
    order = environment.get("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    return visible_gpus(gpus, environment.get("CUDA_VISIBLE_DEVICES"), order, lost)


def visible_gpus(
    gpus: list[Gpu],
    cuda_visible_devices: str | None,
    device_order: str = "PCI_BUS_ID",
    lost: Sequence[LostGpu] = (),
) -> list[Gpu]:
    """Return the GPUs that CUDA would show, in its order.

    Args:
        gpus: all boards that answer, in NVML's order.
        cuda_visible_devices: the variable's text: None for all boards; else NVML's indexes, UUIDs or unique beginnings
            of UUIDs. As in CUDA, an index below 0 ends the list, and an empty text shows none.
        device_order: what indexes count: `PCI_BUS_ID` (NVML's order) or CUDA's default `FASTEST_FIRST`.
        lost: the boards that do not answer.

    Raises:
        UsageError: an entry names no board, several, one twice, a lost one, or a MIG slice; or indexes count boards by
            speed.
    """
    if cuda_visible_devices is None:
        return list(gpus)
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in cuda_visible_devices.split(",")):
        if not entry or _is_negative(entry):
            break
        gpu = _shown_gpu(gpus, entry, device_order, lost)
        if gpu in chosen:
            raise UsageError(
                f"CUDA_VISIBLE_DEVICES={cuda_visible_devices}: {entry} names GPU {gpu.index} a second time"
            )
        chosen.append(gpu)
    return chosen


def matching_gpus(gpus: Sequence[Gpu], name: str) -> list[Gpu]:
    """Return the GPUs with this NVML index, or whose UUID begins so."""
    if name.isdigit():
        return [gpu for gpu in gpus if gpu.index == int(name)]
    return [gpu for gpu in gpus if name and gpu.uuid.lower().startswith(name.lower())]


def named_gpu(gpus: list[Gpu], name: str, lost: Sequence[LostGpu] = ()) -> Gpu:
    """Return the one GPU with this NVML index, or whose UUID begins so.

    Raises:
        UsageError: there is none, or more than one, or it is lost.
    """
    matches = matching_gpus(gpus, name)
    if len(matches) != 1:
        refuse_lost(f"gpu {name!r}", name, matches, lost)
        raise UsageError(f"gpu {name!r}: {_misses(matches)}; {_known_boards(gpus)}")
    return matches[0]


def refuse_lost(what: str, name: str, matches: Sequence[Gpu], lost: Sequence[LostGpu]) -> None:
    """Refuse a name that fits no board that answers and one that is lost.

    Raises:
        UsageError: it does so.
    """
    for board in lost:
        fits = board.index == int(name) if name.isdigit() else bool(name) and _begins(board.uuid or "", name)
        if fits and not matches:
            raise UsageError(f"{what}: {board}; restart the machine, or choose other GPUs")


def _is_negative(entry: str) -> bool:
    return entry.startswith("-") and entry[1:].isdigit()


def _begins(uuid: str, name: str) -> bool:
    return uuid.lower().startswith(name.lower())


def _shown_gpu(gpus: list[Gpu], entry: str, device_order: str, lost: Sequence[LostGpu]) -> Gpu:
    what = f"CUDA_VISIBLE_DEVICES: {entry}"
    if entry.upper().startswith("MIG"):
        raise UsageError(
            f"{what}: is a MIG slice; only the whole board's energy can be measured, "
            "so give the board's UUID and let nothing else run on it, or turn MIG off"
        )
    matches = matching_gpus(gpus, entry)
    if len(matches) != 1:
        refuse_lost(what, entry, matches, lost)
        raise UsageError(f"{what}: {_misses(matches)}; {_known_boards(matches or gpus)}")
    if entry.isdigit() and device_order != "PCI_BUS_ID" and len({gpu.name for gpu in gpus if gpu.name}) > 1:
        raise UsageError(f"{what}: CUDA counts different GPUs by speed; set CUDA_DEVICE_ORDER=PCI_BUS_ID or give UUIDs")
    return matches[0]


def _misses(matches: Sequence[Gpu]) -> str:
    return "fits several GPUs" if matches else "there is no such GPU"


def _known_boards(gpus: Sequence[Gpu]) -> str:
    return "known: " + ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in gpus) if gpus else "no NVIDIA GPU was found"
