"""ConR and Rank-N-Contrast against the plain formulas, written from the papers, and their two views."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dirsweep.methods.conr import conr
from dirsweep.methods.rank_n_contrast import rank_n_contrast

COUNT, SIZE = 9, 4


def drawn(seed: int) -> dict[str, Any]:
    """Features, predictions, labels on a grid (so that distances tie) and weights, in float64."""
    rng = np.random.default_rng(seed)
    return {
        "z": rng.normal(size=(COUNT, SIZE)),
        "prediction": rng.normal(size=COUNT),
        "target": rng.integers(0, 5, COUNT) / 4.0,
        "weight": rng.uniform(0.5, 2.0, COUNT),
    }


def as_tensors(values: dict[str, Any]) -> dict[str, Tensor]:
    found = {name: torch.tensor(value) for name, value in values.items()}
    found["z"].requires_grad_()
    return found


def plain_conr(
    z: Tensor, prediction: Any, target: Any, weight: Any, w: float, t: float, e: float, reference: bool
) -> Tensor:
    """Row by row, pair by pair."""
    rows = range(len(z))
    unit = [row / row.norm() for row in z]
    total = z.new_zeros(())
    for i in rows:
        positives = [j for j in rows if j != i and abs(target[i] - target[j]) <= w]
        negatives = [
            q for q in rows if abs(target[i] - target[q]) > w and abs(prediction[i] - prediction[q]) <= w
        ]
        if not positives or not negatives:
            continue
        below = sum(torch.exp(unit[i] @ unit[j] / t) for j in positives)
        for q in negatives:
            push = weight[i] * math.exp(e * abs(target[i] - target[q]))
            below = below + push * torch.exp(unit[i] @ unit[q] / t)
        if reference:
            below = below + (len(z) - len(positives))
        own = sum(-torch.log(torch.exp(unit[i] @ unit[j] / t) / below) for j in positives) / len(positives)
        total = total + own * (weight[i] if reference else 1.0)
    return total / len(z)


def plain_rank_n_contrast(z: Tensor, target: Any, t: float) -> Tensor:
    """Pair by pair."""
    rows = range(len(z))
    total = z.new_zeros(())
    for i in rows:
        for j in rows:
            if i == j:
                continue
            far = [k for k in rows if k != i and abs(target[i] - target[k]) >= abs(target[i] - target[j])]
            below = sum(torch.exp(-(z[i] - z[k]).norm() / t) for k in far)
            total = total - torch.log(torch.exp(-(z[i] - z[j]).norm() / t) / below)
    return total / (len(z) * (len(z) - 1))


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_conr_and_its_gradient_equal_the_plain_formula(seed, reference):
    values = drawn(seed)
    mine, plain = as_tensors(values), torch.tensor(values["z"], requires_grad=True)
    loss = conr(**mine, window=0.3, temperature=0.2, strength=0.7, reference=reference)
    others = (values[name].tolist() for name in ("prediction", "target", "weight"))
    expected = plain_conr(plain, *others, 0.3, 0.2, 0.7, reference)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    assert expected.item() > 0
    loss.backward()
    expected.backward()
    torch.testing.assert_close(mine["z"].grad, plain.grad)


@pytest.mark.parametrize("seed", range(4))
def test_rank_n_contrast_and_its_gradient_equal_the_plain_formula(seed):
    values = drawn(seed)
    mine, plain = (torch.tensor(values["z"], requires_grad=True) for _ in range(2))
    loss = rank_n_contrast(mine, torch.tensor(values["target"]), 2.0)
    expected = plain_rank_n_contrast(plain, values["target"].tolist(), 2.0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(mine.grad, plain.grad)


def test_three_rows_of_conr_by_hand():
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    target = torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64)
    alike = torch.zeros(3, dtype=torch.float64)
    # rows 0 and 1 pay -log(e / (e + 1)), row 2 has no positive
    found = conr(z, alike, target, torch.ones(3), window=1.0, temperature=1.0, strength=0.0)
    assert found.item() == pytest.approx(2 / 3 * math.log(1 + math.exp(-1)))


def test_three_rows_of_rank_n_contrast_by_hand():
    z = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    target = torch.tensor([0.0, 1.0, 10.0], dtype=torch.float64)
    # the farthest label of each row costs nothing; the nearer one is weighed against it
    near = [(1, 3), (1, 2), (2, 3)]
    expected = sum(math.log(1 + math.exp(a - b)) for a, b in near) / 6
    assert rank_n_contrast(z, target, 1.0).item() == pytest.approx(expected)


def test_labels_at_the_same_distance_count_alike_however_they_are_rounded():
    step = 1 / 15.776  # a year of AgeDB-DIR, in float32
    years = torch.tensor([20.0, 21.0, 22.0, 23.0, 50.0])
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    exact = rank_n_contrast(z.double(), years.double(), 2.0)
    rounded = rank_n_contrast(z, (years - 36.1) * step, 2.0)
    assert rounded.item() == pytest.approx(exact.item(), rel=1e-5)


@pytest.mark.parametrize(
    "z",
    [torch.ones(6, 3), torch.zeros(6, 3), torch.randn(1, 3, generator=torch.Generator().manual_seed(1))],
)
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_equal_features_one_label_and_one_row_give_finite_losses_and_gradients(z, spread):
    z = z.clone().requires_grad_()
    target = spread * (torch.arange(len(z)) % 3)
    prediction = torch.zeros(len(z))
    loss = conr(z, prediction, target, torch.ones(len(z)), 0.5, 0.2, 0.1) + rank_n_contrast(z, target, 2.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    if len(z) == 1:
        assert loss.item() == 0


def test_conr_without_pairs_that_are_confused_is_0_and_moves_no_prediction():
    values = as_tensors(drawn(3))
    values["prediction"] = torch.arange(COUNT) * 10.0
    values["prediction"].requires_grad_()
    loss = conr(**values, window=0.3, temperature=0.2, strength=0.7)
    assert loss.item() == 0
    (loss + values["prediction"].sum() * 0).backward()
    assert not values["prediction"].grad.any()
