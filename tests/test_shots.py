"""Bins and shots: decimal edges, uneven and negative ranges, and the cut-offs."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirsweep.config import BinEdges, BinWidth
from dirsweep.shots import cut_bins, cut_shots


def bins_of(*labels: float, width: float, start: float = 0.0) -> list[int]:
    label = np.array(labels)
    return cut_bins(BinWidth(width=width, start=start), label).index(label).tolist()


def test_a_bin_takes_in_its_lower_edge_and_not_its_upper_one():
    assert bins_of(250.0, 499.0, 500.0, width=250.0) == [0, 0, 1]


def test_a_label_that_rounding_puts_beside_an_edge_is_on_it():
    # 0.1 * 3 and 1 - 0.7 are above 0.3, 0.3 / 0.1 = 2.9999999999999996, 0.1 + 0.7 is below 0.8
    assert bins_of(0.0, 0.1 * 3, 1 - 0.7, 0.3, 0.1 + 0.7, width=0.1) == [0, 3, 3, 3, 8]


def test_given_edges_forgive_the_same_rounding():
    bins = cut_bins(BinEdges(edges=(0.0, 0.3, 0.8, 2.0)), np.zeros(1))
    assert bins.index(np.array([0.1 * 3, 0.1 + 0.7, 0.29, 2.0])).tolist() == [1, 2, 0, 2]


def test_bins_of_one_width_reach_below_zero_and_begin_where_told():
    label = np.array([-1.5, -0.5, 0.4])
    bins = cut_bins(BinWidth(width=1.0, start=0.5), label)
    assert bins.index(label).tolist() == [0, 1, 1]  # [-1.5, -0.5), [-0.5, 0.5)
    assert bins.centres.tolist() == [-1.0, 0.0]


def test_uneven_edges_bin_as_a_plain_search_does():
    edges = (-3.0, 0.0, 1.0, 10.0)
    bins = cut_bins(BinEdges(edges=edges), np.zeros(1))
    assert bins.index(np.array([-3.0, -0.1, 0.0, 0.9, 1.0, 10.0])).tolist() == [0, 0, 1, 1, 2, 2]
    assert bins.centres.tolist() == [-1.5, 0.5, 5.5]


def test_a_label_outside_the_edges_is_refused():
    bins = cut_bins(BinEdges(edges=(0.0, 1.0)), np.zeros(1))
    with pytest.raises(ValueError, match=r"label 1\.5 lies outside the bins, which reach from 0 to 1"):
        bins.index(np.array([0.5, 1.5]))


@pytest.mark.parametrize("config", [BinWidth(width=1.0), BinEdges(edges=(0.0, 1.0, 2.0))])
def test_nan_and_infinity_lie_in_no_bin(config):
    bins = cut_bins(config, np.array([0.0, 1.5]))
    assert bins.outside(np.array([math.nan, math.inf, -math.inf, 1.0])).tolist() == [True, True, True, False]


@pytest.mark.parametrize("largest", [1e5, 1e300])
def test_too_many_bins_are_refused(largest):
    with pytest.raises(ValueError, match="choose a width that makes at most 10000"):
        cut_bins(BinWidth(width=1.0), np.array([0.0, largest]))


@given(
    thousandths=st.lists(st.integers(-2_000_000, 2_000_000), min_size=1, max_size=20),
    width=st.integers(500, 50_000),
    start=st.integers(-5_000, 5_000),
)
def test_bins_are_those_of_decimal_arithmetic(thousandths, width, start):
    label = np.array([k / 1000 for k in thousandths])
    bins = cut_bins(BinWidth(width=width / 1000, start=start / 1000), label)
    exact = [int((Decimal(k - start) / Decimal(width)).to_integral_value("ROUND_FLOOR")) for k in thousandths]
    assert bins.index(label).tolist() == [step - min(exact) for step in exact]
    assert len(bins) == max(exact) - min(exact) + 1


@given(st.lists(st.integers(10**9, 10**9 + 100), min_size=1, max_size=10))
def test_large_whole_labels_fall_in_their_own_bin(labels):
    label = np.array(labels, dtype=np.float64)
    bins = cut_bins(BinWidth(width=1.0), label)
    assert bins.index(label).tolist() == [value - min(labels) for value in labels]
    assert (bins.edges[bins.index(label)] == label).all()


@given(
    edges=st.lists(st.integers(-1000, 1000), min_size=2, max_size=8, unique=True).map(sorted),
    share=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_every_label_lies_between_the_edges_of_its_bin(edges, share):
    label = edges[0] + np.array(share) * (edges[-1] - edges[0])
    bins = cut_bins(BinEdges(edges=tuple(map(float, edges))), label)
    found = bins.index(label)
    slack = 1e-9 * np.diff(bins.edges).max()
    assert (bins.edges[found] - slack <= label).all()
    assert (label <= bins.edges[found + 1] + slack).all()


def test_shots_follow_the_training_counts():
    # bins 0..3 with 101, 100, 20 and 19 training labels, and bin 4 with none
    label = np.repeat([0.5, 1.5, 2.5, 3.5], [101, 100, 20, 19])
    bins = cut_bins(BinWidth(width=1.0), np.append(label, 4.5))
    shots = cut_shots(bins, label, many_above=100, few_below=20)
    assert shots.names.tolist() == ["many", "median", "median", "few", "few"]
    assert shots.counts.tolist() == [101, 100, 20, 19, 0]
    assert shots.masks["zero"].tolist() == [False, False, False, False, True]


def test_every_bin_is_in_exactly_one_of_many_median_and_few():
    label = np.repeat(np.arange(150.0), np.arange(150))
    shots = cut_shots(cut_bins(BinWidth(width=1.0), np.arange(150.0)), label, 100, 20)
    assert (sum(shots.masks[name].astype(int) for name in ("many", "median", "few")) == 1).all()


@given(
    counts=st.lists(st.integers(0, 150), min_size=1, max_size=12).filter(any),
    few_below=st.integers(0, 60),
    median=st.integers(0, 60),
    listed=st.sets(st.integers(0, 11)),
    seed=st.integers(0, 9),
)
def test_each_bin_has_its_training_labels_and_the_region_that_the_rule_or_a_list_gives_it(
    counts, few_below, median, listed, seed
):
    listed = tuple(sorted(bin for bin in listed if bin < len(counts)))
    label = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)) + 0.5, counts))
    bins = cut_bins(BinWidth(width=1.0), np.array([0.5, len(counts) - 0.5]))
    shots = cut_shots(bins, label, few_below + median, few_below, listed)
    assert shots.counts.tolist() == counts
    expected = [
        "few" if n < few_below or bin in listed else "many" if n > few_below + median else "median"
        for bin, n in enumerate(counts)
    ]
    assert shots.names.tolist() == expected
    for name in ("many", "median", "few"):
        assert shots.masks[name].tolist() == [region == name for region in expected]
    assert shots.masks["zero"].tolist() == [n == 0 for n in counts]
    assert shots.masks["all"].all()


def test_an_empty_training_split_is_refused():
    with pytest.raises(ValueError, match="training split is empty"):
        cut_shots(cut_bins(BinWidth(width=1.0), np.zeros(1)), np.array([]), 100, 20)
