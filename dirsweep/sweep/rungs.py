"""Asynchronous successive halving (Li et al., 2020), keyed by trial number.

Of the trials that have come to a rung so far, the best 1 / `reduction` go on. A decision depends on
the values met so far and on nothing else, so replaying the ledger's reports in order reproduces every
one of them. Ray's own scheduler knows a trial by Tune's id, which is new at every attempt, and lets a
rung at the last epoch prune a finished trial; hence this one.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Rungs:
    """What trials showed at each rung.

    metric: the scalar that is compared; smaller is better.
    at: rungs, as fractions of a trial's own epochs, below 1.
    reduction: of n trials at a rung, about n / `reduction` go on.
    """

    metric: str
    at: tuple[float, ...]
    reduction: float
    met: dict[float, set[str]] = field(default_factory=dict)
    """By rung: the trials that came to it."""
    values: dict[float, list[float]] = field(default_factory=dict)
    """By rung: what they showed there, sorted."""

    def stops(self, trial: str, epoch: int, of: int, metrics: Mapping[str, float | None]) -> bool:
        """Take in the report of one epoch; whether the trial should end here.

        A trial meets a rung with its first finite value at or past it; its last epoch meets none,
        for then there is nothing to save.
        """
        value = metrics.get(self.metric)
        if value is None or not math.isfinite(value) or epoch >= of:
            return False
        stop = False
        for rung in self.at:
            if epoch / of >= rung and trial not in self.met.get(rung, ()):
                stop = self._loses(rung, trial, value) or stop
        return stop

    def _loses(self, rung: float, trial: str, value: float) -> bool:
        self.met.setdefault(rung, set()).add(trial)
        values = self.values.setdefault(rung, [])
        insort(values, value)
        return bisect_left(values, value) >= max(1.0, len(values) / self.reduction)
