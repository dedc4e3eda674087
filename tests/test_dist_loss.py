"""Dist Loss: soft sorting against a projection found by search, pseudo-labels, and the plain sum."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from dirsweep.methods.dist_loss import density, dist_loss, soft_sort


def projected(values, strength):
    """The nearest mixture of the permutations of `values` to the line -n / strength ... -1 / strength."""
    corners = np.array(list(itertools.permutations(values)))
    line = -np.arange(len(values), 0, -1) / strength
    start = np.full(len(corners), 1 / len(corners))
    found = minimize(
        lambda share: ((share @ corners - line) ** 2).sum(),
        start,
        jac=lambda share: 2 * corners @ (share @ corners - line),
        bounds=[(0, 1)] * len(corners),
        constraints={"type": "eq", "fun": lambda share: share.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return found.x @ corners


@pytest.mark.parametrize("strength", [0.2, 0.7, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_soft_sorting_is_the_projection_on_the_permutations(seed, strength):
    values = np.random.default_rng(seed).normal(size=4) * 2
    found = soft_sort(torch.tensor(values), strength).numpy()
    np.testing.assert_allclose(found, projected(values, strength), atol=1e-4)


def test_gaps_up_to_one_over_the_strength_are_sorted_exactly():
    values = torch.tensor([3.0, 1.0, 2.5], dtype=torch.float64)
    assert soft_sort(values, 0.5).tolist() == pytest.approx([1.0, 2.5, 3.0])
    # at strength 1 the gap of 1.5 shrinks to 1, and its mean stays; then 2.75 and 3 are no farther than 1
    assert soft_sort(values, 1.0).tolist() == pytest.approx([1.25, 2.25, 3.0])


@pytest.mark.parametrize("strength", [0.3, 2.0])
def test_the_gradient_of_soft_sorting_is_exact(strength):
    values = torch.tensor([0.3, -1.2, 2.9, 0.9, -0.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: soft_sort(v, strength), values)


def test_pseudo_labels_are_quantiles_of_the_kernel_density():
    label = np.random.default_rng(0).normal(size=400)
    found = density(label, 0.2)
    pseudo = found.quantiles(50)
    assert (np.diff(pseudo) > 0).all()
    grid = np.linspace(label.min(), label.max(), 4001)
    height = np.exp(-(((grid[:, None] - label) / 0.2) ** 2) / 2).sum(1)
    below = height.cumsum() / height.sum()
    expected = [grid[np.searchsorted(below, (k + 0.5) / 50)] for k in range(50)]
    np.testing.assert_allclose(pseudo, expected, atol=5e-3)


def test_common_labels_have_more_pseudo_labels():
    pseudo = density(np.repeat([0.0, 5.0], [90, 10]), 0.3).quantiles(100)
    assert (pseudo < 2.5).sum() == pytest.approx(90, abs=1)


@pytest.mark.parametrize("error", ["l1", "mse"])
def test_the_loss_is_the_plain_sum(error):
    prediction = torch.tensor([2.0, 0.0, 1.0], dtype=torch.float64)
    target = torch.tensor([3.0, 0.5, 1.0], dtype=torch.float64)
    weight = torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)
    labels = density(np.linspace(0.0, 3.0, 301), 1e-2)
    pseudo = labels.quantiles(3)
    power = 1 if error == "l1" else 2
    plain = sum(w * abs(p - y) ** power for w, p, y in zip(weight, prediction, target, strict=True)) / 3
    # sorted predictions meet the weights of the labels in their order: 1 for 0.5, 2 for 1, 3 for 3
    ordered = sum(w * abs(p - y) ** power for w, p, y in zip((1, 2, 3), (0, 1, 2), pseudo, strict=True)) / 3
    found = dist_loss(prediction, target, weight, labels, error, 0.1, 0.7)
    assert found.item() == pytest.approx(plain.item() + 0.7 * ordered)


def test_one_row_equal_predictions_and_one_label_are_finite():
    labels = density(np.ones(5), 0.5)
    for count in (1, 4):
        prediction = torch.zeros(count, requires_grad=True)
        loss = dist_loss(prediction, torch.ones(count), torch.ones(count), labels, "l1", 1.6, 1.0)
        loss.backward()
        assert torch.isfinite(loss)
        assert prediction.grad is not None
        assert torch.isfinite(prediction.grad).all()
