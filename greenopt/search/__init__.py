"""Searching: samplers by name, the study in its storage, who may run it."""

from greenopt.search.lease import StudyLease
from greenopt.search.live_rows import LiveRows
from greenopt.search.rows import COLUMNS, StudySnapshot, is_settled, read_study
from greenopt.search.samplers import SAMPLERS, build_sampler, sampler_arguments
from greenopt.search.search import Proposal, Search
from greenopt.search.storage import open_storage, without_password

__all__ = [
    "COLUMNS",
    "SAMPLERS",
    "LiveRows",
    "Proposal",
    "Search",
    "StudyLease",
    "StudySnapshot",
    "build_sampler",
    "is_settled",
    "open_storage",
    "read_study",
    "sampler_arguments",
    "without_password",
]
