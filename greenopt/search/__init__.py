"""Searching: samplers by name, the study in its storage, who may run it."""

from greenopt.search.lease import StudyLease
from greenopt.search.rows import StudySnapshot, read_study
from greenopt.search.samplers import SAMPLERS, build_sampler, sampler_arguments
from greenopt.search.search import Proposal, Search
from greenopt.search.storage import open_storage, without_password
from greenopt.study_rows import COLUMNS

__all__ = [
    "COLUMNS",
    "SAMPLERS",
    "Proposal",
    "Search",
    "StudyLease",
    "StudySnapshot",
    "build_sampler",
    "open_storage",
    "read_study",
    "sampler_arguments",
    "without_password",
]
