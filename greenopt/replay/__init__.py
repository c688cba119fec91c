"""What a stopping rule would have spent and kept on trials that have run to their end."""

from greenopt.replay.curves import StudyCurves, read_curves
from greenopt.replay.rerun import Figure, Replay, replay

__all__ = ["Figure", "Replay", "StudyCurves", "read_curves", "replay"]
