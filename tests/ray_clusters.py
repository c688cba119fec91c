"""Ray clusters on this machine whose nodes have made-up boards, each node at a loopback address of its own."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FAKE_BOARDS = Path(__file__).parent / "end_to_end" / "two_gpus"


class FakeCluster:
    """A head without room for trials, and nodes that come and go."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self._folder, self._nodes = folder, 0
        self._living: list[Any] = []
        head = {"num_cpus": 0, "num_gpus": 0, "node_ip_address": "127.0.0.2", "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address

    def add(self, *boards: str, **further: str) -> Any:
        """A node with these boards; without any, one with a CPU."""
        self._nodes += 1
        caches = self._folder / f"caches-{self._nodes}"
        (caches / "greenopt").mkdir(parents=True, mode=0o700)
        idle = {board: {"idle_w": 72.0, "measured": f"{datetime.now(UTC):%Y-%m-%d}"} for board in boards}
        (caches / "greenopt" / "idle.json").write_text(json.dumps(idle))
        variables = {
            "PYTHONPATH": f"{FAKE_BOARDS}:{ROOT}" if boards else str(ROOT),
            "GREENOPT_TEST_BOARDS": ",".join(boards),
            "XDG_CACHE_HOME": str(caches),
            "HOME": str(caches),
            **further,
        }
        node = self._cluster.add_node(
            num_cpus=0 if boards else 1,
            num_gpus=len(boards),
            node_ip_address=f"127.0.0.{2 + self._nodes}",
            env_vars=variables,
        )
        self._living.append(node)
        return node

    def kill(self, node: Any) -> None:
        """Take a node away as a power failure would: its processes are killed."""
        self._living.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def clear(self) -> None:
        """Take all nodes away but the head."""
        for node in list(self._living):
            self.kill(node)

    def shutdown(self) -> None:
        self._cluster.shutdown()


@contextmanager
def fake_cluster() -> Iterator[FakeCluster]:
    """A cluster whose nodes know nothing of this session's settings."""
    hidden = ("CUDA_VISIBLE_DEVICES", "RAY_ADDRESS", "PYTHONDONTWRITEBYTECODE")
    before = {name: os.environ.pop(name) for name in hidden if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="greenopt-cluster-", ignore_cleanup_errors=True) as folder:
        cluster = FakeCluster(Path(folder))
        try:
            yield cluster
        finally:
            cluster.shutdown()
            os.environ.update(before)
