import math

import numpy as np
import pytest
import torch
from scipy.optimize import isotonic_regression

from dirsweep.config import KL, Hinge, Isotonic, Rank
from dirsweep.methods.norm_ordinality import EPS, RunningNorms, bin_means, feature_norm, norm_ordinality

KINDS = [
    KL(),
    KL(tau=0.1, direction="decreasing"),
    KL(tau=3.0, direction="free"),
    Hinge(),
    Hinge(margin=1.0, direction="decreasing"),
    Rank(tau=0.5),
    Rank(direction="decreasing"),
    Isotonic(),
    Isotonic(direction="decreasing"),
]
SEEDS = range(12)


# ---- METHOD section 2, spelt out in plain float64 loops


def plain_z_scores(values):
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(variance + EPS) for v in values]


def plain_hinge(y, f, margin):
    return sum(max(0.0, margin * (y[i + 1] - y[i]) - (f[i + 1] - f[i])) for i in range(len(y) - 1)) / (
        len(y) - 1
    )


def plain_kl(y, f, tau):
    pairs = [(i, j) for i in range(len(y)) for j in range(len(y)) if i != j]
    p = [math.exp(-abs(y[i] - y[j]) / tau) for i, j in pairs]
    q = [math.exp(-abs(f[i] - f[j]) / tau) for i, j in pairs]
    return sum(a / sum(p) * math.log((a / sum(p)) / (b / sum(q))) for a, b in zip(p, q, strict=True))


def plain_rank(y, f, tau):
    pairs = [(i, j) for i in range(len(y)) for j in range(len(y)) if i != j]
    terms = [math.log(1 + math.exp(-math.copysign(1, y[i] - y[j]) * (f[i] - f[j]) / tau)) for i, j in pairs]
    return sum(terms) / len(terms)


def plain_isotonic(f):
    fit = isotonic_regression(f).x
    return sum((a - b) ** 2 for a, b in zip(f, fit, strict=True)) / len(f)


def plain_norm_ordinality(config, norm, bin, centres, running=None):
    """`running` maps the bins seen so far to their running means."""
    means = dict(running or {})
    for b in set(bin):
        inside = [n for n, own in zip(norm, bin, strict=True) if own == b]
        means[b] = sum(inside) / len(inside)
    bins = sorted(means)
    if len(bins) < 3:
        return 0.0
    y = plain_z_scores([centres[b] for b in bins])
    f = plain_z_scores([means[b] for b in bins])
    if config.direction == "decreasing":
        f = [-v for v in f]
    match config:
        case KL():
            hinge = 0.0 if config.direction == "free" else plain_hinge(y, f, 0.0)
            return plain_kl(y, f, config.tau) + hinge
        case Hinge():
            return plain_hinge(y, f, config.margin)
        case Rank():
            return plain_rank(y, f, config.tau)
        case Isotonic():
            return plain_isotonic(f) + plain_hinge(y, f, 0.0)


