"""RankSim against the plain formula, written from the paper, and what a trial makes of a feature method."""

import numpy as np
import pytest
import torch

from dirsweep import stage1
from dirsweep.config import Stage1, settings
from dirsweep.methods.ranksim import by_bin, masked, one_of_each, ranks, ranksim


def plain_ranks(values):
    """1 for the largest, over how many there are."""
    order = sorted(range(len(values)), key=lambda place: -values[place])
    found = [0.0] * len(values)
    for rank, place in enumerate(order, 1):
        found[place] = rank / len(values)
    return found


def plain_ranksim(z, target, interpolation):
    """The loss and its gradient by the similarities, one sample of each label."""
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    similar = unit @ unit.T
    loss, gradient = 0.0, np.zeros_like(similar)
    for i in range(len(z)):
        wanted = plain_ranks([-abs(target[i] - other) for other in target])
        found = plain_ranks(similar[i].tolist())
        loss += sum((a - b) ** 2 for a, b in zip(found, wanted, strict=True)) / len(z)
        incoming = [2 * (a - b) / len(z) for a, b in zip(found, wanted, strict=True)]
        pushed = plain_ranks([s + interpolation * g for s, g in zip(similar[i], incoming, strict=True)])
        gradient[i] = [(a - b) / interpolation for a, b in zip(pushed, found, strict=True)]
    return loss, gradient


def distinct(seed, count=7, size=4):
    """Features, and labels without ties in their distances."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, size)), np.cumsum(rng.uniform(0.5, 1.5, count))


@pytest.mark.parametrize("interpolation", [0.5, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_loss_and_its_gradient_equal_the_plain_formula(seed, interpolation):
    features, target = distinct(seed)
    z = torch.tensor(features, requires_grad=True)
    loss = ranksim(z, torch.tensor(target), torch.arange(7), interpolation)
    expected, by_similarity = plain_ranksim(features, target, interpolation)
    assert loss.item() == pytest.approx(expected)
    loss.backward()

    again = torch.tensor(features, requires_grad=True)
    unit = again / again.norm(dim=1, keepdim=True)
    ((unit @ unit.T) * torch.tensor(by_similarity)).sum().backward()
    assert torch.allclose(z.grad, again.grad)


@pytest.mark.parametrize("seed", range(6))
def test_what_a_gpu_computes_with_masks_is_the_same(seed):
    features, target = distinct(seed, count=12)
    bin = torch.tensor([0, 0, 1, 2, 2, 2, 3, 5, 5, 6, 6, 6]) * (seed > 0)  # once they are all of one bin
    torch.manual_seed(seed)
    places, first = by_bin(bin)
    z = torch.tensor(features, requires_grad=True)
    found = masked(z, torch.tensor(target), 2.0, places, first)
    found.backward()
    again = torch.tensor(features, requires_grad=True)
    torch.manual_seed(seed)
    plain = ranksim(again, torch.tensor(target), bin, 2.0)
    plain.backward()
    assert torch.allclose(found, plain)
    assert torch.allclose(z.grad, again.grad)


def test_ranks_count_from_the_largest_and_keep_the_order_of_ties():
    assert ranks(torch.tensor([[3.0, 9.0, 1.0, 3.0]])).tolist() == [[0.5, 0.25, 1.0, 0.75]]


def test_features_in_the_order_of_the_labels_cost_nothing():
    angle = torch.tensor([0.0, 0.3, 0.5, 0.9], dtype=torch.float64)
    z = torch.stack([angle.cos(), angle.sin()], dim=1)
    assert ranksim(z, angle, torch.arange(4), 2.0).item() == 0


def test_one_sample_of_each_bin_is_drawn_evenly():
    bin = torch.tensor([4, 1, 4, 1, 7, 4])
    torch.manual_seed(0)
    drawn = torch.stack([one_of_each(bin) for _ in range(600)])
    assert torch.equal(bin[drawn], torch.tensor([1, 4, 7]).expand(600, 3))
    counts = [int((drawn == place).any(1).sum()) for place in range(6)]
    assert counts[4] == 600
    assert all(abs(counts[place] - 200) < 50 for place in (0, 2, 5))
    assert all(abs(counts[place] - 300) < 60 for place in (1, 3))


@pytest.mark.parametrize("features", [torch.zeros(4, 3), torch.ones(4, 3)])
def test_equal_or_zero_features_give_no_nan(features):
    z = features.clone().requires_grad_()
    loss = ranksim(z, torch.arange(4.0), torch.arange(4), 2.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


def test_a_batch_of_one_bin_has_no_loss():
    z = torch.randn(5, 3, requires_grad=True)
    loss = ranksim(z, torch.ones(5), torch.zeros(5, dtype=torch.int64), 2.0)
    loss.backward()
    assert loss.item() == 0
    assert (z.grad == 0).all()


def test_a_phase_that_trains_the_head_alone_has_no_feature_method():
    config = {"feature_method": {"name": "ranksim"}, "then": [{"epochs": 1, "layers": "head"}]}
    first, probe = settings(Stage1.model_validate(config))
    assert stage1._feature_method(first).name == "ranksim"
    assert stage1._feature_method(probe).name == "none"
    config["then"][0]["feature_method"] = {"name": "ranksim"}
    with pytest.raises(ValueError, match=r"then\.0\.feature_method would do nothing"):
        Stage1.model_validate(config)
