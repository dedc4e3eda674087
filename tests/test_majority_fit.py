import math

import numpy as np
import pytest
import torch

from dirsweep.config import Fit
from dirsweep.methods.majority_fit import check_threshold, fit_majority, norm_term

FITS = [
    Fit(),
    Fit(weighted=True),
    Fit(ridge=0.7),
    Fit(weighted=True, ridge=2.0),
    Fit(curve="exponential"),
    Fit(curve="exponential", weighted=True, ridge=0.2),
]


def plain_fit(config, theta, centres, counts, norms):
    """METHOD section 3 in loops: F^ of every bin by the normal equations of the penalised squares."""
    majority = [b for b in range(len(counts)) if counts[b] > theta]
    mean = sum(centres[b] for b in majority) / len(majority)
    std = math.sqrt(sum((centres[b] - mean) ** 2 for b in majority) / len(majority))
    total = sum(counts[b] for b in majority)
    # sum_b w_b (F_b - a x_b - c)^2 + ridge a^2, with weights that sum to 1
    sxx = sx = sxf = sf = 0.0
    for b in majority:
        w = counts[b] / total if config.weighted else 1 / len(majority)
        x = (centres[b] - mean) / std
        f = math.log(norms[b]) if config.curve == "exponential" else norms[b]
        sxx, sx, sxf, sf = sxx + w * x * x, sx + w * x, sxf + w * x * f, sf + w * f
    a, c = np.linalg.solve([[sxx + config.ridge, sx], [sx, 1.0]], [sxf, sf])
    line = [a * (y - mean) / std + c for y in centres]
    if config.curve == "exponential":
        return [math.exp(v) for v in line], 0
    floor = min(norms[b] for b in majority)
    outside = [v for v, n in zip(line, counts, strict=True) if n <= theta]
    return [max(v, floor) for v in line], sum(v < floor for v in outside)


def random_case(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 20))
    counts = rng.integers(0, 300, size=count) * (rng.random(count) < 0.8)
    counts[rng.permutation(count)[:2]] = [150, 301]
    centres = np.cumsum(rng.uniform(0.1, 4.0, size=count)) - 20
    norms = np.where(counts > 0, rng.gamma(4.0, 1.0, size=count) + 0.2 * np.arange(count), np.nan)
    return centres, counts, norms


@pytest.mark.parametrize("config", FITS, ids=repr)
@pytest.mark.parametrize("seed", range(12))
def test_the_fit_equals_the_plain_formula(config, seed):
    centres, counts, norms = random_case(seed)
    fit = fit_majority(config, 100, centres, counts, norms)
    predicted, floored = plain_fit(config, 100, centres.tolist(), counts.tolist(), norms.tolist())
    assert fit.predicted.tolist() == pytest.approx(predicted)
    assert fit.floored == floored
    assert fit.majority.tolist() == [n > 100 for n in counts]
    inside = np.flatnonzero(fit.majority)
    squares = [(norms[b] - predicted[b]) ** 2 for b in inside]
    scale = sum(norms[b] for b in inside) / len(inside)
    assert fit.scale == pytest.approx(scale)
    assert fit.rmse == pytest.approx(math.sqrt(sum(squares) / len(inside)), abs=1e-9)
    spread = sum((norms[b] - scale) ** 2 for b in inside)
    assert fit.r2 == pytest.approx(1 - sum(squares) / spread, abs=1e-9)
    assert fit.targets.tolist() == [
        norms[b] if counts[b] > 100 else fit.predicted[b] for b in range(len(counts))
    ]
    straight = fit.slope * centres + fit.intercept
    curve = np.exp(straight) if config.curve == "exponential" else np.maximum(straight, norms[inside].min())
    assert curve.tolist() == pytest.approx(predicted)


CENTRES = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])


