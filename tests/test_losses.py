import math

import numpy as np
import pytest
import torch

from dirsweep.config import L1, MSE, BalancedMSE, FocalR, Huber
from dirsweep.methods import Batch, Labels, base_loss
from dirsweep.methods.balanced_mse import Mixture, bmc, bni, gai, mixture

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
        torch.zeros(size, 2),
    )


def loss_of(config, own):
    """With training labels in three bins."""
    return base_loss(config, own, LABELS, {})


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


@pytest.mark.parametrize("sigma", [0.3, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_balanced_mse_in_closed_form_equals_the_plain_formula(sigma, seed):
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(size=(2, 9))
    weight = rng.uniform(0, 3, size=9)
    parts = [(0.6, -1.0, 0.04), (0.4, 0.7, 0.5)]

    def normal(at, mean, variance):
        return math.exp(-((at - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)

    terms = [
        w
        * (
            math.log(sum(s * normal(p, m, v + sigma**2) for s, m, v in parts))
            - math.log(normal(t, p, sigma**2))
        )
        for p, t, w in zip(prediction, target, weight, strict=True)
    ]
    mixed = Mixture(*(torch.tensor(part, dtype=torch.float64) for part in zip(*parts, strict=True)))
    found = gai(*(torch.tensor(part) for part in (prediction, target, weight)), sigma, mixed)
    assert found.item() == pytest.approx(2 * sigma**2 * sum(terms) / 9, rel=1e-10)


def test_bins_and_closed_form_agree_where_the_mixture_is_the_bins():
    centre, share = torch.linspace(-2, 2, 9).double(), torch.arange(1.0, 10.0).double() / 45
    points = Mixture(share, centre, torch.full((9,), 1e-9).double())
    own = torch.tensor([0.1, -1.0, 2.2]).double(), torch.tensor([0.0, -0.5, 2.0]).double(), torch.ones(3)
    found, plainly = gai(*own, 0.5, points), bni(*own, 0.5, centre, share)
    assert found.item() == pytest.approx(plainly.item(), rel=1e-6)


def test_the_mixture_is_as_likely_as_the_one_the_labels_came_from():
    rng = np.random.default_rng(0)
    label = np.concatenate([rng.normal(-2, 0.3, 700), rng.normal(1, 1.0, 300)])
    found = mixture(label, 2)
    assert found.share.tolist() == pytest.approx([0.7, 0.3], abs=0.03)
    assert found.mean.tolist() == pytest.approx([-2, 1], abs=0.15)
    assert found.variance.sqrt().tolist() == pytest.approx([0.3, 1.0], abs=0.1)


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [0.0, 0.0, 0.0, 9.0]])
def test_few_distinct_labels_make_a_small_mixture(values):
    found = mixture(np.repeat(values, 20), 8)
    assert len(found.share) == len(set(values))
    loss = gai(torch.zeros(2).double(), torch.ones(2).double(), torch.ones(2), 0.5, found)
    assert torch.isfinite(loss)


def test_a_learned_deviation_gets_a_gradient_of_the_likelihood_alone():
    noise = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    prediction, target = torch.tensor([0.0, 1.0, 2.5]).double(), torch.tensor([0.4, 1.0, 2.0]).double()
    centre, share = torch.linspace(-1, 3, 5).double(), torch.full((5,), 0.2).double()
    ones, mixed = torch.ones(3).double(), Mixture(share, centre, 0 * share + 0.1)
    losses = [
        lambda sigma: bmc(prediction, target, ones, sigma),
        lambda sigma: bni(prediction, target, ones, sigma, centre, share),
        lambda sigma: gai(prediction, target, ones, sigma, mixed),
    ]
    for loss in losses:
        (found,) = torch.autograd.grad(loss(noise), noise)
        step = 1e-6
        likelihood = [loss(0.8 + side * step) / (2 * (0.8 + side * step) ** 2) for side in (1, -1)]
        expected = 2 * 0.8**2 * (likelihood[0] - likelihood[1]) / (2 * step)
        assert found.item() == pytest.approx(float(expected), rel=1e-5)


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
    found, plainly = (base_loss(BalancedMSE(integral="bni"), own, labels, {}) for labels in (empty, one))
    assert found.item() == pytest.approx(plainly.item())


@pytest.mark.parametrize("config", [*FOCAL, BalancedMSE(), BalancedMSE(integral="bni")], ids=repr)
def test_gradients_are_finite_where_every_error_is_zero(config):
    prediction = torch.tensor([0.5, 0.5, -1.0], requires_grad=True)
    own = batch(prediction, [0.5, 0.5, -1.0], [1.0, 2.0, 0.5])
    loss_of(config, own).backward()
    assert torch.isfinite(prediction.grad).all()
