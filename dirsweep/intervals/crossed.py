"""Errors of seeds crossed with samples, summed over the samples' clusters: what an interval is made of."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Statistic = Literal["mae", "mse", "gm"]


@dataclass(frozen=True)
class Crossed:
    """Rows (the seeds of a configuration, then those of its control) crossed with clusters of samples."""

    statistic: Statistic
    total: Floats  # (R, G) sum of a row's absolute errors in a cluster, of their squares or logarithms
    size: Floats  # (G,) samples of a cluster
    share: Floats  # (R,) a row's part in the estimate; a control's is negative
    parent: NDArray[np.int64]  # (R,) in 0..P-1
    seeds: int  # R, or R / 2 with a control

    @property
    def freedom(self) -> float:
        """Degrees of freedom of a variance over clusters: one less than their effective number.

        That is (sum of sizes)^2 / sum of squared sizes (Kish 1965, Survey Sampling): the number itself where
        sizes are even. At least 1, which two clusters leave, whatever their sizes.
        """
        return max(1.0, float(self.size.sum() ** 2 / np.sum(self.size**2)) - 1)

    @property
    def correction(self) -> Floats:
        """(G,) what makes a cluster's squared influence unbiased: G / (G - 1) where sizes are even.

        A large cluster draws the mean toward itself, so its influence looks too small. As for clusters whose
        samples share one error (Bell & McCaffrey 2002, Bias reduction in standard errors; CR2).
        """
        part = self.size / self.size.sum()
        left = 1 - 2 * part + np.sum(part**2)
        return np.asarray(1 / left)

    def value(self, mean: Floats) -> Floats:
        """A row's statistic from the mean of what `total` sums."""
        return np.exp(mean) if self.statistic == "gm" else mean

    def slope(self, mean: Floats) -> Floats:
        """The derivative of `value`."""
        return np.exp(mean) if self.statistic == "gm" else np.ones_like(mean)


def paired(
    error: Floats,
    control: Floats,
    statistic: Statistic,
    clusters: ArrayLike | None,
    parents: ArrayLike | None,
) -> Crossed:
    """Two configurations' (S, N) errors, one above the other."""
    rows = [checked(error, "error"), checked(control, "control")]
    if rows[0].shape != rows[1].shape:
        raise ValueError(
            f"intervals: error is {rows[0].shape} and control {rows[1].shape} (seeds, samples); "
            "a paired difference needs the same seeds and samples of both"
        )
    return crossed_errors(rows, statistic, clusters, parents)


def crossed_errors(
    rows: list[Floats], statistic: Statistic, clusters: ArrayLike | None, parents: ArrayLike | None
) -> Crossed:
    """Sum the errors of one configuration, or of one and its control, over clusters."""
    if statistic not in get_args(Statistic):
        raise ValueError(f"intervals: unknown statistic '{statistic}'; give one of {get_args(Statistic)}")
    seeds, samples = rows[0].shape
    cluster = _ids(clusters, samples, "clusters", "samples")
    parent = _ids(parents, seeds, "parents", "seeds")
    error = np.abs(np.concatenate(rows))  # (R, N)
    if statistic == "mse":
        error = error**2
    if statistic == "gm":
        error = np.log(np.maximum(error, 1e-10))
    size = np.bincount(cluster).astype(np.float64)  # (G,)
    total = error
    if clusters is not None:
        total = np.stack([np.bincount(cluster, weights=row) for row in error])  # (R, G)
    share = 1.0 / (np.bincount(parent)[parent] * (parent.max() + 1))  # (S,) parents weigh alike
    return Crossed(
        statistic=statistic,
        total=total,
        size=size,
        share=np.concatenate([share, -share][: len(rows)]),
        parent=np.tile(parent, len(rows)),
        seeds=seeds,
    )


def checked(error: Floats, name: str) -> Floats:
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
