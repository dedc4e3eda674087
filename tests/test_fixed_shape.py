"""The terms in tensors of fixed shapes, which a GPU runs, against those that pick the compared bins out."""

import numpy as np
import pytest
import torch
from test_norm_ordinality import KINDS, random_case

from dirsweep.methods import fixed_shape
from dirsweep.methods.norm_ordinality import bin_means, norm_ordinality
from dirsweep.methods.ordinal_entropy import ordinal_entropy


def test_bin_means_are_the_same():
    norm, bin, _, _, _ = random_case(2)
    norm, bin = torch.as_tensor(norm), torch.as_tensor(bin)
    for one, other in zip(fixed_shape.bin_means(norm, bin, 20), bin_means(norm, bin, 20), strict=True):
        assert torch.allclose(one, other)


def value_and_gradient(function, leaf):
    own = leaf.clone().requires_grad_()
    value = function(own)
    value.backward()
    return value.detach(), own.grad


@pytest.mark.parametrize("config", KINDS, ids=repr)
@pytest.mark.parametrize("seed", range(12))
def test_norm_ordinality_and_its_gradient_are_the_same(config, seed):
    norm, bin, centres, _, _ = random_case(seed)
    norm, bin, centres = torch.as_tensor(norm), torch.as_tensor(bin), torch.as_tensor(centres)

    def fixed(leaf):
        return fixed_shape.compare(config, *fixed_shape.bin_means(leaf, bin, len(centres)), centres)

    plain = value_and_gradient(lambda leaf: norm_ordinality(config, leaf, bin, centres, None), norm)
    for one, other in zip(value_and_gradient(fixed, norm), plain, strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("config", KINDS, ids=repr)
@pytest.mark.parametrize("bin", [[0, 0, 0], [1, 3, 3], [0, 1, 2]])
def test_few_bins_and_equal_norms_are_no_trouble(config, bin):
    norm = torch.tensor([2.0, 2.0, 2.0], requires_grad=True)
    means, present = bin_means(norm, torch.tensor(bin), 5)
    value = fixed_shape.compare(config, means, present, torch.arange(5.0))
    value.backward()
    plain = norm_ordinality(config, norm.detach(), torch.tensor(bin), torch.arange(5.0), None)
    assert value.item() == pytest.approx(plain.item(), abs=1e-6)
    assert torch.isfinite(norm.grad).all()
    if len(set(bin)) < 3:
        assert norm.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", range(12))
def test_ordinal_entropy_and_its_gradient_are_the_same(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 10))
    z = torch.as_tensor(rng.normal(size=(int(rng.integers(1, 30)), 4)) + 0.5)
    bin = torch.as_tensor(rng.integers(0, count, size=len(z)))
    bin = bin * (seed > 0)  # once they are all of one bin
    centres = torch.as_tensor(np.cumsum(rng.uniform(0.1, 3, size=count)) - 5)
    plain = value_and_gradient(lambda leaf: ordinal_entropy(leaf, bin, centres), z)
    fixed = value_and_gradient(lambda leaf: fixed_shape.entropy(leaf, bin, centres), z)
    for one, other in zip(fixed, plain, strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-9)
