"""Confidence intervals for the error of a shot, over new seeds and new samples, and the verdict they allow.

A configuration trained over S seeds gives an (S, N) matrix of errors: seeds crossed with the samples of a
shot. Another S seeds and another N samples would give another mean; the interval covers the mean over all
of them. Two things are easily missed: below five independent seeds nothing can be said about new seeds (the
interval is then over samples alone, and says so), and trials that share a stage 1 share its noise, so what
counts as independent are their parents.

The construction. Let A be the variance of the P parents' values over P, B that of the seed-averaged error
over the samples' clusters (subjects), AB that of what is left when both means are taken out, all as variances
of the estimate. It varies by A + B - AB, for A and B each hold AB once (Owen 2007, The pigeonhole bootstrap;
Cameron, Gelbach & Miller 2011, Robust inference with multiway clustering). Only B - AB is cut at zero, never
A - AB: A has few degrees of freedom, and its luck must stay in the width (Hillis 2007, Stat. Med. 26:596, for
readers crossed with cases). Each factor then deviates by its own studentised distribution:

    estimate - truth  ~  sqrt(A) * t  +  sqrt(max(B - AB, 0)) * T

- t: Student's, of P - 1 degrees of freedom. Five seeds cannot be resampled: their bootstrap variance is
  (P - 1) / P of A, and its quantiles are near the normal's 1.96 where 2.78 is due.
- T: shifts of the estimate when clusters are drawn with replacement, over each resample's own deviation
  (bootstrap-t: Hall 1992, The bootstrap and Edgeworth expansion; Davison & Hinkley 1997, section 5.2). It
  follows the skew of errors, which Student's t does not.

The interval comes from the quantiles of the sum, as in the Behrens-Fisher problem of two variances, where
this errs on the wide side (Robinson 1976, Ann. Stat. 4:963). Samples that hardly vary leave Student's t
over parents, seeds that do not matter the bootstrap-t over samples.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
Statistic = Literal["mae", "gm"]
Verdict = Literal["better", "worse", "not distinguishable"]

LEVEL = 0.95
RESAMPLES = 1999  # (1999 + 1) * 0.025 is whole, so an end of the interval is one of the draws
MIN_SEEDS = 5
MIN_CLUSTERS = 10  # below, too many resamples repeat one cluster, with a variance near 0
MAX_SEEDS = 10_000
CHUNK = 250_000  # products in a block of resamples: stays in the cache, and BLAS starts no threads for it
DUST = 1e-12  # of an error: what rounding leaves of a difference of equals


@dataclass(frozen=True)
class Interval:
    """An error, or a difference of two, in label units, with its interval."""

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
    words: str


@dataclass(frozen=True)
class _Crossed:
    """Rows (the seeds of a configuration, then those of its control) crossed with clusters of samples."""

    statistic: Statistic
    total: Floats  # (R, G) sum of a row's absolute errors in a cluster, or of their logarithms
    size: Floats  # (G,) samples of a cluster
    share: Floats  # (R,) a row's part in the estimate; a control's is negative
    parent: NDArray[np.int64]  # (R,) in 0..P-1
    seeds: int  # R, or R / 2 with a control

    def value(self, mean: Floats) -> Floats:
        """A row's statistic from the mean of what `total` sums."""
        return np.exp(mean) if self.statistic == "gm" else mean

    def slope(self, mean: Floats) -> Floats:
        """The derivative of `value`."""
        return np.exp(mean) if self.statistic == "gm" else np.ones_like(mean)


