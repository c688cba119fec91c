"""Learns from the trials of a study whether a fall of the accuracy passes.

At each restart of a cyclic learning rate the accuracy falls back, and recovers; elsewhere a fall may be for good.
"""

from greenopt.spec import StoppingSpec
from greenopt.stopping.accuracy import fall_of, logit
from greenopt.stopping.curve import Curve

UNRECOVERED = 1.0
"""Trials that are assumed to have fallen for good: until others tell, a fall is taken for what it is."""


class Recoveries:
    """The falls of the trials so far that were trained to their end, and how many of them passed."""

    def __init__(self, spec: StoppingSpec) -> None:
        """Start without trials.

        Args:
            spec: how curves grow.
        """
        self._spec = spec
        self._fallen, self._recovered = 0, 0.0

    def add(self, curve: Curve) -> None:
        """Learn from a trial that was trained to its end; one without a fall tells nothing."""
        recovered = []
        for epoch in range(1, curve.epochs):
            then = curve.up_to(epoch)
            fall = fall_of(then, self._spec)
            if fall > 0:
                recovered.append(logit(curve.accuracy) >= logit(then.accuracy) + fall)
        if recovered:
            self._fallen += 1
            self._recovered += sum(recovered) / len(recovered)

    @property
    def probability(self) -> float:
        """The probability 0..1 that a fall passes."""
        return self._recovered / (self._fallen + UNRECOVERED)
