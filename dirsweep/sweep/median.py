"""Median stopping (Golovin et al., 2017), keyed by trial number.

A trial's best value so far is held against the median of the other trials' bests at the same share of
their epochs; trials that were stopped count as far as they came. A decision depends on the values met
so far and on nothing else, so replaying the ledger's reports in order reproduces every one of them.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Median:
    """The best values so far of each trial.

    metric: the scalar that is compared; smaller is better.
    startup: other trials that must have come as far before a trial is stopped.
    warmup: share of a trial's own epochs before which it is not stopped.
    """

    metric: str
    startup: int
    warmup: float
    met: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    """By trial: shares of its epochs, rising, and its best value up to each."""

    def stops(self, trial: str, epoch: int, of: int, metrics: Mapping[str, float | None]) -> bool:
        """Take in the report of one epoch; whether the trial should end here.

        A value that is missing or not finite is passed over; the last epoch stops no trial, for then
        there is nothing to save.
        """
        value = metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            return False
        share = epoch / of
        shares, bests = self.met.setdefault(trial, ([], []))
        shares.append(share)
        bests.append(min([value, *bests[-1:]]))
        if share < self.warmup or epoch >= of:
            return False
        others = [
            best[place - 1]
            for other, (reached, best) in self.met.items()
            if other != trial and reached[-1] >= share and (place := bisect_right(reached, share))
        ]
        return len(others) >= self.startup and bests[-1] > median(others)
