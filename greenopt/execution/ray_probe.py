"""What the coordinator asks each node of a cluster before it uses it.

Travels to the node by value: greenopt need not be installed there, and that is one of the things to find out. A fresh
interpreter looks, as a trial's will be: Ray's workers look for modules where the coordinator does first.
"""

import json
import socket
import subprocess
import sys
from typing import Any

LOOK_S = 60.0

_PROGRAM = """
import json, sys
found = {}
try:
    from greenopt.version import __version__
    found["greenopt"] = __version__
    from greenopt.identity.digests import package_digest
    found["digest"] = package_digest()
    if sys.argv[1] == "gpus":
        from greenopt.energy.gpus import list_gpus
        found["gpus"] = [(gpu.index, gpu.uuid, gpu.name) for gpu in list_gpus()]
    else:
        from greenopt.energy.host import RaplDomains
        found["rapl"] = RaplDomains.find().moving().cpu is not None
except Exception as error:
    found["problem"] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


def look(with_gpus: bool) -> dict[str, Any]:
    """Return what a node has: its host, its greenopt with a fingerprint, its GPUs, where its CPU's energy comes from.

    Args:
        with_gpus: whether GPUs are asked for.
    """
    found: dict[str, Any] = {"host": socket.gethostname(), "python": ".".join(map(str, sys.version_info[:3]))}
    command = [sys.executable, "-P", "-c", _PROGRAM, "gpus" if with_gpus else "cpu"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOOK_S, check=True)
        return {**found, **json.loads(done.stdout.splitlines()[-1])}
    except Exception as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return {**found, "problem": said[-1] if said else type(error).__name__}