def test_a_line_through_the_majority_bins_is_extended_to_the_others():
    fit = fit_majority(
        Fit(), 10, CENTRES, np.array([50, 40, 11, 10, 1, 0]), np.array([3.0, 5.0, 7.0, 8.0, 8.5, np.nan])
    )
    assert fit.predicted.tolist() == pytest.approx([3, 5, 7, 9, 11, 13])
    assert fit.targets.tolist() == pytest.approx([3, 5, 7, 9, 11, 13])
    assert (fit.slope, fit.intercept, fit.r2, fit.rmse) == pytest.approx((2, 1, 1, 0), abs=1e-12)
    assert (fit.scale, fit.floored) == (5.0, 0)


def test_a_majority_bins_target_is_its_own_norm():
    fit = fit_majority(Fit(), 10, CENTRES[:3], np.array([50, 40, 30]), np.array([3.0, 9.0, 4.0]))
    assert fit.targets.tolist() == [3, 9, 4]


def test_a_falling_line_is_floored_at_the_smallest_majority_norm():
    fit = fit_majority(
        Fit(), 10, CENTRES, np.array([50, 40, 11, 10, 1, 0]), np.array([3.0, 2.0, 1.0, 1, 1, np.nan])
    )
    assert fit.predicted.tolist() == pytest.approx([3, 2, 1, 1, 1, 1])
    assert fit.floored == 3


def test_an_exponential_curve_grows_by_a_factor_and_is_measured_on_the_norms():
    fit = fit_majority(
        Fit(curve="exponential"),
        10,
        CENTRES[:4],
        np.array([50, 40, 30, 1]),
        np.array([2.0, 4.0, 8.0, 9.0]),
    )
    assert fit.predicted.tolist() == pytest.approx([2, 4, 8, 16])
    assert fit.slope == pytest.approx(math.log(2))
    assert (fit.r2, fit.rmse, fit.floored) == pytest.approx((1, 0, 0), abs=1e-12)


def test_ridge_shrinks_the_slope_by_one_plus_the_penalty():
    case = 10, CENTRES[:3], np.array([50, 40, 30]), np.array([3.0, 5.0, 7.0])
    assert fit_majority(Fit(ridge=1.0), *case).slope == pytest.approx(2 / (1 + 1.0))


def test_weights_draw_the_line_to_the_fuller_bins():
    case = 10, CENTRES[:3], np.array([10_000, 10_000, 11]), np.array([1.0, 2.0, 9.0])
    assert fit_majority(Fit(weighted=True), *case).slope == pytest.approx(1, abs=0.05)
    assert fit_majority(Fit(), *case).slope == pytest.approx(4)


def test_reach_tells_how_far_the_fit_extrapolates():
    fit = fit_majority(
        Fit(), 10, CENTRES, np.array([1, 50, 40, 1, 1, 0]), np.array([1.0, 2, 3, 4, 5, np.nan])
    )
    assert fit.majority_range == (2, 3)
    assert fit.label_range == (1, 6)
    assert fit.reach == pytest.approx(3)  # (6 - 3) / (3 - 2)


def test_r2_of_equal_majority_norms_is_nan():
    fit = fit_majority(Fit(), 10, CENTRES[:3], np.array([50, 40, 30]), np.array([2.0, 2.0, 2.0]))
    assert math.isnan(fit.r2)
    assert fit.rmse == pytest.approx(0)


# ---- bad input


@pytest.mark.parametrize(("bend", "r2"), [(0.9, 2 / (2 + 1.62)), (1.1, 2 / (2 + 2.42))])
def test_a_fit_is_doubtful_where_it_leaves_more_unexplained_than_it_explains(bend, r2):
    """Squares over the three bins: 2 along the line, 2 * bend^2 beside it."""
    bent = bend * np.array([-1, 2, -1]) / math.sqrt(3)
    fit = fit_majority(Fit(), 10, CENTRES[:3], np.array([50, 40, 30]), 5 + np.array([-1, 0, 1]) + bent)
    assert fit.r2 == pytest.approx(r2)
    assert fit.is_doubtful == (bend > 1)


