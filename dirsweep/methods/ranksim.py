"""RankSim: for every sample, others are to be ranked alike by label and by feature.

Gong, Mori and Tung (2022), "RankSim: Ranking Similarity Regularization for Deep Imbalanced Regression", ICML.
One sample of each bin in the batch is drawn; with rk the descending rank over their number n, the loss is

    sum over i of mean over j of (rk(cos(z_i, z_.))_j - rk(-|y_i - y_.|)_j)^2

Ranks have no gradient, so that of a blackbox solver stands in for it (Vlastelica et al., 2020): with g the
incoming gradient, (rk(s + lambda g) - rk(s)) / lambda.

The sum over anchors is the paper's and the reference code's: the loss grows with the labels in a batch. There
"one of each label" is drawn by Python's unseeded generator; here by the step's own.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def ranksim(z: Tensor, target: Tensor, bin: Tensor, interpolation: float) -> Tensor:
    """The loss of a batch; 0 with fewer than two bins. Draws from the global generator.

    On a GPU, where a step would wait to learn how many bins there are, the samples that are not chosen stay,
    and are masked.

    Args:
        z: (B, ...) features of the global batch.
        target: (B,) standardised labels.
        bin: (B,) int64 label bins.
        interpolation: lambda.
    """
    z = z.to(torch.promote_types(z.dtype, torch.float32)).flatten(1)
    places, first = by_bin(bin)
    if z.is_cuda:
        return masked(z, target, interpolation, places, first)
    chosen = places[first]
    if len(chosen) < 2:
        return (0 * z).sum()
    unit = F.normalize(z[chosen], dim=1)
    similar = unit @ unit.T  # (n, n)
    wanted = ranks(-(target[chosen][:, None] - target[chosen][None, :]).abs())
    found: Tensor = _Ranks.apply(similar, interpolation, None)
    return ((found - wanted) ** 2).mean(1).sum()


def masked(z: Tensor, target: Tensor, interpolation: float, places: Tensor, first: Tensor) -> Tensor:
    """The same of (B, d) features in the order `places`; those that come first in their bin count."""
    unit = F.normalize(z[places], dim=1)
    labels = target[places]
    wanted = ranks(-(labels[:, None] - labels[None, :]).abs(), first)  # (B, B)
    found: Tensor = _Ranks.apply(unit @ unit.T, interpolation, first)
    number = first.sum()
    squares = (found - wanted) ** 2 * (first[:, None] & first[None, :])
    return (squares.sum(1) / number).sum() * (number > 1)


def by_bin(bin: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) places of the samples, by bin and within one by chance; (B,) which are the first of their bin."""
    order = torch.rand(len(bin), device=bin.device).argsort()
    sorted_bins, place = bin[order].sort(stable=True)
    first = torch.cat([sorted_bins.new_ones(1, dtype=torch.bool), sorted_bins[1:] != sorted_bins[:-1]])
    return order[place], first


def one_of_each(bin: Tensor) -> Tensor:
    """(n,) places of one sample of each bin, drawn evenly, in the order of the bins."""
    places, first = by_bin(bin)
    return places[first]


def ranks(values: Tensor, counted: Tensor | None = None) -> Tensor:
    """(..., n) values to their ranks over n, the largest first: 1 / n, 2 / n ... 1; ties in their order.

    counted: (n,) which of them there are; the ranks of the others mean nothing.
    """
    number: int | Tensor = values.shape[-1]
    if counted is not None:
        values, number = values.masked_fill(~counted, -torch.inf), counted.sum()
    place = values.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    return (place + 1).to(values.dtype) / number


class _Ranks(torch.autograd.Function):
    """Ranks forward, a blackbox solver's gradient backward."""

    @staticmethod
    def forward(context: Any, values: Tensor, interpolation: float, counted: Tensor | None) -> Tensor:
        found = ranks(values, counted)
        context.save_for_backward(values, found)
        context.interpolation, context.counted = interpolation, counted
        return found

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        values, found = context.saved_tensors
        counted = context.counted
        pushed = (ranks(values + context.interpolation * gradient, counted) - found) / context.interpolation
        if counted is not None:
            pushed = pushed * (counted[:, None] & counted[None, :])
        return pushed, None, None
