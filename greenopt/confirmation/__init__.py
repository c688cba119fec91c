"""Confirmation of a study's best setting: picking it, training it again, judging the result."""

from greenopt.confirmation.compare import Comparison, Confirmation, Held, confirmation
from greenopt.confirmation.formatting import comparison_table, confirmation_lines, end_lines
from greenopt.confirmation.interval import Interval
from greenopt.confirmation.load import read_confirmation
from greenopt.confirmation.pick import BY, Picked, pick_trial
from greenopt.confirmation.plan import confirming_study

__all__ = [
    "BY",
    "Comparison",
    "Confirmation",
    "Held",
    "Interval",
    "Picked",
    "comparison_table",
    "confirmation",
    "confirmation_lines",
    "confirming_study",
    "end_lines",
    "pick_trial",
    "read_confirmation",
]