def random_case(seed):
    """Norms, bins, uneven and partly negative centres, and EMA prototypes of some of the bins."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 15))
    norm = rng.gamma(2.0, 1.5, size=int(rng.integers(3, 40)))
    bin = rng.integers(0, count, size=len(norm))
    centres = np.cumsum(rng.uniform(0.1, 3.0, size=count)) - 6
    seen = rng.random(count) < 0.5
    return norm, bin, centres, np.where(seen, rng.gamma(2.0, 1.5, size=count), 0.0), seen


def term(config, norm, bin, centres, running=None):
    tensors = torch.as_tensor(norm), torch.as_tensor(bin), torch.as_tensor(centres, dtype=torch.float64)
    return norm_ordinality(config, *tensors, running)


@pytest.mark.parametrize("config", KINDS, ids=repr)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_term_of_a_batch_equals_the_plain_formula(config, seed):
    norm, bin, centres, _, _ = random_case(seed)
    expected = plain_norm_ordinality(config, norm.tolist(), bin.tolist(), centres.tolist())
    assert term(config, norm, bin, centres).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    single = term(config, norm.astype(np.float32), bin, centres)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("config", KINDS, ids=repr)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_term_with_ema_prototypes_equals_the_plain_formula(config, seed):
    norm, bin, centres, mean, seen = random_case(seed)
    running = RunningNorms(torch.as_tensor(mean), torch.as_tensor(seen))
    known = {b: mean[b] for b in np.flatnonzero(seen).tolist()}
    expected = plain_norm_ordinality(config, norm.tolist(), bin.tolist(), centres.tolist(), known)
    assert term(config, norm, bin, centres, running).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


# ---- small cases


def test_hinge_of_three_bins_by_hand():
    # z-scored labels -s, 0, s and norms 0, s, -s with s = sqrt(3 / 2): steps s and s up in the label,
    # s up and 2 s down in the norm, so max(0, s / 2 - s) = 0 and s / 2 + 2 s = 5 s / 2.
    value = term(Hinge(margin=0.5), np.array([2.0, 3.0, 1.0]), [0, 1, 2], [10.0, 20.0, 30.0])
    assert value.item() == pytest.approx((0 + 2.5 * math.sqrt(1.5)) / 2)


def test_rank_of_three_bins_by_hand():
    # Norms rise by s from bin to bin: pairs differ by s, s and 2 s, all in order.
    s = math.sqrt(1.5)
    value = term(Rank(tau=1.0), np.array([1.0, 2.0, 3.0]), [0, 1, 2], [0.0, 5.0, 6.0])
    assert value.item() == pytest.approx((2 * math.log1p(math.exp(-s)) + math.log1p(math.exp(-2 * s))) / 3)


def test_isotonic_of_three_bins_by_hand():
    # z-scored norms -s, s, 0: the fit pools the last two at s / 2, and one of two steps falls by s.
    s = math.sqrt(1.5)
    value = term(Isotonic(), np.array([1.0, 3.0, 2.0]), [0, 1, 2], [0.0, 1.0, 2.0])
    assert value.item() == pytest.approx(2 * (s / 2) ** 2 / 3 + s / 2)


def test_a_bin_enters_by_the_mean_of_its_norms():
    one = term(Hinge(), np.array([1.0, 3.0, 5.0, 4.0]), [0, 0, 1, 2], [0.0, 1.0, 2.0])
    other = term(Hinge(), np.array([2.0, 5.0, 4.0]), [0, 1, 2], [0.0, 1.0, 2.0])
    assert one.item() == pytest.approx(other.item())


# ---- what a kind rewards


@pytest.mark.parametrize("config", KINDS, ids=repr)
def test_scaling_and_shifting_all_norms_is_free(config):
    norm, bin, centres, _, _ = random_case(3)
    value = term(config, norm, bin, centres).item()
    assert term(config, 7.0 * norm, bin, centres).item() == pytest.approx(value, rel=1e-6)
    assert term(config, norm + 100.0, bin, centres).item() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("config", KINDS, ids=repr)
@pytest.mark.parametrize("unit", [1e-9, 1e6])
def test_the_unit_of_the_label_does_not_matter(config, unit):
    norm, bin, centres, _, _ = random_case(4)
    value = term(config, norm, bin, centres).item()
    assert term(config, norm, bin, unit * centres + 2000 * unit).item() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("config", KINDS, ids=repr)
def test_no_gradient_lies_along_the_scale_of_the_norms(config):
    norm, bin, centres, _, _ = random_case(5)
    leaf = torch.tensor(norm, requires_grad=True)
    term(config, leaf, bin, centres).backward()
    assert leaf.grad is not None
    assert leaf.grad @ leaf.detach() == pytest.approx(0.0, abs=1e-6)
    assert leaf.grad.sum().item() == pytest.approx(0.0, abs=1e-9)


def test_kl_is_zero_for_norms_affine_in_the_label_alone():
    centres = [1.0, 2.0, 5.0, 9.0]
    assert term(KL(), 3.0 * np.array(centres) + 2, range(4), centres).item() == pytest.approx(0, abs=1e-9)
    assert term(KL(), np.array([1.0, 2.0, 3.0, 4.0]), range(4), centres).item() > 1e-3


def test_kl_tells_directions_apart_unless_free():
    centres = [1.0, 2.0, 5.0, 9.0]
    falling = 40.0 - 3.0 * np.array(centres)
    assert term(KL(), falling, range(4), centres).item() > 0.1
    assert term(KL(direction="decreasing"), falling, range(4), centres).item() == pytest.approx(0, abs=1e-9)
    assert term(KL(direction="free"), falling, range(4), centres).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("kind", [KL, Hinge, Rank, Isotonic])
def test_decreasing_is_increasing_on_mirrored_norms(kind):
    norm, bin, centres, _, _ = random_case(6)
    falling = term(kind(direction="decreasing"), 50.0 - norm, bin, centres).item()
    assert falling == pytest.approx(term(kind(), norm, bin, centres).item(), rel=1e-9)


def test_isotonic_is_zero_for_any_rising_norms_and_pushes_falling_ones():
    rising = term(Isotonic(), np.array([1.0, 1.0, 1.5, 9.0]), range(4), [0.0, 1.0, 2.0, 3.0])
    assert rising.item() == 0
    falling = torch.tensor([4.0, 3.0, 2.0, 1.5], dtype=torch.float64, requires_grad=True)
    term(Isotonic(), falling, range(4), [0.0, 1.0, 2.0, 3.0]).backward()
    assert falling.grad is not None
    assert falling.grad.abs().max() > 1e-3


# ---- gradients and safety


@pytest.mark.parametrize("config", KINDS, ids=repr)
def test_the_gradient_matches_finite_differences(config):
    norm, bin, centres, mean, seen = random_case(7)
    running = RunningNorms(torch.as_tensor(mean), torch.as_tensor(seen))
    # Holds for the detached isotonic fit too: it is the nearest point of a convex cone.
    leaf = torch.tensor(norm, requires_grad=True)
    assert torch.autograd.gradcheck(lambda n: term(config, n, bin, centres, running), leaf)


@pytest.mark.parametrize("config", KINDS, ids=repr)
@pytest.mark.parametrize("bin", [[0, 0, 0], [0, 1, 1]])
def test_fewer_than_three_compared_bins_give_zero_that_supports_backward(config, bin):
    leaf = torch.tensor([1.0, 2.0, 5.0], requires_grad=True)
    value = term(config, leaf, bin, [0.0, 1.0, 2.0, 3.0])
    value.backward()
    assert value.item() == 0
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("config", KINDS, ids=repr)
def test_equal_norms_give_finite_values_and_gradients(config):
    z = torch.zeros(8, 4, requires_grad=True)
    value = term(config, feature_norm(z), [0, 1, 2, 3, 0, 1, 2, 3], [0.0, 1.0, 2.0, 3.0])
    value.backward()
    assert z.grad is not None
    assert math.isfinite(value.item())
    assert z.grad.abs().max() == 0


def test_flat_norms_are_not_punished_by_isotonic():
    assert term(Isotonic(), np.full(5, 2.0), range(5), [0.0, 1.0, 2.0, 3.0, 4.0]).item() == 0


# ---- the norm itself


def test_the_norm_is_the_frobenius_norm_over_all_but_the_first_dimension():
    z = torch.tensor([[[3.0, 0.0], [0.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]])
    assert feature_norm(z).tolist() == [5.0, 2.0]


def test_the_gradient_of_the_norm_at_zero_is_zero():
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    feature_norm(z).sum().backward()
    assert z.grad is not None
    assert z.grad.flatten().tolist() == pytest.approx([0.0, 0.0, 0.6, 0.8])


def test_norms_and_terms_are_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = torch.nn.functional.linear(torch.rand(6, 3), torch.rand(4, 3))
        norm = feature_norm(z)
        values = [term(config, norm, [0, 1, 2, 3, 4, 5], np.arange(6.0)) for config in KINDS]
    assert z.dtype == torch.bfloat16
    assert norm.dtype == torch.float32
    assert {value.dtype for value in values} == {torch.float32}


def test_bin_means_leave_out_bins_without_samples():
    means, present = bin_means(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([3, 1, 3]), 5)
    assert means.tolist() == [0, 2, 0, 3.5, 0]
    assert present.tolist() == [False, True, False, True, False]


# ---- EMA prototypes


def test_the_first_sight_of_a_bin_sets_its_running_mean_and_later_ones_move_it():
    running = RunningNorms.empty(3)
    running.update(torch.tensor([4.0, 6.0, 1.0]), torch.tensor([0, 0, 2]), momentum=0.9)
    assert running.mean.tolist() == [5, 0, 1]
    assert running.seen.tolist() == [True, False, True]
    running.update(torch.tensor([15.0, 2.0]), torch.tensor([0, 1]), momentum=0.9)
    assert running.mean.tolist() == pytest.approx([6.0, 2.0, 1.0])  # 0.9 * 5 + 0.1 * 15; first sight; absent
    assert running.seen.all()


def test_the_term_leaves_the_running_means_alone():
    running = RunningNorms(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, True, True]))
    term(Hinge(), torch.tensor([9.0, 1.0]), [0, 2], [0.0, 1.0, 2.0], running)
    assert running.mean.tolist() == [1, 2, 3]


def test_an_update_keeps_no_graph():
    running = RunningNorms.empty(2)
    running.update(torch.tensor([1.0], requires_grad=True), torch.tensor([1]), momentum=0.5)
    assert not running.mean.requires_grad


def test_a_bin_in_the_batch_enters_by_its_batch_mean_not_its_running_mean():
    running = RunningNorms(torch.tensor([50.0, 2.0, 3.0]), torch.tensor([True, True, True]))
    value = term(Hinge(margin=1.0), torch.tensor([1.0]), [0], [0.0, 1.0, 2.0], running)
    assert value.item() == pytest.approx(0.0, abs=1e-5)  # 1, 2, 3 and not 50, 2, 3


def test_a_bin_never_seen_is_left_out():
    running = RunningNorms(torch.tensor([1.0, 0.0, 3.0, 0.0]), torch.tensor([True, False, True, False]))
    centres = [0.0, 1.0, 2.0, 3.0]
    with_two = term(Rank(), torch.tensor([1.0, 3.0]), [0, 2], centres, running)
    assert with_two.item() == 0  # bins 0 and 2 alone
    with_three = term(Rank(), torch.tensor([4.0]), [3], centres, running)
    assert with_three.item() == pytest.approx(
        plain_norm_ordinality(Rank(), [1.0, 3.0, 4.0], [0, 2, 3], centres), rel=1e-5
    )