def test_two_majority_bins_are_no_cause_for_doubt_and_equal_norms_are():
    counts = np.array([50, 40])
    assert not fit_majority(Fit(), 10, CENTRES[:2], counts, np.array([3.0, 1.0])).is_doubtful
    assert fit_majority(Fit(), 10, CENTRES[:2], counts, np.array([2.0, 2.0])).is_doubtful


def test_a_threshold_that_leaves_one_majority_bin_is_refused_with_the_largest_that_leaves_two():
    with pytest.raises(
        ValueError, match=r"majority_threshold 40 leaves fewer than two majority bins"
    ) as error:
        check_threshold(np.array([50, 40, 3, 0]), 40)
    assert "n_b = 50" in str(error.value)
    assert "at most 39" in str(error.value)
    check_threshold(np.array([50, 40, 3, 0]), 39)


def test_a_single_filled_bin_allows_no_threshold():
    with pytest.raises(ValueError, match="no threshold leaves two"):
        check_threshold(np.array([50, 0, 0]), 0)


def test_fitting_checks_the_threshold():
    with pytest.raises(ValueError, match="fewer than two majority bins"):
        fit_majority(Fit(), 99, CENTRES[:3], np.array([50, 40, 30]), np.array([1.0, 2.0, 3.0]))


def test_an_exponential_curve_refuses_a_norm_of_zero():
    with pytest.raises(FloatingPointError, match="at label 2 has mean norm 0"):
        fit_majority(
            Fit(curve="exponential"), 10, CENTRES[:3], np.array([50, 40, 30]), np.array([1.0, 0.0, 3.0])
        )


def test_a_dead_encoder_is_refused():
    with pytest.raises(FloatingPointError, match="every majority bin has feature norm 0"):
        fit_majority(Fit(), 10, CENTRES[:3], np.array([50, 40, 30]), np.zeros(3))


# ---- the norm term


def plain_norm_term(norm, bin, targets, scale, reduction):
    terms = []
    for b in set(bin):
        inside = [n for n, own in zip(norm, bin, strict=True) if own == b]
        terms.append((sum(inside) / len(inside) / scale - targets[b] / scale) ** 2)
    return sum(terms) / len(terms) if reduction == "mean" else sum(terms)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("seed", range(10))
def test_the_norm_term_equals_the_plain_formula(reduction, seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 12))
    norm, bin = rng.gamma(2.0, 2.0, size=25), rng.integers(0, count, size=25)
    targets = rng.gamma(2.0, 2.0, size=count)
    expected = plain_norm_term(norm.tolist(), bin.tolist(), targets.tolist(), 3.5, reduction)
    value = norm_term(torch.tensor(norm), torch.tensor(bin), torch.tensor(targets), 3.5, reduction)
    assert value.item() == pytest.approx(expected)
    single = norm_term(
        torch.tensor(norm).float(), torch.tensor(bin), torch.tensor(targets).float(), 3.5, reduction
    )
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(expected, rel=1e-5)


def test_the_norm_term_averages_over_the_bins_in_the_batch():
    # Bin 0 has mean norm 3 and target 1, bin 2 has 5 and 4, bin 1 is absent: (2 / 2)^2 and (1 / 2)^2.
    case = torch.tensor([2.0, 4.0, 5.0]), torch.tensor([0, 0, 2]), torch.tensor([1.0, 100.0, 4.0]), 2.0
    assert norm_term(*case, "mean").item() == pytest.approx((1 + 0.25) / 2)
    assert norm_term(*case, "sum").item() == pytest.approx(1 + 0.25)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_gradient_of_the_norm_term_matches_finite_differences(reduction):
    norm = torch.rand(6, dtype=torch.float64, requires_grad=True)
    bin, targets = torch.tensor([0, 1, 1, 4, 4, 4]), torch.rand(5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda leaf: norm_term(leaf, bin, targets, 0.7, reduction), norm)
