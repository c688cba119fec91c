"""Identities of studies, of their coordinators' runs and of trials' attempts, and where the storage keeps them."""

import uuid

STUDY_ID_ATTRIBUTE = "greenopt:id"
"""The study's attribute that holds its identity. A copy of a storage has that of its original."""

ATTEMPT_ATTRIBUTE = "attempt_id"
"""The trial's attribute that holds the identity of its attempt; trials recorded before there were any have none."""


def new_id() -> str:
    """Return an identity that nothing else has."""
    return uuid.uuid4().hex
