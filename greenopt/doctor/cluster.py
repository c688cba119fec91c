"""Examines a Ray cluster: whether it can be reached, and whether each of its nodes can run trials."""

from collections.abc import Iterator

from greenopt.doctor.machine import Finding, Health
from greenopt.errors import UsageError
from greenopt.execution.ray_cluster import answers, choose_kind, cluster_address, connected, list_nodes

_ADVICE = "the page `clusters` says what each node must have"


def examine_cluster(address: str) -> Iterator[Finding]:
    """Give a finding on the cluster, and one on each of its nodes that has room for trials.

    Args:
        address: as `--address` takes it.
    """
    try:
        with connected(cluster_address(address)):
            nodes = list_nodes()
            on_gpus = choose_kind(None, nodes)
            room = sum(node.places(on_gpus) for node in nodes)
            what = f"{room} trials at once, " + ("one a GPU" if on_gpus else "one a machine, on the CPU")
            yield Finding("cluster", Health.GOOD if on_gpus else Health.LIMITED, f"{len(nodes)} nodes; {what}")
            for found in answers(nodes, on_gpus):
                slots = ", ".join(f"{slot.name} ({slot.gpu_name or slot.cpu_source})" for slot in found.slots)
                health = Health.GOOD if found.problem is None else Health.BAD
                yield Finding("node", health, found.problem or slots, "" if found.problem is None else _ADVICE)
    except UsageError as error:
        yield Finding("cluster", Health.BAD, str(error), _ADVICE)