@dataclass(frozen=True)
class _Variance:
    """An estimate and the parts of its variance."""

    estimate: float
    seeds: float  # A, the interaction included; infinite with one parent
    samples: float  # B, the interaction included; infinite with one cluster
    main: float  # max(B - AB, 0)


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
        statistic: of the N absolute errors of a seed: their mean, or their geometric mean (each >= 1e-10).
        clusters: (N,) ids of the samples' subjects; None where every sample is its own.
        parents: (S,) ids of the seeds' stage 1s; None where every seed trained its own.
        seed: of the resampling.

    Raises:
        ValueError: an empty shot, no seed, a NaN or infinite error, or shapes that disagree.
    """
    return _interval(_crossed([_checked(error, "error")], statistic, clusters, parents), seed)


def difference_interval(
    error: Floats,
    control: Floats,
    statistic: Statistic,
    *,
    clusters: ArrayLike | None = None,
    parents: ArrayLike | None = None,
    seed: int = 0,
) -> Interval:
    """The interval of a configuration's error minus a control's, paired by seed and by sample.

    Args:
        error: (S, N) errors of the configuration, as for `error_interval`.
        control: (S, N) errors of the control: the same seeds and samples in the same order.
        statistic: as for `error_interval`.
        clusters: (N,) ids of subjects, or None.
        parents: (S,) ids; two rows with one id share a stage 1 in either configuration. None: none do.
        seed: of the resampling.

    Raises:
        ValueError: as for `error_interval`, or the two do not have one shape.
    """
    return _interval(_paired(error, control, statistic, clusters, parents), seed)


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


def seeds_needed(
    error: Floats,
    control: Floats,
    statistic: Statistic,
    *,
    clusters: ArrayLike | None = None,
    parents: ArrayLike | None = None,
) -> SeedsNeeded:
    """How many seeds would tell an observed difference from zero, from two seeds or more of both.

    More seeds shrink A and leave M = max(B - AB, 0): with S seeds and G clusters half the width
    is about sqrt(t(S - 1)^2 * A P / S + t(G - 1)^2 * M), t(n) being Student's quantile. A guide, not a
    promise: two seeds tell little of A, and the difference is noisy itself, the more so where it was looked
    at because it was large. The samples are taken to be as many as here.

    Raises:
        ValueError: as for `difference_interval`, or fewer than two independent seeds.
    """
    crossed = _paired(error, control, statistic, clusters, parents)
    observed, groups = int(crossed.parent.max()) + 1, len(crossed.size)
    if observed < 2:
        raise ValueError("seeds_needed: one independent seed shows no spread over seeds; train a second one")
    parts = _variance(crossed)
    if groups == 1:
        return SeedsNeeded(
            parts.estimate, None, None, np.inf, "cannot by seeds alone: one independent sample"
        )
    seeds = np.arange(MIN_SEEDS, MAX_SEEDS + 1)
    by_seed = parts.seeds * observed / seeds
    limit = float(stats.t.ppf(0.5 + LEVEL / 2, groups - 1) * np.sqrt(parts.main))
    half = np.sqrt(stats.t.ppf(0.5 + LEVEL / 2, seeds - 1) ** 2 * by_seed + limit**2)

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
    return SeedsNeeded(parts.estimate, even, often, limit, words)


def _interval(crossed: _Crossed, seed: int) -> Interval:
    """The interval that the pivot's simulated quantiles leave."""
    parents, clusters = int(crossed.parent.max()) + 1, len(crossed.size)
    parts = _variance(crossed)
    over_seeds = parents >= MIN_SEEDS
    by_seed, by_sample = (parts.seeds, parts.main) if over_seeds else (0.0, parts.samples)
    estimate, width = parts.estimate, float(np.sqrt(by_seed + by_sample))
    if 0 < width < np.inf:
        deviation = np.sort(_deviations(crossed, estimate, by_seed, by_sample, seed))
        tail = round((RESAMPLES + 1) * (1 - LEVEL) / 2)
        low, high = estimate - float(deviation[-tail]), estimate - float(deviation[tail - 1])
        beyond = min(int(np.sum(deviation >= estimate)), int(np.sum(deviation <= estimate)))
    else:  # nothing varies, or the only cluster says nothing of others
        low, high = estimate - width, estimate + width
        beyond = RESAMPLES if low <= 0 <= high else 0
    value = np.sign(crossed.share) * crossed.value(crossed.total.sum(axis=1) / crossed.size.sum())
    by_row = value.reshape(-1, crossed.seeds).sum(axis=0)  # (S,)
    return Interval(
        estimate=estimate,
        low=low,
        high=high,
        p_value=min(2.0 * (1 + beyond) / (RESAMPLES + 1), 1.0),
        level=LEVEL,
        seeds=crossed.seeds,
        parents=parents,
        samples=int(crossed.size.sum()),
        clusters=clusters,
        spread=float(np.std(by_row, ddof=1)) if crossed.seeds > 1 else float("nan"),
        over_seeds=over_seeds,
        method=_words(parents, clusters, over_seeds),
    )


