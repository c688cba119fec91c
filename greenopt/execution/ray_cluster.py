"""A Ray cluster as greenopt sees it: how to reach it, which nodes it has, and whether each can run trials.

Invariant: connecting leaves this process's signal handlers as they are; what is wrong is one line that names the place.
"""

import os
import signal
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import count
from typing import Any

from greenopt.errors import UsageError, one_line
from greenopt.execution.contract import Slot
from greenopt.identity.digests import package_digest
from greenopt.reading import EnergySource
from greenopt.version import __version__

ADDRESS_VARIABLE = "RAY_ADDRESS"
AUTO = "auto"
REACH_S = 5.0
"""How long a connection to the cluster's port may take."""

PROBE_S = 60.0
"""How long a node may take to say what it has: its first worker imports Ray, from a file system that may be slow."""

_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Node:
    """A node of the cluster that is alive.

    Attributes:
        node_id: Ray's.
        name: host name, or address, as Ray knows it.
        gpus: how many whole GPUs Ray may give there.
        cpus: how many CPUs.
    """

    node_id: str
    name: str
    gpus: int
    cpus: int

    def places(self, on_gpus: bool) -> int:
        """Return how many trials may run there at once: one a GPU, or one on the CPU."""
        return self.gpus if on_gpus else min(1, self.cpus)


@dataclass(frozen=True)
class FoundNode:
    """What a node said when it was asked.

    Attributes:
        problem: why it cannot run trials, in words that name the host; None where it can.
        slots: where trials would run there.
    """

    host: str
    problem: str | None
    slots: tuple[Slot, ...] = ()


def check_installed() -> None:
    """Check that Ray is installed, without importing it.

    Raises:
        UsageError: it is not.
    """
    if find_spec("ray") is None:
        raise UsageError("--executor ray: ray is not installed: pip install 'greenopt[ray]'")


def cluster_address(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return the cluster's address: the one given, else the environment's, else `auto`.

    Raises:
        UsageError: it is none.
    """
    address = given or environment.get(ADDRESS_VARIABLE) or AUTO
    origin = "--address" if given else ADDRESS_VARIABLE
    if address == AUTO:
        return address
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise UsageError(f"{origin} {address}: is none: take auto, HOST:PORT of the head node, or ray://HOST:10001")
    return address


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect this process to a cluster; all that it started there ends with the connection.

    Args:
        address: `auto` for the cluster of which this machine is a node, `HOST:PORT`, or `ray://HOST:PORT` of a client.

    Raises:
        UsageError: there is none, this machine is not part of it, or it has another version of Ray or Python.
    """
    check_installed()
    if address != AUTO:
        _reach(address)
    # Their advice is for scripts that use Ray themselves.
    for name in ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "RAY_CLIENT_MODE_LOG_TO_DRIVER"):
        os.environ.setdefault(name, "0")
    import ray

    # Else it prints what happens to nodes among the lines of the study, whatever it is told about logs.
    ray._private.worker._worker_logs_enabled = False
    with _handlers_kept():
        try:
            ray.init(
                address=address,
                namespace="greenopt",
                log_to_driver=False,
                logging_level="ERROR",
            )
        except Exception as error:
            with suppress(Exception):
                ray.shutdown()
            raise UsageError(_connection_problem(address, error)) from None
    try:
        yield
    finally:
        with _handlers_kept():
            ray.shutdown()


def _reach(address: str) -> None:
    """Check that something listens at the address; Ray itself tries for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"--address {address}: no Ray cluster answers there: {why}") from None


def _connection_problem(address: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if address.startswith("ray://"):
        return f"--address {address}: the cluster takes no client there: {text}"
    if address == AUTO or isinstance(error, ConnectionError):
        where = "this machine is no node of one" if address == AUTO else f"none answers at {address}"
        return f"--executor ray: no Ray cluster: {where}; `ray start --head` starts one, or name it by --address"
    if "version" in text.lower() and "mismatch" in text.lower():
        return f"--address {address}: the cluster has another version of Ray or Python: {text}"
    return f"--address {address}: cannot be joined from this machine: {text}; run on one of its nodes, or take ray://"


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Put signal handlers back that Ray replaces: the coordinator has its own."""
    try:
        before = {number: signal.getsignal(number) for number in _HANDLED}
    except ValueError:
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(ValueError, TypeError):  # not the main thread, or a handler not of Python's
                signal.signal(number, handler)


def list_nodes() -> list[Node]:
    """Return the nodes that are alive now, in a fixed order."""
    import ray

    found = []
    for node in ray.nodes():
        if node.get("Alive"):
            resources: Mapping[str, float] = node.get("Resources", {})
            name = str(node.get("NodeManagerHostname") or node.get("NodeManagerAddress"))
            found.append(Node(node["NodeID"], name, int(resources.get("GPU", 0)), int(resources.get("CPU", 0))))
    return sorted(found, key=lambda node: (node.name, node.node_id))


def has_free(on_gpus: bool) -> bool:
    """Return whether any GPU, or CPU, of the cluster is free now, as far as Ray knows."""
    import ray

    free: Mapping[str, float] = ray.available_resources()
    return free.get("GPU" if on_gpus else "CPU", 0) >= 1


