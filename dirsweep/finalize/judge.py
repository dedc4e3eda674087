"""From test errors to a verdict: an interval for every error and difference, Holm, and better or worse.

The primary comparison stands by itself; all others are adjusted for one another, so that with an error of
5% none of those called better or worse is so by luck.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dirsweep.finalize.opening import Errors
from dirsweep.finalize.plan import Comparison, Plan, Row
from dirsweep.intervals import (
    RESAMPLES,
    Interval,
    Verdict,
    difference_interval,
    error_interval,
    holm,
    verdict,
)
from dirsweep.shots import Ints

Masks = Mapping[str, NDArray[np.bool_]]
"""(N,) which test rows lie in a shot."""

PER_1999 = 20
"""Comparisons for which 1,999 resamples suffice: 20 times their smallest p-value is 0.02."""


@dataclass(frozen=True)
class ShotError:
    """The test error of a row in a shot."""

    row: Row
    shot: str
    mae: Interval
    gm: Interval


@dataclass(frozen=True)
class Judged:
    """A comparison and what it allows to say.

    interval: of the difference of the MAEs, ours minus theirs, over the seeds that both have.
    p_value: adjusted by Holm, except that of the primary comparison.
    """

    comparison: Comparison
    interval: Interval
    p_value: float
    verdict: Verdict
    primary: bool


def shot_errors(rows: list[Row], errors: Errors, masks: Masks, group: Ints) -> list[ShotError]:
    """The error of every row in every shot that has samples."""
    found = []
    for shot, mask in masks.items():
        for row in rows:
            if row.hash in errors and mask.any():
                matrix = np.stack(list(errors[row.hash].values()))[:, mask]  # (S, n)
                mae, gm = (error_interval(matrix, kind, clusters=group[mask]) for kind in ("mae", "gm"))
                found.append(ShotError(row, shot, mae, gm))
    return found


def judged(plan: Plan, errors: Errors, masks: Masks, group: Ints) -> list[Judged]:
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
                error, control, "mae", clusters=group[mask], resamples=resamples
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
