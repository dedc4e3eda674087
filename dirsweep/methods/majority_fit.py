"""Fit mean feature norm to label on the majority bins, and pull every bin's norm to the extended fit.

The fit is a closed form, with no epochs to tune. Only what lies outside the majority bins is moved:
a majority bin's target is its own norm, the others' is the fit's. Which bins are majority depends on
the threshold theta, which may be searched and never moves the reporting shots.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dirsweep.config import Fit
from dirsweep.methods.norm_ordinality import bin_means
from dirsweep.shots import check_threshold

Floats = NDArray[np.float64]
MOST_LOG = 80.0
"""Largest log F^ that float32, the unit of the targets in training, can hold."""
LEAST_R2 = 0.5
"""Below, the fit leaves more of the norms' spread over M unexplained than it explains."""


@dataclass(frozen=True)
class MajorityFit:
    """Fit and targets of the second stage, over K bins.

    majority: (K,) mask of M, the bins with n_b > theta.
    predicted: (K,) F^(y_b); a line is floored at the smallest F_b in M.
    targets: (K,) T_b: F_b in M, F^(y_b) elsewhere.
    scale: mean F_b over M, the unit of the norm term.
    r2, rmse: of F_b by `predicted` over M, unweighted and never on log F; r2 is NaN where F_b is constant.
    slope, intercept: F^ (exponential: log F^) is slope * label + intercept, in label units.
    floored: number of bins outside M at which the line lay below the floor.
    majority_range, label_range: lowest and highest y_b of M and of all bins.
    """

    majority: NDArray[np.bool_]
    predicted: Floats
    targets: Floats
    scale: float
    r2: float
    rmse: float
    slope: float
    intercept: float
    floored: int
    majority_range: tuple[float, float]
    label_range: tuple[float, float]

    @property
    def reach(self) -> float:
        """How far the fit extrapolates: the farthest bin outside M's label range, in units of that range."""
        (low, high), (lowest, highest) = self.majority_range, self.label_range
        return max(low - lowest, highest - high) / (high - low)

    @property
    def bins(self) -> int:
        """How many bins M has."""
        return int(self.majority.sum())

    @property
    def is_doubtful(self) -> bool:
        """Whether the fit says too little to be followed beyond M: `r2` below LEAST_R2, or NaN."""
        return not self.r2 >= LEAST_R2


def fit_majority(
    config: Fit, theta: int, centres: Floats, counts: NDArray[np.int64], norms: Floats
) -> MajorityFit:
    """Fit F_b on y_b over the bins with n_b > theta, in closed form.

    Labels are standardised over M (unweighted); slope = covariance / (variance + ridge), both weighted by
    n_b if the config says so.

    Args:
        config: weights, ridge and curve of the fit.
        theta: majority threshold, in training samples of a bin.
        centres: (K,) y_b, in label units.
        counts: (K,) n_b.
        norms: (K,) F_b; NaN where n_b = 0.

    Raises:
        ValueError: fewer than two majority bins.
        FloatingPointError: what was trained has no fit: majority norms that are all 0, or an exponential
            curve over a norm of 0 or beyond what is finite.
    """
    check_threshold(counts, theta)
    majority = counts > theta
    y, f = centres[majority], norms[majority]
    if not f.any():
        raise FloatingPointError(
            "every majority bin has feature norm 0: stage 1 left a dead encoder; lower stage1.optimizer.lr"
        )
    if config.curve == "exponential" and f.min() <= 0:
        raise FloatingPointError(
            f"stage2.fit.curve 'exponential' needs positive norms, but the majority bin at label "
            f"{y[f.argmin()]:g} has mean norm {f.min():g}; use 'line'"
        )
    response = np.log(f) if config.curve == "exponential" else f
    weight = counts[majority] / counts[majority].sum() if config.weighted else np.full(len(y), 1 / len(y))
    slope, intercept = _least_squares((y - y.mean()) / y.std(), response, weight, config.ridge)
    line = slope * (centres - y.mean()) / y.std() + intercept  # (K,)
    if config.curve == "exponential" and line.max() > MOST_LOG:
        raise FloatingPointError(
            f"stage2.fit.curve 'exponential' is not finite at label {centres[line.argmax()]:g}; use 'line'"
        )
    predicted = np.exp(line) if config.curve == "exponential" else np.maximum(line, f.min())
    residual, spread = f - predicted[majority], f - f.mean()
    return MajorityFit(
        majority=majority,
        predicted=predicted,
        targets=np.where(majority, norms, predicted),
        scale=float(f.mean()),
        r2=float(1 - (residual @ residual) / (spread @ spread)) if f.min() < f.max() else float("nan"),
        rmse=float(np.sqrt(np.mean(residual**2))),
        slope=float(slope / y.std()),
        intercept=float(intercept - slope * y.mean() / y.std()),
        floored=int((line < f.min())[~majority].sum()) if config.curve == "line" else 0,
        majority_range=(float(y.min()), float(y.max())),
        label_range=(float(centres.min()), float(centres.max())),
    )


def _least_squares(x: Floats, response: Floats, weight: Floats, ridge: float) -> tuple[float, float]:
    """Slope and intercept of `response` on `x`, with weights that sum to 1 and ridge on the slope."""
    x_mean, response_mean = weight @ x, weight @ response
    covariance = weight @ ((x - x_mean) * (response - response_mean))
    variance = weight @ (x - x_mean) ** 2
    slope = covariance / (variance + ridge)
    return float(slope), float(response_mean - slope * x_mean)


def norm_term(
    norm: Tensor, bin: Tensor, targets: Tensor, scale: float, reduction: Literal["mean", "sum"]
) -> Tensor:
    """R: squared distance of the mean norms in the batch to their targets, over the bins in the batch.

    Args:
        norm: (B,) feature norms of the global batch.
        bin: (B,) int64 label bins.
        targets: (K,) T_b.
        scale: mean F_b over the majority bins; norms and targets are divided by it.
        reduction: average or sum over the bins in the batch.
    """
    means, present = bin_means(norm, bin, len(targets))
    error = torch.where(present, (means - targets) / scale, 0)  # (K,)
    total = error.square().sum()
    return total / present.sum() if reduction == "mean" else total
