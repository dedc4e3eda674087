"""The methods against the loops over labels and samples that they replace, with gradients, in float64."""

from collections.abc import Callable
from dataclasses import replace

import plain_loops
import pytest
import torch
from torch import Tensor

from dirsweep.config import FDS
from dirsweep.methods.conr import conr
from dirsweep.methods.fds import FeatureStatistics, Gathered
from dirsweep.methods.lds import kernel
from dirsweep.methods.majority_fit import norm_term
from dirsweep.methods.norm_ordinality import feature_norm
from dirsweep.methods.ranksim import ranksim

BINS, SAMPLES, FEATURES = 12, 60, 5


def drawn(seed: int) -> tuple[Tensor, Tensor, torch.Generator]:
    """Features, bins of which some are absent, and what to draw further from."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(SAMPLES, FEATURES, generator=generator, dtype=torch.float64)
    return z + 0.5, torch.randint(1, BINS - 2, (SAMPLES,), generator=generator), generator


def assert_same(one: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor], z: Tensor) -> None:
    """Equal values, and equal gradients of a weighted sum of them."""
    found = []
    for function in (one, other):
        leaf = z.clone().requires_grad_()
        value = function(leaf)
        (value * torch.linspace(1, 2, value.numel(), dtype=z.dtype).view_as(value)).sum().backward()
        found.append((value.detach(), leaf.grad))
    torch.testing.assert_close(found[0], found[1])
    assert found[0][1].abs().max() > 0


@pytest.mark.parametrize("seed", range(3))
def test_the_norm_loss(seed):
    z, bin, generator = drawn(seed)
    targets = torch.rand(BINS, generator=generator, dtype=z.dtype)
    assert_same(
        lambda leaf: norm_term(feature_norm(leaf), bin, targets, 0.7, "mean"),
        lambda leaf: plain_loops.norm_loss(leaf, bin, targets, 0.7),
        z,
    )


def smoothed(z: Tensor, bin: Tensor) -> FeatureStatistics:
    """Statistics of an epoch of these features, smoothed, in float64."""
    empty = FeatureStatistics.empty(BINS, FEATURES, "cpu")
    wide = {name: part.double() for name, part in vars(empty).items() if part.dtype != torch.bool}
    found = FeatureStatistics(**(vars(empty) | wide))
    found.update(z, bin, 0.9)
    found.freeze(kernel(FDS()), with_empty=False)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_fds_moves_features(seed):
    z, bin, _ = drawn(seed)
    found = smoothed(z, bin)
    batch, place = z[:20] * 1.5, bin[:20].clone()
    place[:3] = BINS - 1  # a bin that is not ready
    assert_same(
        lambda leaf: found.move(leaf, place, 0.8, 1.2),
        lambda leaf: plain_loops.moved(leaf, place, found, 0.8, 1.2),
        batch,
    )


@pytest.mark.parametrize("part", [7, 1000])
def test_fds_takes_its_statistics(part, monkeypatch):
    monkeypatch.setattr("dirsweep.methods.fds.PART", part)
    z, bin, _ = drawn(0)
    bin[0] = BINS - 1  # a single sample
    found = smoothed(z, bin)
    torch.testing.assert_close((found.mean, found.variance), plain_loops.statistics(z, bin, BINS))


def test_fds_takes_them_batch_by_batch():
    z, bin, _ = drawn(1)
    bin[0] = BINS - 1
    empty = FeatureStatistics.empty(BINS, FEATURES, "cpu")
    zero = torch.zeros(BINS, FEATURES, dtype=z.dtype)
    gathered, found = (
        Gathered(zero[:, :1].clone(), zero, zero.clone()),
        replace(empty, mean=empty.mean.double(), variance=empty.variance.double()),
    )
    for part in torch.arange(SAMPLES).split(7):
        gathered.add(z[part], bin[part])
    found.take_in(gathered, 0.9)
    torch.testing.assert_close((found.mean, found.variance), plain_loops.statistics(z, bin, BINS))


@pytest.mark.parametrize("seed", range(3))
def test_ranksim(seed):
    z, _, generator = drawn(seed)
    target = torch.rand(SAMPLES, generator=generator, dtype=z.dtype).cumsum(0)  # no ties in the distances
    assert_same(
        lambda leaf: ranksim(leaf, target, torch.arange(SAMPLES), 2.0),
        lambda leaf: plain_loops.ranksim(leaf, target, 2.0),
        z,
    )


@pytest.mark.parametrize("seed", range(3))
def test_conr(seed):
    z, bin, generator = drawn(seed)
    prediction = torch.randn(SAMPLES, generator=generator, dtype=z.dtype)
    weight = 0.5 + torch.rand(SAMPLES, generator=generator, dtype=z.dtype)
    given = (prediction, bin / 5.0, weight, 0.3, 0.2, 0.7)
    assert_same(
        lambda leaf: conr(leaf, *given),
        lambda leaf: plain_loops.conr(leaf, *given),
        z,
    )
