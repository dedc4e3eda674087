"""Dist Loss: sorted predictions are to lie as the training labels do.

Nie et al. (2025), "Dist Loss: Enhancing Regression in Few-Shot Region through Distribution Distance
Constraint", ICLR. Beside the error of the predictions, that of the softly sorted batch of predictions against
as many pseudo-labels, spread as a kernel density of the training labels says:

    l(y^, y) + lambda l(softsort(y^), pseudo-labels)

Soft sorting (Blondel et al., 2020, "Fast Differentiable Sorting and Ranking", ICML) projects on the
permutations of the predictions and their mixtures: neighbours farther apart than 1 / strength are drawn
together.

Where we depart from the released code: its pseudo-labels are whole years in rounded numbers over a range
wider than the data, ours the quantiles of the density within the training labels, in equal steps; its sample
weights meet the sorted predictions in the order of the batch, ours in the order of the labels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from torch import Tensor

from dirsweep.methods.l1 import l1
from dirsweep.methods.mse import mse

GRID = 512
"""Places between the smallest and the largest label at which the density is taken."""


@dataclass(frozen=True)
class Density:
    """How the training labels lie, in units of the standardised label.

    place: (G,) rising labels; below: (G,) the share of labels that lie below each.
    """

    place: NDArray[np.float64]
    below: NDArray[np.float64]

    def quantiles(self, count: int) -> NDArray[np.float64]:
        """(count,) rising pseudo-labels, each standing for an equal share of the labels."""
        return np.interp((np.arange(count) + 0.5) / count, self.below, self.place)


def density(label: NDArray[np.float64], bandwidth: float) -> Density:
    """Gaussian kernel density of the (N,) labels between the smallest and the largest, and none beyond.

    Args:
        bandwidth: deviation of the kernel, in the unit of the labels.
    """
    value, count = np.unique(label, return_counts=True)
    place = np.linspace(value[0], value[-1], GRID)
    height = [np.exp(-(((at - value) / bandwidth) ** 2) / 2) @ count for at in place]
    area = np.diff(place) * (np.array(height[1:]) + height[:-1])
    below = np.concatenate([[0.0], area.cumsum()])
    return Density(place, below / below[-1] if below[-1] > 0 else np.linspace(0.0, 1.0, GRID))


def dist_loss(
    prediction: Tensor,
    target: Tensor,
    weight: Tensor,
    labels: Density,
    error: str,
    strength: float,
    term_weight: float,
) -> Tensor:
    """The error of a batch and of its sorted predictions, averaged over the batch. Waits for the device.

    Args:
        prediction: (B,) predicted labels.
        target: (B,) standardised labels.
        weight: (B,) sample weights with mean 1 over the training split.
        labels: density of the training labels.
        error: "l1" or "mse".
        strength: of the soft sorting, per unit of the standardised label.
        term_weight: lambda.
    """
    loss = l1 if error == "l1" else mse
    pseudo = torch.as_tensor(labels.quantiles(len(prediction))).to(prediction)
    in_order = weight[target.argsort(stable=True)]
    return loss(prediction, target, weight) + term_weight * loss(
        soft_sort(prediction, strength), pseudo, in_order
    )


def soft_sort(values: Tensor, strength: float) -> Tensor:
    """(B,) values softly sorted, the smallest first; where gaps are at most 1 / strength, sorted exactly."""
    found: Tensor = _Drawn.apply(values.sort(stable=True).values, strength)
    return found


class _Drawn(torch.autograd.Function):
    """Rising values to their projection: blocks of them are shifted onto a line of slope 1 / strength."""

    @staticmethod
    def forward(context: Any, rising: Tensor, strength: float) -> Tensor:
        values = rising.detach().double().cpu().numpy()
        line = np.arange(len(values), 0, -1) / strength
        fit = isotonic_regression(values + line, increasing=False)
        context.blocks = fit.blocks
        return torch.as_tensor(fit.x - line).to(rising)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        size = torch.as_tensor(np.diff(context.blocks), device=gradient.device)
        block = torch.arange(len(size), device=gradient.device).repeat_interleave(size)  # (B,)
        total = gradient.new_zeros(len(size)).index_add(0, block, gradient)
        return (total / size)[block], None
