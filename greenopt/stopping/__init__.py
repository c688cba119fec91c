"""Rules that stop trials which are not worth their energy, for studies of accuracy against energy.

They know curves and settings alone: no storage, no process, no clock. A study and a replay use the same rules.
"""

from greenopt.stopping.chance import stuck_at_chance
from greenopt.stopping.curve import Curve, curve_from_epochs
from greenopt.stopping.rule import Refusal, Stop, StoppingRule, build_rule
from greenopt.stopping.tally import StopTally, format_tally, tally_stops

__all__ = [
    "Curve",
    "Refusal",
    "Stop",
    "StopTally",
    "StoppingRule",
    "build_rule",
    "curve_from_epochs",
    "format_tally",
    "stuck_at_chance",
    "tally_stops",
]
