"""Whether a study's best setting is as good when it is trained again: choosing it, training it, judging it."""

from greenopt.confirmation.compare import Comparison, Confirmation, Held, confirmation
from greenopt.confirmation.interval import Interval
from greenopt.confirmation.pick import BY, Picked, pick_trial
from greenopt.confirmation.plan import confirming_study
from greenopt.confirmation.reading import read_confirmation
from greenopt.confirmation.wording import comparison_table, confirmation_lines, end_lines

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
