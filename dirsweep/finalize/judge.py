"""From test errors to a verdict: an interval for every error and difference, Holm, and better or worse.

The primary comparison stands by itself; all others are adjusted for one another, so that with an error of
5% none of those called better or worse is so by luck.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dirsweep.data import Split
from dirsweep.finalize.opening import Errors
from dirsweep.finalize.plan import Compared, Comparison, Row
from dirsweep.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    Statistic,
    Verdict,
    difference_interval,
    error_interval,
    holm,
    verdict,
)
from dirsweep.metrics import pearson
from dirsweep.shots import Floats, Ints

Masks = Mapping[str, NDArray[np.bool_]]
"""(N,) which test rows lie in a shot."""

PER_1999 = 20
"""Comparisons for which 1,999 resamples suffice: 20 times their smallest p-value is 0.02."""


@dataclass(frozen=True)
class ShotError:
    """The test error of a row in a shot, by the two metrics of the data's tables."""

    row: Row
    shot: str
    first: Interval
    second: Interval


@dataclass(frozen=True)
class Judged:
    """A comparison and what it allows to say.

    interval: of the difference of the errors, ours minus theirs, over the seeds that both have.
    p_value: adjusted by Holm, except that of the primary comparison.
    """

    comparison: Comparison
    interval: Interval
    p_value: float
    verdict: Verdict
    primary: bool

    @property
    def said(self) -> str:
        """The verdict for a table: where seeds are too few for one, with their number."""
        return self.verdict if self.interval.over_seeds else f"{self.verdict} ({self.interval.seeds} seeds)"


def shot_errors(plan: Compared, errors: Errors, masks: Masks, test: Split) -> list[ShotError]:
    """The error of every row of the plan in every shot that has samples."""
    found = []
    for shot, mask in masks.items():
        for row in plan.rows:
            if row.hash in errors and mask.any():
                matrix = np.stack(list(errors[row.hash].values()))[:, mask]  # (S, n)
                inside = (_interval(matrix, test, mask, metric) for metric in plan.metrics)
                found.append(ShotError(row, shot, *inside))
    return found


def _interval(error: Floats, test: Split, mask: NDArray[np.bool_], metric: str) -> Interval:
    """Of (S, n) signed errors; a correlation, which is no mean over samples, gets its spread alone."""
    if metric != "pearson":
        return error_interval(error, cast(Statistic, metric), clusters=test.group[mask])
    label = test.label[mask]
    found = np.array([pearson(row + label, label) for row in error])
    mean, spread = float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else math.nan
    return Interval(
        estimate=mean,
        low=-math.inf,
        high=math.inf,
        p_value=math.nan,
        level=LEVEL,
        seeds=len(found),
        parents=len(found),
        samples=len(label),
        clusters=len(np.unique(test.group[mask])),
        spread=spread,
        over_seeds=False,
        method="no interval",
    )


def judged(plan: Compared, errors: Errors, masks: Masks, group: Ints) -> list[Judged]:
    """Every comparison of the plan that has samples and seeds."""
    wanted = plan.comparisons
    resamples = (RESAMPLES + 1) * math.ceil(len(wanted) / PER_1999) - 1
    found: list[tuple[Comparison, Interval]] = []
    for one in wanted:
        ours, theirs = errors.get(one.ours.hash, {}), errors.get(one.theirs.hash, {})
        seeds, mask = [seed for seed in ours if seed in theirs], masks[one.shot]
        if seeds and mask.any():
            error, control = (np.stack([side[seed] for seed in seeds])[:, mask] for side in (ours, theirs))
            interval = difference_interval(
                error, control, cast(Statistic, plan.metrics[0]), clusters=group[mask], resamples=resamples
            )  # of two (S, n)
            found.append((one, interval))
    is_primary = [one.identity == plan.primary.identity for one, _ in found]
    own = [interval.p_value for _, interval in found]
    others = iter(holm([p for p, alone in zip(own, is_primary, strict=True) if not alone]))
    adjusted = [p if alone else float(next(others)) for p, alone in zip(own, is_primary, strict=True)]
    return [
        Judged(one, interval, p, verdict(dataclasses.replace(interval, p_value=p)), alone)
        for (one, interval), p, alone in zip(found, adjusted, is_primary, strict=True)
    ]
