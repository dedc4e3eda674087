"""Methods as they are usually written, label by label or sample by sample, in PyTorch with gradients.

What the committed forms are tested against, and timed against (`tests/benchmarks/step.py`). Those that are
not timed stand in float64 in the tests of their methods: norm ordinality and its running means, ordinal
entropy, LDS, Balanced MSE, Rank-N-Contrast.
"""

from typing import Any

import torch
from torch import Tensor


def norm_loss(z: Tensor, bin: Tensor, targets: Tensor, scale: float) -> Tensor:
    """R of stage 2 for (B, d) features, the mean over the labels in the batch."""
    found = bin.unique()
    total = z.new_zeros(())
    for label in found:
        norm = torch.linalg.vector_norm(z[bin == label], dim=1).mean()
        total = total + ((norm - targets[label]) / scale) ** 2
    return total / len(found)


def moved(z: Tensor, bin: Tensor, statistics: Any, low: float, high: float) -> Tensor:
    """FDS's move of (B, d) features by the `FeatureStatistics` of the last epoch."""
    found = z.clone()
    for label in bin.unique():
        if not statistics.ready[label]:
            continue
        rows = bin == label
        old, new = statistics.from_variance[label], statistics.to_variance[label]
        factor = (new / old.clamp(min=1e-12)).clamp(low, high).sqrt()
        shifted = (z[rows] - statistics.from_mean[label]) * factor + statistics.to_mean[label]
        found[rows] = torch.where(old > 1e-12, shifted, z[rows])
    return found


def statistics(z: Tensor, bin: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(K, d) means and variances of the features of each bin; 0 and 1 for a bin without samples."""
    mean, variance = z.new_zeros(count, z.shape[1]), z.new_ones(count, z.shape[1])
    for label in bin.unique():
        rows = z[bin == label]
        mean[label] = rows.mean(0)
        variance[label] = rows.var(0) if len(rows) > 1 else 0.0
    return mean, variance


def ranksim(z: Tensor, target: Tensor, interpolation: float) -> Tensor:
    """RankSim of samples of different labels, one anchor after another as in the released code."""
    unit = torch.nn.functional.normalize(z, dim=1)
    total = z.new_zeros(())
    for i in range(len(z)):
        wanted = _ranked(-(target[i] - target).abs())
        found: Tensor = _Row.apply(unit[i] @ unit.T, interpolation)
        total = total + ((found - wanted) ** 2).mean()
    return total


def _ranked(values: Tensor) -> Tensor:
    """(n,) ranks over n, the largest first."""
    place = values.argsort(descending=True, stable=True).argsort()
    return (place + 1).to(values.dtype) / len(values)


class _Row(torch.autograd.Function):
    """Ranks of a row forward, a blackbox solver's gradient backward."""

    @staticmethod
    def forward(context: Any, values: Tensor, interpolation: float) -> Tensor:
        found = _ranked(values)
        context.save_for_backward(values, found)
        context.interpolation = interpolation
        return found

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        values, found = context.saved_tensors
        return (_ranked(values + context.interpolation * gradient) - found) / context.interpolation, None


def conr(
    z: Tensor,
    prediction: Tensor,
    target: Tensor,
    weight: Tensor,
    window: float,
    temperature: float,
    strength: float,
) -> Tensor:
    """ConR, row after row."""
    unit = torch.nn.functional.normalize(z, dim=1)
    total = z.new_zeros(())
    for i in range(len(z)):
        gap = (target - target[i]).abs()
        near = gap <= window + 1e-5
        others = torch.arange(len(z)) != i
        positive = near & others
        negative = ~near & ((prediction - prediction[i]).detach().abs() <= window)
        if not positive.any() or not negative.any():
            continue
        similar = unit @ unit[i] / temperature
        push = weight[i] * torch.exp(strength * gap[negative])
        below = similar[positive].exp().sum() + (push * similar[negative].exp()).sum()
        total = total + (below.log() - similar[positive]).mean()
    return total / len(z)
