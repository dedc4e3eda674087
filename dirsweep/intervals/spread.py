"""How an estimate varies over seeds and over samples: its variances, and draws of how far it is off."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dirsweep.intervals.crossed import Crossed, Floats

RESAMPLES = 1999
MIN_CLUSTERS = 10  # below, too many resamples repeat one cluster, with a variance near 0
CHUNK = 250_000  # products in a block of resamples: stays in the cache, and BLAS starts no threads for it
DUST = 1e-12  # of an error: what rounding leaves of a difference of equals


@dataclass(frozen=True)
class Variance:
    """An estimate and the parts of its variance."""

    estimate: float
    seeds: float  # A, the interaction included; infinite with one parent
    samples: float  # B, the interaction included; infinite with one cluster
    main: float  # max(B - AB, 0)


def variance(crossed: Crossed) -> Variance:
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
        few = crossed.correction
        samples = float(few @ by_cluster**2)
        if parents > 1:
            interaction = float(np.sum((influence - by_cluster) ** 2 @ few)) / (parents * (parents - 1))
    dust = DUST * float(np.abs(crossed.share) @ crossed.value(mean))
    seeds, samples, main = (
        part if part > dust**2 else 0.0 for part in (seeds, samples, samples - interaction)
    )
    return Variance(estimate if abs(estimate) > dust else 0.0, seeds, samples, main)


def deviations(
    crossed: Crossed, estimate: float, by_seed: float, by_sample: float, seed: int, resamples: int
) -> Floats:
    """(resamples,) draws of estimate - truth: each factor's studentised shift times its own deviation."""
    parents, clusters = int(crossed.parent.max()) + 1, len(crossed.size)
    generator = np.random.default_rng([seed, clusters, parents])
    deviation = np.zeros(resamples)
    if by_seed > 0:
        deviation += np.sqrt(by_seed) * generator.permutation(_student(parents - 1, resamples))
    if by_sample > 0 and clusters < MIN_CLUSTERS:
        deviation += np.sqrt(by_sample) * generator.permutation(_student(crossed.freedom, resamples))
    elif by_sample > 0:
        shifts = _resampled(crossed, estimate, 1e-6 * float(np.sqrt(by_sample)), seed, resamples)
        deviation += np.sqrt(by_sample) * stretch(crossed) * shifts
    return deviation


def stretch(crossed: Crossed) -> float:
    """By how much uneven clusters widen the bootstrap-t, which takes them for as good as even; 1 if they are.

    Measured (1,000 draws a cell; 10 to 40 clusters, the largest with 23 to 52% of the samples, skewed
    errors): 95% intervals cover 86 to 94% without and 94 to 98% with it.
    """
    student = stats.t.ppf(0.975, [crossed.freedom, len(crossed.size) - 1])
    return float(student[0] / student[1])


@lru_cache(maxsize=32)
def _student(freedom: float, resamples: int) -> Floats:
    """(resamples,) evenly spread quantiles of Student's t: a sample of it without sampling noise."""
    return np.asarray(stats.t.ppf(np.arange(1, resamples + 1) / (resamples + 1), freedom))


def _resampled(crossed: Crossed, estimate: float, floor: float, seed: int, resamples: int) -> Floats:
    """(resamples,) shifts of the estimate when clusters are drawn anew, over each resample's own deviation.

    The statistic itself is computed again, so the bend of a GM and uneven clusters are in the shifts.
    Resamples without variance (nearly all samples alike) get `floor`, which makes the interval very wide.
    """
    clusters = len(crossed.size)
    counts, studentised = _counts(clusters, seed, resamples), np.empty(resamples)
    step = max(1, CHUNK // crossed.total.size)
    for start in range(0, resamples, step):
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
def _counts(clusters: int, seed: int, resamples: int) -> NDArray[np.uint8]:
    """(resamples, G) how often a cluster is drawn (never 256 times); kept, as comparisons share samples."""
    generator = np.random.default_rng([seed, clusters])
    counts = np.empty((resamples, clusters), dtype=np.uint8)
    for row in counts:
        row[:] = np.bincount(generator.integers(clusters, size=clusters), minlength=clusters)
    return counts
