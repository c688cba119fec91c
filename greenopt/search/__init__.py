"""Searching: samplers by name, the study in its storage, who may run it."""

from greenopt.search.finished import FinishedTrial, create_finished
from greenopt.search.importance import Shares, importances
from greenopt.search.lease import StudyLease
from greenopt.search.rows import COLUMNS, StudySnapshot, read_study
from greenopt.search.samplers import SAMPLERS, build_sampler, sampler_arguments
from greenopt.search.search import Proposal, Search
from greenopt.search.storage import open_storage, without_password

__all__ = [
    "COLUMNS",
    "SAMPLERS",
    "FinishedTrial",
    "Proposal",
    "Search",
    "Shares",
    "StudyLease",
    "StudySnapshot",
    "build_sampler",
    "create_finished",
    "importances",
    "open_storage",
    "read_study",
    "sampler_arguments",
    "without_password",
]
