"""What intervals allow to say: the verdict, many comparisons at once, and how many seeds it would take."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dirsweep.intervals.crossed import Floats, Statistic, paired
from dirsweep.intervals.interval import LEVEL, MIN_SEEDS, Interval
from dirsweep.intervals.spread import variance

Verdict = Literal["better", "worse", "not distinguishable"]

MAX_SEEDS = 10_000


def verdict(interval: Interval) -> Verdict:
    """What a difference's interval allows to say of the configuration; a smaller error is better.

    An interval over samples alone is about the models at hand, not about the method: not distinguishable.
    Where several comparisons were made, give `dataclasses.replace(interval, p_value=adjusted)`.
    """
    if not interval.over_seeds or interval.p_value > 1 - interval.level + 1e-12:
        return "not distinguishable"
    return "better" if interval.estimate < 0 else "worse"


def holm(p_values: ArrayLike) -> Floats:
    """(M,) p-values adjusted for having made M comparisons (Holm 1979), in the order given.

    The k-th smallest (k = 0..M-1) is multiplied by M - k, made at least the one before and at most 1: those
    at most 0.05 hold together with an error of 5%, however the comparisons depend on each other.

    Raises:
        ValueError: a p-value outside 0..1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"holm: p-values are a list of numbers from 0 to 1, found {p.tolist()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted


@dataclass(frozen=True)
class SeedsNeeded:
    """How many independent seeds tell a difference from zero, were it and its variances as observed."""

    difference: float
    seeds: int | None
    """The interval of expected width just excludes 0: an even chance. None where `words` says why not."""
    seeds_for_80: int | None
    """The interval excludes 0 in eight of ten tries."""
    limit: float
    """Half the interval's width with endlessly many seeds: what the samples alone leave open."""
    limit_for_80: float
    """What a difference must exceed to be told in eight of ten tries, with endlessly many seeds."""
    words: str


def seeds_needed(
    error: Floats,
    control: Floats,
    statistic: Statistic,
    *,
    clusters: ArrayLike | None = None,
    parents: ArrayLike | None = None,
    level: float = LEVEL,
) -> SeedsNeeded:
    """How many seeds would tell an observed difference from zero, from two seeds or more of both.

    A difference that is adjusted for others needs an interval of a higher `level`.

    More seeds shrink A and leave M = max(B - AB, 0): with S seeds and G clusters half the width
    is about sqrt(t(S - 1)^2 * A P / S + t(G - 1)^2 * M), t(n) being Student's quantile and G the effective
    number where clusters are uneven. A guide, not a promise: two seeds tell little of A, and the difference
    is noisy itself, the more so where it was looked at because it was large. The samples are taken to be as
    many as here.

    Raises:
        ValueError: as for `difference_interval`, or fewer than two independent seeds.
    """
    crossed = paired(error, control, statistic, clusters, parents)
    observed, groups = int(crossed.parent.max()) + 1, len(crossed.size)
    if observed < 2:
        raise ValueError("seeds_needed: one independent seed shows no spread over seeds; train a second one")
    parts = variance(crossed)
    if groups == 1:
        return SeedsNeeded(
            parts.estimate, None, None, np.inf, np.inf, "cannot by seeds alone: one independent sample"
        )
    seeds = np.arange(MIN_SEEDS, MAX_SEEDS + 1)
    by_seed = parts.seeds * observed / seeds
    limit = float(stats.t.ppf(0.5 + level / 2, crossed.freedom) * np.sqrt(parts.main))
    half = np.sqrt(stats.t.ppf(0.5 + level / 2, seeds - 1) ** 2 * by_seed + limit**2)

    def first(width: Floats) -> int | None:
        enough = abs(parts.estimate) > width
        return int(seeds[np.argmax(enough)]) if enough.any() else None

    even = first(half)
    often = first(half + stats.norm.ppf(0.8) * np.sqrt(by_seed + parts.main))
    if even is not None:
        words = f"{even} seeds for an even chance, {often or f'more than {MAX_SEEDS}'} for eight in ten"
    elif abs(parts.estimate) > limit:
        words = f"more than {MAX_SEEDS} seeds"
    else:
        words = "cannot by seeds alone: the samples leave more open than the difference"
    limit_for_80 = limit + float(stats.norm.ppf(0.8) * np.sqrt(parts.main))
    return SeedsNeeded(parts.estimate, even, often, limit, limit_for_80, words)
