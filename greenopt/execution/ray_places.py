"""The places of a cluster that one study holds or waits for: one Ray actor each, and what is under way with it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from greenopt.execution.contract import Slot
from greenopt.execution.node_process import LOG_FILE
from greenopt.execution.ray_cluster import Node
from greenopt.execution.travel import Parcel, archive_pieces

PIECE_BYTES = 32_000_000
POLL_S = 10.0
"""How long a place waits for something to tell before it says that there is nothing."""


class Stage(StrEnum):
    """What a place is doing."""

    WAITING = "waiting"
    """Ray has not yet given it a GPU, which another may hold; or its process starts."""
    LOADING = "loading"
    """The user's data are being brought there."""
    READY = "ready"
    FAILING = "failing"
    """Its actor is gone; why is not yet known."""
    GONE = "gone"


@dataclass
class RunningTrial:
    """A trial in a place, and its files on this machine."""

    trial: int
    log: BinaryIO
    folder: Path

    def keep(self, piece: Mapping[str, Any]) -> None:
        """Write a piece of one of the trial's files; what cannot be written is left out."""
        with suppress(OSError):
            if piece["name"] == LOG_FILE:
                self.log.write(piece["content"])
                self.log.flush()
            elif (target := _inside(self.folder, str(piece["name"]))) is not None:
                part = target.with_name(f"{target.name}.part")
                if piece["offset"] == 0:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    part.unlink(missing_ok=True)
                with part.open("ab") as file:
                    file.write(piece["content"])
                if piece["is_last"]:
                    part.replace(target)


def _inside(folder: Path, name: str) -> Path | None:
    """Return a file's path below a folder; None where its name leads out."""
    parts = PurePosixPath(name).parts
    return None if not parts or ".." in parts or PurePosixPath(name).is_absolute() else folder.joinpath(*parts)


@dataclass(eq=False)
class Place:
    """A place for one trial at a time.

    Attributes:
        actor: Ray's handle.
        arrived: number of the last message that has arrived.
        opening: the reference to the answer that its process was started; None once it was, or is.
        poll: the reference to the next messages, if one is under way.
        missing: the reference to the answer which data the node lacks, if one is under way.
        pieces: what is left of the data to be sent.
        stored: the reference to the answer to the last piece, if one is under way.
        failing_since_s: when its actor was found to be gone.
        cause: what Ray said of that.
    """

    node: Node
    actor: Any
    stage: Stage = Stage.WAITING
    slot: Slot | None = None
    opening: Any = None
    poll: Any = None
    missing: Any = None
    pieces: "Iterator[Piece] | None" = None
    stored: Any = None
    arrived: int = 0
    running: RunningTrial | None = None
    failing_since_s: float = 0.0
    cause: str = ""
    health: tuple[str | None, bool] = (None, False)

    @property
    def references(self) -> list[Any]:
        """Return Ray's references to all answers that are under way."""
        return [each for each in (self.opening, self.poll, self.missing, self.stored) if each is not None]

    @property
    def is_sending(self) -> bool:
        """Whether data are being brought to its node, or it is being asked for which."""
        return self.missing is not None or self.stored is not None


class Piece(NamedTuple):
    """A piece of an archive of data.

    Attributes:
        offset: where it begins, in bytes.
        is_last: whether the archive ends with it.
    """

    parcel: Parcel
    content: bytes
    offset: int
    is_last: bool


def pieces_of(parcels: Sequence[Parcel]) -> Iterator[Piece]:
    """Yield the pieces of the archives of some data, one after another.

    Raises:
        OSError: data cannot be read.
    """
    for parcel in parcels:
        held, offset = None, 0
        for content in archive_pieces(parcel, PIECE_BYTES):
            if held is not None:
                yield Piece(parcel, held, offset, is_last=False)
                offset += len(held)
            held = content
        yield Piece(parcel, held or b"", offset, is_last=True)


def make_actor(node: Node, on_gpus: bool) -> Any:
    """Ask Ray for a place on a node: one whole GPU, or all of the node's CPUs; return the actor's handle at once."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from greenopt.execution.ray_slot import RaySlot

    return (
        ray.remote(concurrency_groups={"listening": 1})(RaySlot)
        .options(
            num_gpus=1 if on_gpus else 0,
            # A CPU's energy is the whole host's: nobody else is to compute there.
            num_cpus=0 if on_gpus else node.cpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False),
        )
        .remote()
    )


def open_place(
    node: Node, *, on_gpus: bool, share: bool, command: Sequence[str], variables: Mapping[str, str]
) -> Place:
    """Ask Ray for a place and have it start its process; what becomes of it follows by its messages."""
    place = Place(node, make_actor(node, on_gpus))
    place.opening = place.actor.open.remote(on_gpus, share, tuple(command), dict(variables))
    listen(place)
    return place


def listen(place: Place) -> None:
    """Ask a place for its next messages."""
    place.poll = place.actor.poll.remote(place.arrived, POLL_S)


def ask_missing(place: Place, parcels: Sequence[Parcel]) -> None:
    """Ask a place which of the user's data its node lacks."""
    place.missing = place.actor.missing.remote(list(parcels))


def send(place: Place, piece: Piece) -> None:
    """Send a piece of data to a place's node, through Ray's object store."""
    import ray

    place.stored = place.actor.store.remote(piece.parcel, ray.put(piece.content), piece.offset, piece.is_last)
