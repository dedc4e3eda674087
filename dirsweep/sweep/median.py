"""Median stopping (Golovin et al., 2017), keyed by trial number.

A trial's best value so far is held against the median of the other trials' bests at the same share of
their epochs; trials that were stopped count as far as they came. A decision depends on the values met
so far and on nothing else, so replaying the ledger's reports in order reproduces every one of them.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass, field

KEPT = 500


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
    at: dict[float, list[float]] = field(default_factory=dict, compare=False)
    """By share: the bests there, sorted, of all trials that came as far.

    Trials have shares in common, so a decision mostly costs no look at each trial. Of at most `KEPT` shares,
    for trials of hundreds of epochs have thousands.
    """

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
        self._come_to(shares, bests)
        if share < self.warmup or epoch >= of:
            return False
        reached = self._reached(share)
        if len(reached) - 1 < self.startup:
            return False
        return bests[-1] > _median_without(reached, bests[-1])

    def _come_to(self, shares: list[float], bests: list[float]) -> None:
        """Enter a trial at the known shares that its last report brought it to."""
        before = shares[-2] if len(shares) > 1 else shares[-1]
        for known, reached in self.at.items():
            if before < known < shares[-1]:
                insort(reached, bests[-2])
            elif known == shares[-1]:
                insort(reached, bests[-1])

    def _reached(self, share: float) -> list[float]:
        """The bests, sorted, of all trials that came to a share; those that began later do not count."""
        if share not in self.at:
            if len(self.at) == KEPT:
                del self.at[next(iter(self.at))]
            self.at[share] = sorted(
                bests[place - 1]
                for shares, bests in self.met.values()
                if shares[-1] >= share and (place := bisect_right(shares, share))
            )
        return self.at[share]


def _median_without(values: list[float], one: float) -> float:
    """The median of sorted values, of which there are two or more, when one of them is left out."""
    out, last = bisect_left(values, one), len(values) - 1

    def rest(place: int) -> float:
        return values[place + (place >= out)]

    return rest(last // 2) if last % 2 else (rest(last // 2 - 1) + rest(last // 2)) / 2
