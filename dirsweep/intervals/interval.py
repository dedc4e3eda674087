"""The interval of an error, and of a difference of two."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dirsweep.intervals.crossed import Crossed, Floats, Statistic, checked, crossed_errors, paired
from dirsweep.intervals.spread import MIN_CLUSTERS, RESAMPLES, deviations, variance

LEVEL = 0.95
MIN_SEEDS = 5


@dataclass(frozen=True)
class Interval:
    """An error, or a difference of two, in label units (squared for MSE), with its interval."""

    estimate: float
    """Mean over seeds (parents weigh alike) of the shot's error."""
    low: float
    high: float
    """`low` and `high` are infinite with one independent sample."""
    p_value: float
    """Two-sided, of a true value of 0; at most 1 - level exactly where the interval excludes 0."""
    level: float
    seeds: int
    parents: int
    """Independent ones among the seeds: stage 1s, where seeds share them."""
    samples: int
    clusters: int
    """Independent ones among the samples: subjects, where the data has them."""
    spread: float
    """Standard deviation over seeds; NaN with one."""
    over_seeds: bool
    """Whether new seeds are covered; else the interval holds for these trained models only."""
    method: str


def error_interval(
    error: Floats,
    statistic: Statistic,
    *,
    clusters: ArrayLike | None = None,
    parents: ArrayLike | None = None,
    seed: int = 0,
) -> Interval:
    """The interval of one configuration's error in a shot.

    Args:
        error: (S, N) errors in label units, signed or absolute: a row a seed, a column a sample of the shot.
        statistic: of the N absolute errors of a seed: their mean, that of their squares, or their geometric
            mean (each >= 1e-10).
        clusters: (N,) ids of the samples' subjects; None where every sample is its own.
        parents: (S,) ids of the seeds' stage 1s; None where every seed trained its own.
        seed: of the resampling.

    Raises:
        ValueError: an empty shot, no seed, a NaN or infinite error, or shapes that disagree.
    """
    return _interval(crossed_errors([checked(error, "error")], statistic, clusters, parents), seed)


def difference_interval(
    error: Floats,
    control: Floats,
    statistic: Statistic,
    *,
    clusters: ArrayLike | None = None,
    parents: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """The interval of a configuration's error minus a control's, paired by seed and by sample.

    Args:
        error: (S, N) errors of the configuration, as for `error_interval`.
        control: (S, N) errors of the control: the same seeds and samples in the same order.
        statistic: as for `error_interval`.
        clusters: (N,) ids of subjects, or None.
        parents: (S,) ids; two rows with one id share a stage 1 in either configuration. None: none do.
        seed: of the resampling.
        resamples: draws; the smallest p-value is 2 / (resamples + 1), so many comparisons need more of them.
            (resamples + 1) * 0.025 is whole, so that an end of the interval is one of the draws.

    Raises:
        ValueError: as for `error_interval`, or the two do not have one shape.
    """
    return _interval(paired(error, control, statistic, clusters, parents), seed, resamples)


def _interval(crossed: Crossed, seed: int, resamples: int = RESAMPLES) -> Interval:
    """The interval that the pivot's simulated quantiles leave."""
    parents, clusters = int(crossed.parent.max()) + 1, len(crossed.size)
    parts = variance(crossed)
    over_seeds = parents >= MIN_SEEDS
    by_seed, by_sample = (parts.seeds, parts.main) if over_seeds else (0.0, parts.samples)
    estimate, width = parts.estimate, float(np.sqrt(by_seed + by_sample))
    if 0 < width < np.inf:
        deviation = np.sort(deviations(crossed, estimate, by_seed, by_sample, seed, resamples))
        tail = round((resamples + 1) * (1 - LEVEL) / 2)
        low, high = estimate - float(deviation[-tail]), estimate - float(deviation[tail - 1])
        beyond = min(int(np.sum(deviation >= estimate)), int(np.sum(deviation <= estimate)))
    else:  # nothing varies, or the only cluster says nothing of others
        low, high = estimate - width, estimate + width
        beyond = resamples if low <= 0 <= high else 0
    value = np.sign(crossed.share) * crossed.value(crossed.total.sum(axis=1) / crossed.size.sum())
    by_row = value.reshape(-1, crossed.seeds).sum(axis=0)  # (S,)
    return Interval(
        estimate=estimate,
        low=low,
        high=high,
        p_value=min(2.0 * (1 + beyond) / (resamples + 1), 1.0),
        level=LEVEL,
        seeds=crossed.seeds,
        parents=parents,
        samples=int(crossed.size.sum()),
        clusters=clusters,
        spread=float(np.std(by_row, ddof=1)) if crossed.seeds > 1 else float("nan"),
        over_seeds=over_seeds,
        method=_words(parents, crossed, over_seeds),
    )


def _words(parents: int, crossed: Crossed, over_seeds: bool) -> str:
    """How the interval was made, for the reader of a table."""
    clusters, worth = len(crossed.size), crossed.freedom + 1
    if clusters == 1:
        return "no interval: one independent sample"
    samples = f"{'bootstrap-t' if clusters >= MIN_CLUSTERS else 't'} over {clusters} independent samples"
    if worth < 0.95 * clusters:
        samples += f" (of uneven size: worth {worth:.1f})"
    if over_seeds:
        return f"{samples}, crossed with t over {parents} independent seeds"
    return f"{samples} only: {parents} independent seeds of the {MIN_SEEDS} that an interval over seeds needs"