def _words(parents: int, clusters: int, over_seeds: bool) -> str:
    """How the interval was made, for the reader of a table."""
    if clusters == 1:
        return "no interval: one independent sample"
    samples = f"{'bootstrap-t' if clusters >= MIN_CLUSTERS else 't'} over {clusters} independent samples"
    if over_seeds:
        return f"{samples}, crossed with t over {parents} independent seeds"
    return f"{samples} only: {parents} independent seeds of the {MIN_SEEDS} that an interval over seeds needs"


def _variance(crossed: _Crossed) -> _Variance:
    """The estimate and the analysis of its variance, into which a GM enters by its influence."""
    parents, clusters = int(crossed.parent.max()) + 1, len(crossed.size)
    mean = crossed.total.sum(axis=1) / crossed.size.sum()  # (R,)
    part = np.zeros((parents, len(mean)))  # (P, R) a row's part in the value of its parent
    part[crossed.parent, np.arange(len(mean))] = crossed.share * parents
    by_parent = part @ crossed.value(mean)  # (P,)
    centred = crossed.total - mean[:, None] * crossed.size  # (R, G)
    influence = (part * crossed.slope(mean)) @ centred / crossed.size.sum()  # (P, G)
    by_cluster = influence.mean(axis=0)  # (G,)
    estimate, seeds, samples, interaction = float(by_parent.mean()), np.inf, np.inf, 0.0
    if parents > 1:
        seeds = float(np.var(by_parent, ddof=1)) / parents
    if clusters > 1:
        few = clusters / (clusters - 1)
        samples = few * float(np.sum(by_cluster**2))
        if parents > 1:
            interaction = few * float(np.sum((influence - by_cluster) ** 2)) / (parents * (parents - 1))
    dust = DUST * float(np.abs(crossed.share) @ crossed.value(mean))
    seeds, samples, main = (
        part if part > dust**2 else 0.0 for part in (seeds, samples, samples - interaction)
    )
    return _Variance(estimate if abs(estimate) > dust else 0.0, seeds, samples, main)


def _deviations(crossed: _Crossed, estimate: float, by_seed: float, by_sample: float, seed: int) -> Floats:
    """(RESAMPLES,) draws of estimate - truth: each factor's studentised shift times its own deviation."""
    parents, clusters = int(crossed.parent.max()) + 1, len(crossed.size)
    generator = np.random.default_rng([seed, clusters, parents])
    deviation = np.zeros(RESAMPLES)
    if by_seed > 0:
        deviation += np.sqrt(by_seed) * generator.permutation(_student(parents - 1))
    if by_sample > 0 and clusters < MIN_CLUSTERS:
        deviation += np.sqrt(by_sample) * generator.permutation(_student(clusters - 1))
    elif by_sample > 0:
        deviation += np.sqrt(by_sample) * _resampled(
            crossed, estimate, 1e-6 * float(np.sqrt(by_sample)), seed
        )
    return deviation


@lru_cache(maxsize=32)
def _student(freedom: int) -> Floats:
    """(RESAMPLES,) evenly spread quantiles of Student's t: a sample of it without sampling noise."""
    return np.asarray(stats.t.ppf(np.arange(1, RESAMPLES + 1) / (RESAMPLES + 1), freedom))


