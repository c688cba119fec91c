"""What the coordinator asks each node of a cluster before it uses it.

Travels to the node by value: greenopt need not be installed there, and that is one of the things to find out.
"""

import socket
import sys
from typing import Any


def look(with_gpus: bool) -> dict[str, Any]:
    """Return what a node has: its host, its greenopt with a fingerprint, its GPUs, where its CPU's energy comes from.

    Args:
        with_gpus: whether GPUs are asked for.
    """
    found: dict[str, Any] = {"host": socket.gethostname(), "python": ".".join(map(str, sys.version_info[:3]))}
    try:
        from greenopt.version import __version__

        found["greenopt"] = __version__
        from greenopt.identity.digests import package_digest

        found["digest"] = package_digest()
        if with_gpus:
            from greenopt.energy.gpus import list_gpus

            found["gpus"] = [(gpu.index, gpu.uuid, gpu.name) for gpu in list_gpus()]
        else:
            from greenopt.energy.host import RaplDomains

            found["rapl"] = RaplDomains.find().moving().cpu is not None
    except Exception as error:
        found["problem"] = f"{type(error).__name__}: {error}"
    return found