def choose_kind(selection: str | None, nodes: Sequence[Node]) -> bool:
    """Return whether trials run on GPUs, by `--gpus` and by what the cluster has.

    Raises:
        UsageError: the selection names boards, which Ray chooses; or the cluster has nothing of the kind.
    """
    if selection not in (None, "all", "none"):
        raise UsageError(f"--gpus {selection}: Ray chooses the boards; with --executor ray it is all or none")
    on_gpus = selection != "none" and any(node.gpus for node in nodes)
    if selection == "all" and not on_gpus:
        raise UsageError(f"--gpus all: no node of the cluster has a GPU; it has {_listed(nodes)}")
    if not any(node.places(on_gpus) for node in nodes):
        raise UsageError(f"--executor ray: the cluster has neither GPU nor CPU for trials; it has {_listed(nodes)}")
    return on_gpus


def _listed(nodes: Sequence[Node]) -> str:
    shown = [f"{node.name} ({node.gpus} GPUs, {node.cpus} CPUs)" for node in nodes[:4]]
    return ", ".join(shown) + (f" and {len(nodes) - 4} more" if len(nodes) > 4 else "") or "no node"


def ask(node: Node, on_gpus: bool) -> Any:
    """Ask a node what it has; return Ray's reference to the answer, for `found_node`."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from greenopt.execution import ray_probe

    # By value: a node without greenopt could not import it, and is to say so.
    ray.cloudpickle.register_pickle_by_value(ray_probe)
    options = {
        "num_cpus": 0,
        "max_retries": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node.node_id, soft=False),
    }
    return ray.remote(ray_probe.look).options(**options).remote(on_gpus)


def found_node(node: Node, answer: Mapping[str, Any], on_gpus: bool) -> FoundNode:
    """Return what a node's answer says."""
    host = str(answer["host"])
    if answer.get("greenopt") is None:
        return FoundNode(
            host, f"{host}: greenopt is not installed for {answer['python']} there: {answer.get('problem')}"
        )
    if answer["greenopt"] != __version__:
        return FoundNode(
            host, f"{host}: has greenopt {answer['greenopt']}, and here is {__version__}; install the same"
        )
    if answer.get("digest") != package_digest():
        text = (
            f"{host}: its greenopt {__version__} is not the same source as the one here; install the same on each node"
        )
        return FoundNode(host, text)
    if "problem" in answer:
        return FoundNode(host, f"{host}: {answer['problem']}")
    if not on_gpus:
        source = EnergySource.RAPL if answer["rapl"] else EnergySource.ESTIMATE
        return FoundNode(host, None, (Slot(f"{host} cpu", host=host, cpu_source=source),))
    if not answer["gpus"]:
        return FoundNode(host, f"{host}: Ray offers {node.gpus} GPUs there, and NVIDIA's driver shows none")
    slots = [Slot(f"{host} gpu {index}", uuid, host=host, gpu_name=name) for index, uuid, name in answer["gpus"]]
    return FoundNode(host, None, tuple(slots[: node.gpus]))


def survey(selection: str | None, known: dict[str, FoundNode] | None = None) -> list[Slot]:
    """Return where trials would run on the cluster that this process is connected to; nothing is taken.

    Args:
        selection: `all`, `none`, or None for GPUs where there are any.
        known: what nodes said before, by Ray's identity of them; what they say now is added.

    Raises:
        UsageError: the cluster has nothing of the kind, or a node cannot run trials: one line that names its host.
    """
    nodes = list_nodes()
    on_gpus = choose_kind(selection, nodes)
    found: list[Slot] = []
    for slot in (slot for each in asked(nodes, on_gpus, known) for slot in each.slots):
        found.append(named_apart(slot, {other.name for other in found}))
    return found


def named_apart(slot: Slot, names: Collection[str]) -> Slot:
    """Return a slot under a name that none of these is: several nodes may be of one machine, as in tests."""
    name = next(name for number in count(1) if (name := _numbered(slot.name, number)) not in names)
    return replace(slot, name=name)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name} ({number})"


def asked(nodes: Sequence[Node], on_gpus: bool, known: dict[str, FoundNode] | None = None) -> list[FoundNode]:
    """Ask all nodes that have places what they have, as `answers` does.

    Raises:
        UsageError: one cannot run trials, or does not answer; one line that names its host.
    """
    found = answers(nodes, on_gpus, known)
    if not found:
        raise UsageError("--executor ray: the cluster has lost all nodes that had room for trials")
    problems = [each.problem for each in found if each.problem is not None]
    if problems:
        raise UsageError(problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""))
    return found


def answers(nodes: Sequence[Node], on_gpus: bool, known: dict[str, FoundNode] | None = None) -> list[FoundNode]:
    """Return what nodes with places say that they have; those that are lost meanwhile are left out.

    Args:
        nodes: the nodes.
        on_gpus: whether trials run on GPUs.
        known: what nodes said before; see `survey`.
    """
    import ray

    known = {} if known is None else known
    having = [node for node in nodes if node.places(on_gpus)]
    waiting = [(node, ask(node, on_gpus)) for node in having if node.node_id not in known]
    for node, reference in waiting:
        try:
            known[node.node_id] = found_node(node, ray.get(reference, timeout=PROBE_S), on_gpus)
        except Exception as error:
            if _is_alive(node):
                text = f"{node.name}: does not answer: {one_line(failure_text(error), 100)}"
                known[node.node_id] = FoundNode(node.name, text)
    return [known[node.node_id] for node in having if node.node_id in known]


def _is_alive(node: Node) -> bool:
    """Return whether a node that gave no answer is there; that it is lost Ray may learn a moment later."""
    time.sleep(1.0)
    return any(other.node_id == node.node_id for other in list_nodes())


def failure_text(error: BaseException) -> str:
    """Return what Ray says of a failure, on one line, without its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
