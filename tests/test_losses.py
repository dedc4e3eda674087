import math

import numpy as np
import pytest
import torch

from dirsweep.config import L1, MSE, BalancedMSE, FocalR, Huber
from dirsweep.methods import Batch, Labels, base_loss

LABELS = Labels(torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([0.5, 0.25, 0.25]))


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


def loss_of(config, own):
    """With training labels in three bins."""
    return base_loss(config, own, LABELS)


def plain(config, error):
    match config:
        case L1():
            return abs(error)
        case MSE():
            return error**2
        case Huber(beta=beta):
            return error**2 / (2 * beta) if abs(error) < beta else abs(error) - beta / 2
        case FocalR(error=kind, gate=gate, beta=beta, gamma=gamma):
            steep = beta * abs(error)
            rising = 2 / (1 + math.exp(-steep)) - 1 if gate == "sigmoid" else math.tanh(steep)
            return rising**gamma * (abs(error) if kind == "l1" else error**2)


FOCAL = [FocalR(), FocalR(error="mse", gate="tanh", beta=0.7, gamma=2.0), FocalR(gamma=0.5), FocalR(gamma=0)]


@pytest.mark.parametrize("config", [L1(), MSE(), Huber(), Huber(beta=0.3), *FOCAL], ids=repr)
@pytest.mark.parametrize("seed", range(5))
def test_a_loss_is_the_mean_of_weighted_errors(config, seed):
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(size=(2, 17)).astype(np.float32)
    weight = rng.uniform(0, 3, size=17).astype(np.float32)
    terms = [
        float(w) * plain(config, float(p) - float(t))
        for p, t, w in zip(prediction, target, weight, strict=True)
    ]
    assert loss_of(config, batch(prediction, target, weight)).item() == pytest.approx(
        sum(terms) / 17, rel=1e-5
    )


def test_losses_by_hand():
    example = batch([1.0, 4.0], [0.0, 0.0], [1.0, 0.5])
    assert loss_of(L1(), example).item() == pytest.approx((1 + 2) / 2)
    assert loss_of(MSE(), example).item() == pytest.approx((1 + 8) / 2)
    assert loss_of(Huber(beta=2.0), example).item() == pytest.approx((0.25 + 0.5 * 3) / 2)


def test_the_mean_divides_by_samples_not_by_weights():
    assert loss_of(L1(), batch([2.0, 2.0], [0.0, 0.0], [3.0, 1.0])).item() == pytest.approx(4.0)


@pytest.mark.parametrize("config", [L1(), MSE(), Huber()], ids=repr)
def test_losses_of_bf16_predictions_are_float32(config):
    prediction = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss_of(config, batch(prediction, [0.0, 2.5], [1.0, 1.0]))
    value.backward()
    assert value.dtype == torch.float32
    assert prediction.grad is not None


@pytest.mark.parametrize("sigma", [0.3, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_balanced_mse_equals_the_plain_formulas(sigma, seed):
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(size=(2, 9))
    weight = rng.uniform(0, 3, size=9)
    own = batch(*(values.astype(np.float32) for values in (prediction, target, weight)))
    by_batch, by_bin = [], []
    for p, t, w in zip(prediction, target, weight, strict=True):
        kernel = [math.exp(-((p - other) ** 2) / (2 * sigma**2)) for other in target]
        by_batch.append(w * -math.log(math.exp(-((p - t) ** 2) / (2 * sigma**2)) / sum(kernel)))
        likely = sum(
            share * math.exp(-((p - centre) ** 2) / (2 * sigma**2))
            for centre, share in zip((-1.0, 0.0, 2.0), (0.5, 0.25, 0.25), strict=True)
        )
        by_bin.append(w * ((p - t) ** 2 / (2 * sigma**2) + math.log(likely)))
    for integral, terms in (("bmc", by_batch), ("bni", by_bin)):
        found = loss_of(BalancedMSE(integral=integral, sigma=sigma), own).item()
        assert found == pytest.approx(2 * sigma**2 * sum(terms) / 9, rel=1e-4, abs=1e-5)


def test_balanced_mse_by_hand():
    # two samples, predicted as they are, a distance of 1 apart: each is picked from exp(0) and exp(-1/2)
    own = batch([0.0, 1.0], [0.0, 1.0], [1.0, 1.0])
    assert loss_of(BalancedMSE(sigma=1.0), own).item() == pytest.approx(2 * math.log(1 + math.exp(-0.5)))
    alone = batch([0.3], [5.0], [1.0])
    assert loss_of(BalancedMSE(), alone).item() == 0


def test_a_bin_without_training_samples_makes_nothing_likely():
    empty = Labels(torch.tensor([-1.0, 7.0]), torch.tensor([1.0, 0.0]))
    one = Labels(torch.tensor([-1.0]), torch.tensor([1.0]))
    own = batch([0.5, 7.0], [0.0, 6.0], [1.0, 1.0])
    found, plainly = (base_loss(BalancedMSE(integral="bni"), own, labels) for labels in (empty, one))
    assert found.item() == pytest.approx(plainly.item())


@pytest.mark.parametrize("config", [*FOCAL, BalancedMSE(), BalancedMSE(integral="bni")], ids=repr)
def test_gradients_are_finite_where_every_error_is_zero(config):
    prediction = torch.tensor([0.5, 0.5, -1.0], requires_grad=True)
    own = batch(prediction, [0.5, 0.5, -1.0], [1.0, 2.0, 0.5])
    loss_of(config, own).backward()
    assert torch.isfinite(prediction.grad).all()
