"""Where a command's trials run: on this machine's devices, or on those of a Ray cluster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from greenopt.cli.options import ExecutorName
from greenopt.errors import UsageError

if TYPE_CHECKING:
    from greenopt.coordination.slots import GpuStates
    from greenopt.execution import Engine, Slot
    from greenopt.execution.ray_cluster import FoundNode
    from greenopt.spec import StudySpec


@dataclass(frozen=True)
class Executor:
    """Where trials are to run, as the user said it.

    Attributes:
        name: on this machine, or on a cluster.
        address: the cluster's; None for where the environment, or this machine, says that there is one.
        gpus: the selection of devices.
        share: whether GPUs may be used on which other processes compute.
        slots: the most trials at once on a cluster; None for as many as it has GPUs.
        model: a part of the GPUs' model, or `all`; None for the model of most of them.
        known: what the cluster's nodes have said.
    """

    name: ExecutorName = ExecutorName.LOCAL
    address: str | None = None
    gpus: str | None = None
    share: bool = False
    slots: int | None = None
    model: str | None = None
    known: "dict[str, FoundNode]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse options that say nothing here."""
        if self.name is not ExecutorName.RAY:
            for option, value in (("--address", self.address), ("--slots", self.slots)):
                if value is not None:
                    raise UsageError(f"{option} {value}: is of a cluster; add --executor ray")

    def find_slots(self) -> "list[Slot]":
        """Return where trials would run; nothing is taken.

        Raises:
            UsageError: a device, the cluster or one of its machines cannot be used.
        """
        if self.name is ExecutorName.LOCAL:
            from greenopt.execution.gpus import choose_slots

            return choose_slots(self.gpus, share=self.share, model=self.model)
        from greenopt.cli.output import say
        from greenopt.execution.gpu_models import check_on_cpu, of_one_model
        from greenopt.execution.ray_cluster import check_installed, cluster_address, connected, survey

        check_installed()
        with connected(cluster_address(self.address)):
            found = survey(self.gpus, self.known)
        if any(slot.gpu_uuid for slot in found):
            found = of_one_model(found, self.model, lambda slot: slot.gpu_name, partial(say, is_error=True))
        else:
            check_on_cpu(self.model)
        return found[: self.slots]

    @contextmanager
    def opened(self, slots: "Sequence[Slot]", say: Callable[[str], None]) -> "Iterator[OpenExecutor]":
        """Take the slots for one study; they are given back at the end.

        Args:
            slots: what `find_slots` found.
            say: told in a line what becomes of a cluster's machines.

        Raises:
            UsageError: another study holds them.
        """
        if self.name is ExecutorName.LOCAL:
            from greenopt.energy.gpu_health import GpuWatch
            from greenopt.execution import GpuLeases, LocalEngine

            with GpuLeases(slot.gpu_uuid for slot in slots if slot.gpu_uuid):
                engine, watch = LocalEngine(slots), GpuWatch()
                try:
                    yield OpenExecutor(engine, watch)
                finally:
                    watch.close()
                    engine.close()
            return
        from greenopt.execution.gpu_models import ALL_MODELS
        from greenopt.execution.ray_cluster import cluster_address
        from greenopt.execution.ray_engine import RayOptions, ray_engine
        from greenopt.identity.travelling import luggage_of

        model = None if self.model == ALL_MODELS or not slots else slots[0].gpu_name
        options = RayOptions(self.gpus, self.share, self.slots, model)
        with ray_engine(cluster_address(self.address), options, say, self.known) as made:

            def bring(spec: "StudySpec") -> None:
                luggage = luggage_of(spec)
                made.bring(luggage.code, luggage.parcels)

            yield OpenExecutor(made, made, bring)


@dataclass(frozen=True)
class OpenExecutor:
    """Slots that are taken.

    Attributes:
        engine: runs trials there.
        gpus: the health of its GPUs.
        bring: brings what of a study's is to be on other machines there, before its first trial.
    """

    engine: "Engine"
    gpus: "GpuStates"
    bring: "Callable[[StudySpec], None]" = lambda _: None
