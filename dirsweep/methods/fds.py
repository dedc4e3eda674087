"""FDS, feature distribution smoothing: shift and scale the features of a bin toward those of its neighbours.

Yang et al. (2021), "Delving into Deep Imbalanced Regression", ICML. For every bin a running mean and variance
of the features (each feature apart) is kept, and smoothed over neighbouring bins; in training, z of a sample
of bin b becomes, in front of the head,

    (z - mean_b) * sqrt(clip(smoothed variance_b / variance_b)) + smoothed mean_b

and stays as it is in evaluation. Where we depart from the reference code:

- it writes the smoothed features into the raw ones, and takes its statistics of those; here z is not written
  to, and statistics, norms and every other term see the raw z;
- its statistics of the last epoch are the running ones themselves, which move on; here they are a copy;
- it gathers them in training mode, with augmentation and moving batch norm; here in evaluation mode;
- a bin without training samples has mean 0 and variance 1 there and pulls its neighbours toward that; here
  it is left out of the smoothing. And its statistics are used an epoch late. `reference` brings both back.

Paper and reference code take the statistics in a further pass after each epoch. `Gathered` takes them from
the epoch's own steps: of each sample once too, but of the weights of its step, with dropout and augmentation.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PART = 256
"""Samples whose squares a CPU takes at once: those of a whole epoch would leave its cache, and cost more than
their sums."""


@dataclass(frozen=True)
class Gathered:
    """What the steps of an epoch so far have shown of the features of K bins; the tensors change in place.

    count: (K, 1) samples; mean: (K, d); squares: (K, d) summed squared distances from the mean.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    @staticmethod
    def empty(bins: int, features: int, device: str) -> "Gathered":
        """Before the first step."""
        zero = torch.zeros(bins, features, device=device)
        return Gathered(zero[:, :1].clone(), zero, zero.clone())

    @torch.no_grad()
    def add(self, z: Tensor, bin: Tensor) -> None:
        """Merge a step's (B, d) features, as Chan et al. (1983) merge the moments of two samples."""
        count = torch.zeros_like(self.count).index_add_(0, bin, torch.ones_like(z[:, :1]))
        mean = torch.zeros_like(self.mean).index_add_(0, bin, z) / count.clamp(min=1)
        self.squares.index_add_(0, bin, (z - mean[bin]) ** 2)
        share = count / (self.count + count).clamp(min=1)
        apart = mean - self.mean
        self.squares.add_(apart**2 * share * self.count)
        self.mean.add_(apart * share)
        self.count.add_(count)

    def clear(self) -> None:
        """Begin another epoch."""
        for tensor in (self.count, self.mean, self.squares):
            tensor.zero_()


@dataclass(frozen=True)
class FeatureStatistics:
    """Statistics of the features of each of K bins; the tensors change in place.

    mean, variance: (K, d) running, over epochs.
    seen: (K,) whether a bin ever had samples.
    from_mean, from_variance, to_mean, to_variance: (K, d) what features are moved from, and toward.
    ready: (K,) whether a bin's features are moved.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor
    from_mean: Tensor
    from_variance: Tensor
    to_mean: Tensor
    to_variance: Tensor
    ready: Tensor

    @staticmethod
    def empty(bins: int, features: int, device: str) -> "FeatureStatistics":
        """Before the first epoch: nothing is moved."""
        zero = torch.zeros(bins, features, device=device)
        no = torch.zeros(bins, dtype=torch.bool, device=device)
        return FeatureStatistics(
            zero.clone(), zero + 1, no.clone(), zero.clone(), zero + 1, zero.clone(), zero + 1, no.clone()
        )

    def update(self, z: Tensor, bin: Tensor, momentum: float) -> None:
        """Take in an epoch's (N, d) features; a bin seen before keeps `momentum` of its statistics."""
        count = torch.zeros_like(self.mean[:, :1]).index_add_(0, bin, torch.ones_like(z[:, :1]))  # (K, 1)
        mean = torch.zeros_like(self.mean).index_add_(0, bin, z) / count.clamp(min=1)
        squares = torch.zeros_like(mean)
        size = len(z) if z.is_cuda else PART
        for own, place in zip(z.split(size), bin.split(size), strict=True):
            squares.index_add_(0, place, (own - mean[place]) ** 2)
        self.take_in(Gathered(count, mean, squares), momentum)

    def take_in(self, epoch: Gathered, momentum: float) -> None:
        """As `update`, of features that were gathered."""
        variance = epoch.squares / (epoch.count - 1).clamp(min=1)  # 0 for a single sample
        present = epoch.count[:, 0] > 0
        kept = momentum * self.seen.to(variance.dtype)[:, None]
        for running, new in ((self.mean, epoch.mean), (self.variance, variance)):
            running.copy_(torch.where(present[:, None], kept * running + (1 - kept) * new, running))
        self.seen.logical_or_(present)

    def freeze(self, window: NDArray[np.float64], *, with_empty: bool) -> None:
        """Copy the running statistics, and smooth them over bins with a (2 h + 1,) window.

        Args:
            with_empty: count bins never seen as mean 0 and variance 1, as the reference code does.
        """
        share = window / window.sum()
        weight = torch.ones_like(self.seen, dtype=self.mean.dtype) if with_empty else self.seen.to(self.mean)
        for source, frozen, smoothed in (
            (self.mean, self.from_mean, self.to_mean),
            (self.variance, self.from_variance, self.to_variance),
        ):
            frozen.copy_(source)
            mass = over_neighbours(weight[:, None], share)
            smoothed.copy_(over_neighbours(source * weight[:, None], share) / mass.clamp(min=1e-12))
        self.ready.copy_(self.seen)

    def move(self, z: Tensor, bin: Tensor, low: float, high: float) -> Tensor:
        """(B, d) features toward those of the neighbouring bins; `z` itself stays.

        A feature that does not vary in its bin is left alone, and so is a bin that is not ready.
        """
        old, new = self.from_variance[bin], self.to_variance[bin]
        scale = (new / old.clamp(min=1e-12)).clamp(low, high).sqrt()
        moved = (z - self.from_mean[bin]) * scale + self.to_mean[bin]
        return torch.where((old > 1e-12) & self.ready[bin][:, None], moved, z)


def over_neighbours(values: Tensor, share: NDArray[np.float64]) -> Tensor:
    """(K, d) values summed over neighbouring bins with (2 h + 1,) shares, mirrored beyond the ends."""
    half, last = len(share) // 2, len(values) - 1
    place = torch.arange(-half, len(values) + half, device=values.device) % max(2 * last, 1)
    padded = values[torch.minimum(place, 2 * last - place)]  # (K + 2 h, d)
    return torch.stack([float(share[k]) * padded[k : k + len(values)] for k in range(len(share))]).sum(0)
