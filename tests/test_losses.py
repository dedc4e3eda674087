import numpy as np
import pytest
import torch

from dirsweep.config import L1, MSE, Huber
from dirsweep.methods import Batch, base_loss


def batch(prediction, target, weight):
    prediction = torch.as_tensor(prediction)
    size = len(prediction)
    return Batch(
        torch.zeros(size, 2),
        prediction,
        torch.as_tensor(target),
        torch.as_tensor(weight),
        torch.zeros(size, dtype=torch.int64),
    )


def plain(config, error):
    match config:
        case L1():
            return abs(error)
        case MSE():
            return error**2
        case Huber(beta=beta):
            return error**2 / (2 * beta) if abs(error) < beta else abs(error) - beta / 2


@pytest.mark.parametrize("config", [L1(), MSE(), Huber(), Huber(beta=0.3)], ids=repr)
@pytest.mark.parametrize("seed", range(5))
def test_a_loss_is_the_mean_of_weighted_errors(config, seed):
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(size=(2, 17)).astype(np.float32)
    weight = rng.uniform(0, 3, size=17).astype(np.float32)
    terms = [
        float(w) * plain(config, float(p) - float(t))
        for p, t, w in zip(prediction, target, weight, strict=True)
    ]
    assert base_loss(config, batch(prediction, target, weight)).item() == pytest.approx(
        sum(terms) / 17, rel=1e-5
    )


def test_losses_by_hand():
    example = batch([1.0, 4.0], [0.0, 0.0], [1.0, 0.5])
    assert base_loss(L1(), example).item() == pytest.approx((1 + 2) / 2)
    assert base_loss(MSE(), example).item() == pytest.approx((1 + 8) / 2)
    assert base_loss(Huber(beta=2.0), example).item() == pytest.approx((0.25 + 0.5 * 3) / 2)


def test_the_mean_divides_by_samples_not_by_weights():
    assert base_loss(L1(), batch([2.0, 2.0], [0.0, 0.0], [3.0, 1.0])).item() == pytest.approx(4.0)


@pytest.mark.parametrize("config", [L1(), MSE(), Huber()], ids=repr)
def test_losses_of_bf16_predictions_are_float32(config):
    prediction = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = base_loss(config, batch(prediction, [0.0, 2.5], [1.0, 1.0]))
    value.backward()
    assert value.dtype == torch.float32
    assert prediction.grad is not None
