"""The lease of a study in its storage: at most one coordinator, on any host.

The lock of the run folder decides on one host; a storage that several hosts share needs this lease beside it. It is
renewed while the coordinator runs and lapses `LEASE_LAPSES_S` after the last renewal. Hosts' clocks must agree to
within about a minute.
"""

import math
import os
import socket
import time
from typing import Any

import optuna
import psutil

from greenopt.errors import GreenoptError, UsageError
from greenopt.search.trial_cache import TrialCache
from greenopt.storage.rows import LEASE_ATTRIBUTE, is_alive, kept_lease, started_ticks

RENEW_S = 20.0


class StudyLease:
    """The right to run a study. One owner; `renew` is called from the coordinator's loop."""

    def __init__(self, study: str, storage: optuna.storages.BaseStorage) -> None:
        """Take the lease.

        Raises:
            UsageError: another coordinator holds it.
        """
        self._storage = storage
        self._study, self._study_id = study, storage.get_study_id_from_name(study)
        self._renewed_at_s = -math.inf
        holder = lease_holder(study, storage)
        if holder is not None:
            raise UsageError(f"study {study} is being run by {holder}")
        self.renew()
        if isinstance(storage, TrialCache):
            storage.own(self._study_id)

    @property
    def is_due(self) -> bool:
        """Whether it is time to renew the lease."""
        return time.monotonic() - self._renewed_at_s >= RENEW_S

    def renew(self) -> None:
        """Renew the lease, at most every `RENEW_S`.

        Raises:
            GreenoptError: it had lapsed, and another coordinator has taken it.
        """
        now_s = time.monotonic()
        if not self.is_due:
            return
        holder = lease_holder(self._study, self._storage)
        if holder is not None:
            raise GreenoptError(
                f"study {self._study} is being run by {holder}, which took it while its storage was away"
            )
        pid = os.getpid()
        process = {"pid": pid, "started_s": psutil.Process().create_time(), "started_ticks": started_ticks(pid)}
        self._write({**process, "host": socket.gethostname(), "utc_s": time.time()})
        self._renewed_at_s = now_s

    def release(self) -> None:
        """Release the lease, unless another coordinator has taken it."""
        if isinstance(self._storage, TrialCache):
            self._storage.disown(self._study_id)
        if lease_holder(self._study, self._storage) is None:
            self._write(None)

    def _write(self, holder: dict[str, Any] | None) -> None:
        self._storage.set_study_user_attr(self._study_id, LEASE_ATTRIBUTE, holder)


def lease_holder(study: str, storage: optuna.storages.BaseStorage) -> str | None:
    """Return who else runs a study now, on any host, as `pid N on HOST`; None if nobody does."""
    holder = storage.get_study_user_attrs(storage.get_study_id_from_name(study)).get(LEASE_ATTRIBUTE)
    holder = kept_lease(holder)
    if holder is None or _is_own(holder) or not is_alive(holder):
        return None
    return f"pid {holder['pid']} on {holder['host']}"


def _is_own(holder: dict[str, Any]) -> bool:
    return bool(holder["host"] == socket.gethostname() and holder["pid"] == os.getpid())
