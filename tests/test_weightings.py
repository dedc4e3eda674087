import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirsweep.config import INV, LDS, SQINV, DenseWeight, Unweighted
from dirsweep.methods import bin_weights, sample_weights
from dirsweep.methods.lds import kernel

CONFIGS = [
    Unweighted(),
    INV(),
    INV(clip_low=1, clip_high=10),
    SQINV(),
    LDS(),
    LDS(root=False, size=9, sigma=1.0),
    LDS(kernel="triang", size=7),
    LDS(kernel="laplace", size=3, sigma=0.5, root=False),
]


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
@given(counts=st.lists(st.integers(0, 5000), min_size=1, max_size=30).filter(any))
@settings(max_examples=40, deadline=None)
def test_weights_are_positive_and_average_to_one_over_training_samples(config, counts):
    weight = bin_weights(config, np.array(counts))
    assert weight.shape == (len(counts),)
    assert np.isfinite(weight).all()
    assert (weight > 0).all()
    assert (np.array(counts) @ weight) / sum(counts) == pytest.approx(1)


def test_unweighted_samples_weigh_one():
    assert bin_weights(Unweighted(), np.array([7, 0, 3])).tolist() == [1, 1, 1]


def test_inv_weighs_by_the_inverse_of_the_clipped_count():
    weight = bin_weights(INV(clip_low=5, clip_high=100), np.array([1, 5, 50, 1000]))
    assert (weight / weight[0]).tolist() == pytest.approx([1, 1, 5 / 50, 5 / 100])


def test_sqinv_weighs_by_the_inverse_root_of_the_count():
    # 1 / 1 and 1 / 2 over 1 and 4 samples average to (1 + 2) / 5.
    assert bin_weights(SQINV(), np.array([1, 4])).tolist() == pytest.approx([5 / 3, 5 / 6])


def test_the_triangle_falls_by_even_steps():
    assert kernel(LDS(kernel="triang", size=5)).tolist() == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])


def test_the_laplace_kernel_falls_exponentially():
    window = kernel(LDS(kernel="laplace", size=5, sigma=2.0))
    assert window.tolist() == pytest.approx(np.exp([-1, -0.5, 0, -0.5, -1]).tolist())


def test_the_gaussian_kernel_is_the_reference_codes():
    # An impulse in the middle of 5 bins between mirrors: every 5 bins there is an image of it, and each bin
    # sums their bell curves, cut at 4 sigma.
    bell = {k: np.exp(-(k**2) / 8) for k in range(-8, 9)}
    images = [2 + 5 * m for m in range(-3, 4)]
    window = np.array([sum(bell.get(i - image, 0) for image in images) for i in range(5)])
    assert kernel(LDS(kernel="gaussian", size=5, sigma=2.0)).tolist() == pytest.approx(
        (window / window[2]).tolist()
    )


@pytest.mark.parametrize("name", ["gaussian", "triang", "laplace"])
@pytest.mark.parametrize("size", [3, 5, 9, 15])
def test_kernels_are_symmetric_with_a_peak_of_one_in_the_middle(name, size):
    window = kernel(LDS(kernel=name, size=size))
    assert len(window) == size
    assert window == pytest.approx(window[::-1])
    assert window.argmax() == size // 2
    assert window.max() == 1


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("name", ["gaussian", "triang", "laplace"])
@pytest.mark.parametrize("seed", range(3))
def test_lds_smooths_counts_or_their_roots_with_empty_bins_beyond_the_ends(root, name, seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 300, size=int(rng.integers(2, 20)))
    counts[0] += 1
    config = LDS(kernel=name, size=7, root=root)
    window = kernel(config)
    raw = []
    for b in range(len(counts)):
        near = [(b + k - 3, window[k]) for k in range(7) if 0 <= b + k - 3 < len(counts)]
        raw.append(1 / max(1.0, sum(w * (counts[i] ** 0.5 if root else counts[i]) for i, w in near)))
    scale = counts.sum() / (counts @ np.array(raw))
    assert bin_weights(config, counts).tolist() == pytest.approx((scale * np.array(raw)).tolist())


def test_a_sample_weighs_what_its_bin_does():
    counts, bin = np.array([1, 4]), np.array([0, 1, 1, 1, 1])
    found = sample_weights(SQINV(), np.zeros(5), bin, counts)
    assert found.tolist() == pytest.approx([5 / 3, *[5 / 6] * 4])


def dense(label, **values):
    return sample_weights(
        DenseWeight(**values), np.array(label), np.zeros(len(label), dtype=int), np.array([9])
    )


@pytest.mark.parametrize(("alpha", "epsilon"), [(0.5, 1e-6), (1.0, 1e-6), (2.0, 0.1)])
def test_dense_weight_equals_the_plain_formula(alpha, epsilon):
    label = np.random.default_rng(0).gamma(2.0, 3.0, size=200).round(1)
    width = 1.06 * label.std(ddof=1) * len(label) ** -0.2
    density = np.array([np.mean(np.exp(-((y - label) ** 2) / (2 * width**2))) for y in label])
    scaled = (density - density.min()) / (density.max() - density.min())
    weight = np.maximum(1 - alpha * scaled, epsilon)
    found = dense(label, alpha=alpha, epsilon=epsilon)
    assert found.tolist() == pytest.approx((weight / weight.mean()).tolist())


def test_dense_weight_without_alpha_or_with_one_label_weighs_all_alike():
    assert dense([1.0, 2.0, 2.0, 9.0], alpha=0.0).tolist() == pytest.approx([1, 1, 1, 1])
    assert dense([3.0, 3.0, 3.0]).tolist() == [1, 1, 1]


def test_dense_weight_of_many_distinct_labels_is_that_of_all_at_once(monkeypatch):
    label = np.random.default_rng(1).normal(size=300)
    whole = dense(label)
    monkeypatch.setattr(sys.modules["dirsweep.methods.dense_weight"], "MOST_AT_ONCE", 7)
    assert dense(label).tolist() == pytest.approx(whole.tolist())
