import itertools
import math

import numpy as np
import pytest
import torch

from dirsweep.methods.ordinal_entropy import ordinal_entropy


def plain_ordinal_entropy(z, bin, centres):
    """METHOD section 2 in float64 loops; label distances over the label range of the batch."""

    def unit(vector):
        norm = math.sqrt(sum(v * v for v in vector))
        return [v / norm for v in vector] if norm > 0 else list(vector)

    def distance(a, b):
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))

    bins = sorted(set(bin))
    if len(bins) < 2:
        return 0.0
    centre = {}
    for b in bins:
        inside = [row for row, own in zip(z, bin, strict=True) if own == b]
        centre[b] = unit([sum(column) / len(inside) for column in zip(*inside, strict=True)])
    tightness = sum(distance(unit(row), centre[b]) for row, b in zip(z, bin, strict=True)) / len(z)
    reach = centres[bins[-1]] - centres[bins[0]]
    pairs = list(itertools.combinations(bins, 2))
    spread = sum(distance(centre[i], centre[j]) * abs(centres[i] - centres[j]) / reach for i, j in pairs)
    return tightness - spread / len(pairs)


def value_of(z, bin, centres):
    return ordinal_entropy(torch.as_tensor(z), torch.as_tensor(bin), torch.as_tensor(centres))


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_the_plain_formula(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 10))
    z = rng.normal(size=(int(rng.integers(1, 30)), 4)) + 0.5
    z[rng.random(len(z)) < 0.1] = 0
    bin = rng.integers(0, count, size=len(z))
    centres = np.cumsum(rng.uniform(0.1, 3, size=count)) - 5
    expected = plain_ordinal_entropy(z.tolist(), bin.tolist(), centres.tolist())
    assert value_of(z, bin, centres).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    single = value_of(z.astype(np.float32), bin, centres)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_two_tight_bins_by_hand():
    # Both bins are tight; their centres (1, 0) and (0, 1) are sqrt(2) apart, at label distance 1.
    z = [[2.0, 0.0], [5.0, 0.0], [0.0, 1.0]]
    assert value_of(z, [0, 0, 1], [10.0, 30.0]).item() == pytest.approx(-math.sqrt(2))


def test_a_spread_bin_by_hand():
    # (1, 0) and (0, 1) are each sqrt(2 - sqrt(2)) from their centre (1, 1) / sqrt(2), as is (0, 1) alone
    # in its bin, whose own distance is 0.
    z = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    apart = math.sqrt(2 - math.sqrt(2))
    assert value_of(z, [0, 0, 1], [10.0, 30.0]).item() == pytest.approx(2 / 3 * apart - apart)


def test_distant_labels_should_lie_further_apart_than_close_ones():
    close, far = [1.0, 0.0], [0.0, 1.0]
    centres = [0.0, 1.0, 10.0]
    ordinal = value_of([close, close, far], [0, 1, 2], centres)
    assert ordinal < value_of([close, far, close], [0, 1, 2], centres)


def test_norms_do_not_matter_where_a_bin_has_one_sample():
    z = torch.rand(4, 3)
    scaled = z * torch.tensor([[1.0], [9.0], [0.1], [3.0]])
    centres = [0.0, 1.0, 2.0, 5.0]
    assert value_of(scaled, range(4), centres).item() == pytest.approx(
        value_of(z, range(4), centres).item(), rel=1e-5
    )


def test_fewer_than_two_bins_give_zero_that_supports_backward():
    z = torch.rand(3, 2, requires_grad=True)
    value = ordinal_entropy(z, torch.tensor([1, 1, 1]), torch.tensor([0.0, 1.0]))
    value.backward()
    assert value.item() == 0
    assert z.grad is not None
    assert z.grad.abs().max() == 0


def test_zero_and_coinciding_features_have_finite_gradients():
    z = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], requires_grad=True)
    value = ordinal_entropy(z, torch.tensor([0, 1, 2, 2, 3]), torch.tensor([0.0, 1.0, 2.0, 3.0]))
    value.backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert z.grad.abs().max() < 10


def test_the_gradient_matches_finite_differences():
    z = torch.rand(7, 3, dtype=torch.float64, requires_grad=True)
    bin, centres = torch.tensor([0, 2, 0, 3, 2, 2, 5]), torch.arange(6.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda leaf: ordinal_entropy(leaf, bin, centres), z)


def test_it_is_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = torch.nn.functional.linear(torch.rand(6, 3), torch.rand(4, 3))
        value = ordinal_entropy(z, torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0.0, 1.0, 2.0]))
    assert z.dtype == torch.bfloat16
    assert value.dtype == torch.float32