def _resampled(crossed: _Crossed, estimate: float, floor: float, seed: int) -> Floats:
    """(RESAMPLES,) shifts of the estimate when clusters are drawn anew, over each resample's own deviation.

    The statistic itself is computed again, so the bend of a GM and uneven clusters are in the shifts.
    Resamples without variance (nearly all samples alike) get `floor`, which makes the interval very wide.
    """
    clusters = len(crossed.size)
    counts, studentised = _counts(clusters, seed), np.empty(RESAMPLES)
    step = max(1, CHUNK // crossed.total.size)
    for start in range(0, RESAMPLES, step):
        weight = counts[start : start + step].astype(np.float64)  # (b, G)
        size = weight @ crossed.size  # (b,)
        mean = weight @ crossed.total.T / size[:, None]  # (b, R)
        shift = crossed.value(mean) @ crossed.share - estimate  # (b,)
        slope = crossed.slope(mean) * crossed.share  # (b, R)
        influence = slope @ crossed.total - np.sum(slope * mean, axis=1)[:, None] * crossed.size  # (b, G)
        influence *= influence
        influence *= weight
        deviation = np.sqrt(influence.sum(axis=1) * clusters / (clusters - 1)) / size
        studentised[start : start + step] = shift / np.maximum(deviation, floor)
    return studentised


@lru_cache(maxsize=8)
def _counts(clusters: int, seed: int) -> NDArray[np.uint8]:
    """(RESAMPLES, G) how often a cluster is drawn (never 256 times); kept, as comparisons share samples."""
    generator = np.random.default_rng([seed, clusters])
    counts = np.empty((RESAMPLES, clusters), dtype=np.uint8)
    for row in counts:
        row[:] = np.bincount(generator.integers(clusters, size=clusters), minlength=clusters)
    return counts


def _paired(
    error: Floats,
    control: Floats,
    statistic: Statistic,
    clusters: ArrayLike | None,
    parents: ArrayLike | None,
) -> _Crossed:
    """Two configurations' (S, N) errors, one above the other."""
    rows = [_checked(error, "error"), _checked(control, "control")]
    if rows[0].shape != rows[1].shape:
        raise ValueError(
            f"intervals: error is {rows[0].shape} and control {rows[1].shape} (seeds, samples); "
            "a paired difference needs the same seeds and samples of both"
        )
    return _crossed(rows, statistic, clusters, parents)


def _crossed(
    rows: list[Floats], statistic: Statistic, clusters: ArrayLike | None, parents: ArrayLike | None
) -> _Crossed:
    """Sum the errors of one configuration, or of one and its control, over clusters."""
    if statistic not in get_args(Statistic):
        raise ValueError(f"intervals: unknown statistic '{statistic}'; give one of {get_args(Statistic)}")
    seeds, samples = rows[0].shape
    cluster = _ids(clusters, samples, "clusters", "samples")
    parent = _ids(parents, seeds, "parents", "seeds")
    error = np.abs(np.concatenate(rows))  # (R, N)
    if statistic == "gm":
        error = np.log(np.maximum(error, 1e-10))
    size = np.bincount(cluster).astype(np.float64)  # (G,)
    total = error
    if clusters is not None:
        total = np.stack([np.bincount(cluster, weights=row) for row in error])  # (R, G)
    share = 1.0 / (np.bincount(parent)[parent] * (parent.max() + 1))  # (S,) parents weigh alike
    return _Crossed(
        statistic=statistic,
        total=total,
        size=size,
        share=np.concatenate([share, -share][: len(rows)]),
        parent=np.tile(parent, len(rows)),
        seeds=seeds,
    )


def _checked(error: Floats, name: str) -> Floats:
    """`error` as an (S, N) array of finite float64."""
    error = np.asarray(error, dtype=np.float64)
    if error.ndim != 2:
        raise ValueError(f"intervals: {name} has shape {error.shape}; give (seeds, samples)")
    if error.size == 0:
        raise ValueError(f"intervals: {name} is empty, {error.shape} (seeds, samples); leave out empty shots")
    if not np.isfinite(error).all():
        seed, sample = np.argwhere(~np.isfinite(error))[0]
        raise ValueError(
            f"intervals: {name}[{seed}, {sample}] (seed, sample) is {error[seed, sample]}; "
            "leave out the seeds that failed"
        )
    return error


def _ids(ids: ArrayLike | None, count: int, name: str, of: str) -> NDArray[np.int64]:
    """(count,) ids as 0, 1, ...; every one its own where none are given."""
    if ids is None:
        return np.arange(count)
    values = np.asarray(ids)
    if values.shape != (count,):
        raise ValueError(f"intervals: {name} has shape {values.shape} for {count} {of}; give one id for each")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError(f"intervals: {name} holds NaN; every one of the {of} needs an id")
    return np.unique(values, return_inverse=True)[1]
