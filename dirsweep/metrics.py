"""Errors and norm ordinality, over all labels and per shot region.

An empty shot is NaN with count 0, never 0 and never a crash or a warning. A shot's MAE weighs samples
equally, its `balanced_mae` bins. All in float64 and in label units.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dirsweep.shots import Shots

Floats = NDArray[np.float64]
NAN = float("nan")


def gm(error: Floats) -> float:
    """Geometric mean of (N,) absolute errors, each at least 1e-10; NaN without any."""
    return float(np.exp(_mean(np.log(np.maximum(np.abs(np.asarray(error, dtype=np.float64)), 1e-10)))))


def pearson(prediction: Floats, label: Floats) -> float:
    """Pearson's correlation of (N,) predictions and labels; NaN where either is constant."""
    ours, theirs = (values - values.mean() if len(values) else values for values in (prediction, label))
    scale = float(np.sqrt((ours**2).sum() * (theirs**2).sum()))
    return float((ours * theirs).sum()) / scale if scale > 0 else NAN


def per_shot(
    prediction: Floats, label: Floats, bin: NDArray[np.int64], shots: Shots, *, correlation: bool = False
) -> dict[str, float]:
    """MAE, GM, MSE, label-balanced MAE and sample count of every shot, as "few/mae" and so on.

    Args:
        prediction: (N,) predictions, in label units.
        label: (N,) labels.
        bin: (N,) bins of the labels.
        shots: the regions, from the training counts.
        correlation: add "few/pearson" and so on, as STS-B's published tables have it: of predictions and
            labels inside the shot, whose narrow range of labels makes it smaller.
    """
    prediction, label = (np.asarray(values, dtype=np.float64) for values in (prediction, label))
    error = prediction - label
    bin_mae = per_bin_mae(error, bin, len(shots.counts))
    result: dict[str, float] = {}
    for shot, mask in shots.masks.items():
        inside = error[mask[bin]]
        result[f"{shot}/mae"] = _mean(np.abs(inside))
        result[f"{shot}/gm"] = gm(inside)
        result[f"{shot}/mse"] = _mean(inside**2)
        result[f"{shot}/balanced_mae"] = _mean(bin_mae[mask & ~np.isnan(bin_mae)])
        if correlation:
            result[f"{shot}/pearson"] = pearson(prediction[mask[bin]], label[mask[bin]])
        result[f"{shot}/count"] = float(len(inside))
    return result


def per_bin_mae(error: Floats, bin: NDArray[np.int64], count: int) -> Floats:
    """(N,) errors to the (K,) MAE of each of `count` bins; NaN for a bin without samples."""
    samples = np.bincount(bin, minlength=count)
    total = np.bincount(bin, weights=np.abs(error), minlength=count)
    return np.divide(total, samples, out=np.full(count, NAN), where=samples > 0)


def ordinality(
    norms: Floats, predicted: Floats | None, majority: NDArray[np.bool_] | None, shots: Shots
) -> dict[str, float]:
    """How far the bins' mean norms follow the order of their labels, per shot.

    Over the bins with training samples: "few/spearman" and "few/kendall" (tau-b) of (y_b, F_b), NaN below
    three bins or where all norms are equal; "few/out_of_order", of the bins that have a next one in the
    same shot (in label order, other shots' and empty bins passed over) the fraction whose next norm is
    smaller, NaN below two bins. Rising norms count as in order whatever direction a trial asked for.
    With a majority fit also "fit/rmse_outside", the RMSE of F_b - F^(y_b) over the bins outside it, NaN
    without any.

    Args:
        norms: (K,) mean feature norms F_b over the training split; NaN where n_b = 0.
        predicted: (K,) F^(y_b) of the majority fit, or None without a fit.
        majority: (K,) mask of the bins that were fitted, or None without a fit.
        shots: the regions, from the training counts.
    """
    sampled = shots.counts > 0
    result: dict[str, float] = {}
    for shot, mask in shots.masks.items():
        y, f = shots.bins.centres[mask & sampled], norms[mask & sampled]
        defined = len(f) >= 3 and f.min() < f.max()
        result[f"{shot}/spearman"] = float(stats.spearmanr(y, f).statistic) if defined else NAN
        result[f"{shot}/kendall"] = float(stats.kendalltau(y, f).statistic) if defined else NAN
        result[f"{shot}/out_of_order"] = _mean(np.diff(f) < 0)
    if predicted is not None and majority is not None:
        outside = sampled & ~majority
        result["fit/rmse_outside"] = float(np.sqrt(_mean((norms - predicted)[outside] ** 2)))
    return result


def _mean(values: Floats | NDArray[np.bool_]) -> float:
    """The mean; NaN, without a warning, of nothing."""
    return float(np.mean(values)) if len(values) else NAN
