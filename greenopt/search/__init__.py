"""Searching: samplers by name, the study in its storage, who may run it."""

from greenopt.search.check import check_sampler, startup_note
from greenopt.search.copying import copy_study
from greenopt.search.finished import FinishedTrial, create_finished
from greenopt.search.importance import Shares, importances
from greenopt.search.lease import StudyLease, lease_holder
from greenopt.search.mending import delete_stored, enqueue_again, keep_marks, names_in, read_marks, retries_of
from greenopt.search.outage import failures_named, is_outage, storage_cause
from greenopt.search.prior import PRIOR_ATTRIBUTE, Prior, read_prior
from greenopt.search.rows import read_attributes, read_rows, read_study, read_trial
from greenopt.search.samplers import ADAPTIVE, SAMPLERS, build_sampler, sampler_arguments
from greenopt.search.search import PastTrial, Proposal, Search
from greenopt.search.soundness import check_whole
from greenopt.search.storage import (
    COORDINATOR_BUSY_TIMEOUT_S,
    Storage,
    artifact_store,
    change_spec,
    check_url,
    open_storage,
    rename_stored,
)
from greenopt.search.storage_file import file_watch
from greenopt.search.trial_cache import writing_together
from greenopt.storage.rows import COLUMNS
from greenopt.storage.snapshot import StudySnapshot

__all__ = [
    "ADAPTIVE",
    "COLUMNS",
    "COORDINATOR_BUSY_TIMEOUT_S",
    "PRIOR_ATTRIBUTE",
    "SAMPLERS",
    "FinishedTrial",
    "PastTrial",
    "Prior",
    "Proposal",
    "Search",
    "Shares",
    "Storage",
    "StudyLease",
    "StudySnapshot",
    "artifact_store",
    "build_sampler",
    "change_spec",
    "check_sampler",
    "check_url",
    "check_whole",
    "copy_study",
    "create_finished",
    "delete_stored",
    "enqueue_again",
    "failures_named",
    "file_watch",
    "importances",
    "is_outage",
    "keep_marks",
    "lease_holder",
    "names_in",
    "open_storage",
    "read_attributes",
    "read_marks",
    "read_prior",
    "read_rows",
    "read_study",
    "read_trial",
    "rename_stored",
    "retries_of",
    "sampler_arguments",
    "startup_note",
    "storage_cause",
    "writing_together",
]
