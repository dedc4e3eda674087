"""VIR: a feature is a normal distribution, moved toward its neighbours'; a label a normal-inverse-gamma one.

Wang and Wang (2023), "Variational Imbalanced Regression: Fair Uncertainty Quantification via Probabilistic
Smoothing", NeurIPS. Two halves that also act alone: a loss, `nig`, and a feature method, `vir`.

The feature method: z is the mean of a normal distribution of each feature, whose variance s is read off it,

    s = variance / log 2 * softplus(A z + b),  A and b 0 at the start.

Of the N samples of a bin, the mean of z has mean M and variance V, and z spreads by S about it:

    M = mean of z,  V = sum of s / N^2,  S = (1 - 1 / N) mean of s + mean of (z - M)^2.

They are kept as running means over epochs, and smoothed over neighbouring bins with shares k of sum 1: to M~
and S~ with k, to V~ with k^2. In evaluation the head is given z, in training a draw from N(z', s'):

    r = sqrt(clip(S~ / S, 0.1, 10)),  z' = (z - M) r + M~,  s' = (s + V) r + V~

and `kl` weighs the divergence of N(z', s') from the standard normal. Norms, statistics and stage 2 see z.

The loss: the prediction y^ is where a normal-inverse-gamma distribution lies. Two further rows (a, c) on what
the head is given say how many samples it is worth and how wide it is; a sample's weight w multiplies the
former. With e = y - y^:

    n = 2 + 10 softplus(a / 10),  v = w n,  alpha = 0.3 + w n / 2,  beta = softplus(c),  B = 2 beta (1 + v)
    mean of  log(pi / v) / 2 - alpha log B + (alpha + 1/2) log(v e^2 + B)
             + log Gamma(alpha) - log Gamma(alpha + 1/2)  +  evidence * |e| (2 v + alpha)

but for the last summand -log of the Student distribution that the label then has. As in the released code,
the prior is worth 0.3 in alpha and nothing else; its beta, in squared years, is 10 softplus(c / 10).

Where we depart from the released code, which gave the published numbers:

- it rebuilds the image from what the head is given by a mirrored ResNet, and adds 0.7 times the squared error
  of the pixels; such a decoder is left out here, for encoders read tables and sentences too;
- its s leaves the last block beside z; here it is read off z, so that every encoder has it;
- it takes M, V and S in training mode, an epoch late, of features that it has moved already, and counts a bin
  without samples as M = 0 and V = S = 1; here of z in evaluation mode, at once, and such a bin is left out;
- it also keeps a variance of S, which nothing reads.

The divergence from the standard normal is in the paper; the released code has it switched off.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dirsweep.methods.fds import over_neighbours

ALPHA = 0.3
"""alpha before any sample."""

LEAST = 1e-6
"""Below, a width or a variance would divide by nothing."""

LOW, HIGH = 0.1, 10.0
"""Smallest and largest S~ / S that a feature is scaled by."""


@dataclass(frozen=True)
class PosteriorStatistics:
    """M, V and S of each of K bins; the tensors change in place, between epochs.

    mean, doubt, spread: (K, d) M, V and S.
    smooth_mean, smooth_doubt, smooth_spread: (K, d) M~, V~ and S~.
    seen: (K,) whether a bin ever had samples; others stay as they are.
    """

    mean: Tensor
    doubt: Tensor
    spread: Tensor
    smooth_mean: Tensor
    smooth_doubt: Tensor
    smooth_spread: Tensor
    seen: Tensor

    @staticmethod
    def empty(bins: int, features: int, device: str) -> "PosteriorStatistics":
        """Before the first epoch: nothing is moved."""
        a, b, c, d, e, f = (torch.zeros(bins, features, device=device) for _ in range(6))
        return PosteriorStatistics(a, b, c, d, e, f, torch.zeros(bins, dtype=torch.bool, device=device))

    def update(
        self, z: Tensor, variance: Tensor, bin: Tensor, momentum: float, window: NDArray[np.float64]
    ) -> None:
        """Take in an epoch's features and smooth; a bin seen before keeps `momentum` of M, V and S.

        Args:
            z, variance: (N, d) means and variances of the features.
            bin: (N,) label bins.
            window: (2 h + 1,) how much the neighbours count.
        """
        count = torch.zeros_like(self.mean[:, :1]).index_add_(0, bin, torch.ones_like(z[:, :1]))  # (K, 1)
        each = count.clamp(min=1)

        def of_bins(values: Tensor) -> Tensor:
            return torch.zeros_like(self.mean).index_add_(0, bin, values) / each

        mean, within = of_bins(z), of_bins(variance)
        spread = (1 - 1 / each) * within + of_bins((z - mean[bin]) ** 2)
        kept = momentum * self.seen.to(z.dtype)[:, None]
        for running, new in ((self.mean, mean), (self.doubt, within / each), (self.spread, spread)):
            running.copy_(torch.where(count > 0, kept * running + (1 - kept) * new, running))
        self.seen.logical_or_(count[:, 0] > 0)
        self._smooth(window / window.sum())

    def _smooth(self, share: NDArray[np.float64]) -> None:
        there = self.seen.to(self.mean.dtype)[:, None]
        mass = over_neighbours(there, share).clamp(min=1e-12)  # below 1 where neighbours are empty
        self.smooth_mean.copy_(over_neighbours(there * self.mean, share) / mass)
        self.smooth_doubt.copy_(over_neighbours(there * self.doubt, share**2) / mass**2)
        self.smooth_spread.copy_(over_neighbours(there * self.spread, share) / mass)

    def move(self, z: Tensor, variance: Tensor, bin: Tensor) -> tuple[Tensor, Tensor]:
        """(B, d) means z' and variances s', toward those of the neighbouring bins; the given ones stay.

        A feature that does not vary in its bin is left alone, and so is a bin that was never seen.
        """
        old = self.spread[bin]
        scale = (self.smooth_spread[bin] / old.clamp(min=1e-12)).clamp(LOW, HIGH).sqrt()
        mean = (z - self.mean[bin]) * scale + self.smooth_mean[bin]
        wide = (variance + self.doubt[bin]) * scale + self.smooth_doubt[bin]
        moves = (old > 1e-12) & self.seen[bin][:, None]
        return torch.where(moves, mean, z), torch.where(moves, wide, variance)


def variance(z: Tensor, weight: Tensor, bias: Tensor, start: float) -> Tensor:
    """(B, d) features to their variances s, of the same shape, above 0.

    Args:
        weight, bias: A (d, d) and b (d,).
        start: what s is where both are 0.
    """
    return start / math.log(2) * F.softplus(F.linear(z, weight, bias).to(z.dtype)) + LEAST * start


def draw(mean: Tensor, variance: Tensor, generator: torch.Generator) -> Tensor:
    """One (B, d) draw; gradients go into mean and variance."""
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + variance.sqrt() * noise


def divergence(mean: Tensor, variance: Tensor) -> Tensor:
    """KL(N(z', s') || N(0, 1)), summed over the (B, d) features and averaged over the batch."""
    return ((variance + mean**2 - 1 - variance.log()) / 2).sum(1).mean()


def evidence(given: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """What the prediction is worth: pseudo-counts n (B,), at least 2, and widths beta (B,), above 0.

    Args:
        given: (B, d) what the head was given.
        weight, bias: (2, d) and (2,), of the two rows.
    """
    counts, widths = F.linear(given, weight, bias).unbind(1)
    return 2 + F.softplus(counts, beta=0.1), F.softplus(widths) + LEAST


def nig(
    prediction: Tensor, target: Tensor, weight: Tensor, count: Tensor, beta: Tensor, strength: float
) -> Tensor:
    """The loss of a batch, the mean over its samples; it may be negative.

    Args:
        prediction: (B,) predicted labels.
        target: (B,) standardised labels.
        weight: (B,) sample weights with mean 1 over the training split.
        count, beta: (B,) as `evidence` gives them.
        strength: of the evidence, in units of one over the standardised label; 0 leaves it out.
    """
    v, alpha = weight * count, ALPHA + weight * count / 2
    error, wide = target - prediction, 2 * beta * (1 + weight * count)
    loss = (
        torch.log(math.pi / v) / 2
        - alpha * wide.log()
        + (alpha + 0.5) * (v * error**2 + wide).log()
        + torch.lgamma(alpha)
        - torch.lgamma(alpha + 0.5)
    )
    if strength > 0:
        loss = loss + strength * error.abs() * (2 * v + alpha)
    return loss.mean()
