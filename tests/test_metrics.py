import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dirsweep import metrics
from dirsweep.shots import Bins, Shots, cut_shots

SHOTS = ("all", "many", "median", "few", "zero")


@st.composite
def cases(draw):
    """Uneven bins with float, partly negative labels, training counts and predictions; shots may be empty."""
    count = draw(st.integers(1, 12))
    start = draw(st.floats(-50, 50))
    widths = draw(st.lists(st.floats(0.01, 20), min_size=count, max_size=count))
    edges = np.cumsum([start, *widths])
    counts = np.array(draw(st.lists(st.sampled_from([0, 1, 3, 7, 30]), min_size=count, max_size=count)))
    bin = np.array(draw(st.lists(st.integers(0, count - 1), max_size=25)), dtype=np.int64)
    label = edges[bin] + 0.25 * np.diff(edges)[bin]
    error = np.array(draw(st.lists(st.floats(-9, 9) | st.just(0.0), min_size=len(bin), max_size=len(bin))))
    return Shots(Bins(edges), counts, many_above=5, few_below=3), label, bin, label + error


def shot_of(n):
    return "many" if n > 5 else "few" if n < 3 else "median"


def plain_shot(shot, errors, bins, counts):
    """METHOD section 4 in float64 loops."""
    inside = [
        (float(e), int(b))
        for e, b in zip(errors, bins, strict=True)
        if shot == "all" or shot_of(counts[b]) == shot or (shot == "zero" and counts[b] == 0)
    ]
    if not inside:
        return {"mae": math.nan, "gm": math.nan, "mse": math.nan, "balanced_mae": math.nan, "count": 0}
    absolute = [abs(e) for e, _ in inside]
    per_bin = []
    for b in {b for _, b in inside}:
        own = [abs(e) for e, other in inside if other == b]
        per_bin.append(sum(own) / len(own))
    return {
        "mae": sum(absolute) / len(absolute),
        "gm": math.exp(sum(math.log(max(a, 1e-10)) for a in absolute) / len(absolute)),
        "mse": sum(a * a for a in absolute) / len(absolute),
        "balanced_mae": sum(per_bin) / len(per_bin),
        "count": len(inside),
    }


@given(cases())
@settings(max_examples=150, deadline=None)
def test_metrics_per_shot_equal_the_plain_formulas(case):
    shots, label, bin, prediction = case
    found = metrics.per_shot(prediction, label, bin, shots)
    assert {key.split("/")[0] for key in found} == set(SHOTS)
    for shot in SHOTS:
        for name, value in plain_shot(shot, prediction - label, bin, shots.counts).items():
            assert found[f"{shot}/{name}"] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True)


@given(cases())
@settings(max_examples=50, deadline=None)
def test_pearson_per_shot_is_numpys(case):
    shots, label, bin, prediction = case
    found = metrics.per_shot(prediction, label, bin, shots, correlation=True)
    for shot, mask in shots.masks.items():
        ours, theirs = prediction[mask[bin]], label[mask[bin]]
        if len(ours) < 2 or np.ptp(ours) < 1e-6 or np.ptp(theirs) < 1e-6:
            continue
        assert found[f"{shot}/pearson"] == pytest.approx(np.corrcoef(ours, theirs)[0, 1], abs=1e-6)


def test_pearson_of_what_is_constant_or_absent_is_nan():
    for prediction, label in (([], []), ([1.0], [2.0]), ([1.0, 2.0], [3.0, 3.0])):
        assert math.isnan(metrics.pearson(np.array(prediction), np.array(label)))


def test_labels_cut_from_data_land_in_their_shots():
    bins = Bins(np.array([-1.5, -0.5, 0.25, 4.0]))  # uneven; the last has no training label
    shots = cut_shots(bins, np.array([-1.0, -1.0, -0.6, 0.0]), many_above=2, few_below=2)
    label = np.array([-1.2, 0.2, 3.5])
    found = metrics.per_shot(label + np.array([1, -2, 5]), label, bins.index(label), shots)
    assert found["many/mae"] == pytest.approx(1.0)
    assert found["few/mae"] == pytest.approx(3.5)  # a bin absent from training is few, and zero too
    assert found["zero/mae"] == pytest.approx(5.0)
    assert (found["few/count"], found["zero/count"], found["median/count"]) == (2, 1, 0)


def test_gm_is_the_geometric_mean_of_absolute_errors():
    assert metrics.gm(np.array([1.0, -4.0, 16.0])) == pytest.approx(4.0)  # (1 * 4 * 16) ** (1 / 3)


def test_gm_counts_an_exact_hit_as_1e_minus_10():
    assert metrics.gm(np.array([0.0, 1.0])) == pytest.approx(1e-5)  # (1e-10 * 1) ** (1 / 2)


def test_gm_of_float32_errors_is_computed_in_float64():
    error = np.full(1000, 3e-30, dtype=np.float32)
    assert metrics.gm(error) == pytest.approx(1e-10, rel=1e-12)


def test_gm_of_nothing_is_nan():
    assert math.isnan(metrics.gm(np.array([])))


def test_mae_weighs_samples_and_balanced_mae_weighs_bins():
    shots = Shots(Bins(np.arange(3.0)), np.array([9, 9]), many_above=5, few_below=3)
    label = np.array([0.5, 0.5, 0.5, 1.5])
    found = metrics.per_shot(label + np.array([1, 1, 1, 5]), label, np.array([0, 0, 0, 1]), shots)
    assert found["many/mae"] == pytest.approx(2.0)
    assert found["many/balanced_mae"] == pytest.approx(3.0)


def test_one_sample_makes_a_whole_shot():
    shots = Shots(Bins(np.arange(2.0)), np.array([1]), many_above=5, few_below=3)
    found = metrics.per_shot(np.array([3.0]), np.array([0.5]), np.array([0]), shots)
    assert [found[f"few/{name}"] for name in ("mae", "gm", "mse", "balanced_mae", "count")] == pytest.approx(
        [2.5, 2.5, 6.25, 2.5, 1]
    )


def test_no_samples_at_all_make_nan_and_count_0():
    shots = Shots(Bins(np.arange(3.0)), np.array([9, 0]))
    found = metrics.per_shot(np.array([]), np.array([]), np.array([], dtype=np.int64), shots)
    assert found["all/count"] == 0
    assert math.isnan(found["all/mae"])
    assert math.isnan(found["all/balanced_mae"])


def test_per_bin_mae_is_nan_for_a_bin_without_samples():
    found = metrics.per_bin_mae(np.array([1.0, -3.0, 4.0]), np.array([2, 2, 0]), 4)
    assert found.tolist() == pytest.approx([4, math.nan, 2, math.nan], nan_ok=True)


# ---- ordinality


def plain_kendall(f):
    """tau-b of f against rising labels."""
    pairs = list(itertools.combinations(f, 2))
    agreement = sum(int(np.sign(b - a)) for a, b in pairs)
    untied = sum(a != b for a, b in pairs)
    return agreement / math.sqrt(len(pairs) * untied)


def plain_spearman(f):
    """Pearson's r of the ranks, ties at their mean rank."""
    rank = [sum(other < own for other in f) + (sum(other == own for other in f) + 1) / 2 for own in f]
    return float(np.corrcoef(np.arange(len(f)), rank)[0, 1])


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 3, 4, 30]), st.sampled_from([0.5, 1.0, 1.5, 2.25, 4.0])),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=150, deadline=None)
def test_ordinality_per_shot_equals_the_plain_formulas(bins):
    counts = np.array([n for n, _ in bins])
    norms = np.array([f if n else math.nan for n, f in bins])
    shots = Shots(Bins(np.cumsum(np.arange(len(bins) + 1.0))), counts, many_above=5, few_below=3)
    found = metrics.ordinality(norms, None, None, shots)
    for shot in SHOTS:
        f = [f for n, f in bins if n and (shot == "all" or shot_of(n) == shot)]
        ranked = len(f) >= 3 and len(set(f)) > 1
        falls = [b < a for a, b in itertools.pairwise(f)]
        expected = {
            "spearman": plain_spearman(f) if ranked else math.nan,
            "kendall": plain_kendall(f) if ranked else math.nan,
            "out_of_order": sum(falls) / len(falls) if falls else math.nan,
        }
        for name, value in expected.items():
            assert found[f"{shot}/{name}"] == pytest.approx(value, abs=1e-9, nan_ok=True)


def test_out_of_order_passes_over_empty_bins_and_those_of_other_shots():
    shots = Shots(Bins(np.arange(7.0)), np.array([9, 1, 9, 0, 9, 1]), many_above=5, few_below=3)
    norms = np.array([3.0, 8.0, 2.0, math.nan, 4.0, 9.0])
    found = metrics.ordinality(norms, None, None, shots)
    assert found["many/out_of_order"] == pytest.approx(1 / 2)  # 3 > 2, 2 < 4
    assert found["few/out_of_order"] == 0  # 8 < 9
    assert found["all/out_of_order"] == pytest.approx(1 / 4)  # 3, 8, 2, 4, 9: one fall, 8 > 2
    assert math.isnan(found["median/out_of_order"])


def test_falling_norms_have_a_spearman_of_minus_one():
    shots = Shots(Bins(np.arange(5.0)), np.full(4, 9), many_above=5, few_below=3)
    found = metrics.ordinality(np.array([4.0, 3.0, 2.0, 1.0]), None, None, shots)
    assert (found["all/spearman"], found["all/kendall"]) == pytest.approx((-1, -1))
    assert found["all/out_of_order"] == 1


def test_equal_norms_have_no_rank_correlation_and_are_in_order():
    shots = Shots(Bins(np.arange(5.0)), np.full(4, 9), many_above=5, few_below=3)
    found = metrics.ordinality(np.full(4, 2.0), None, None, shots)
    assert math.isnan(found["all/spearman"])
    assert math.isnan(found["all/kendall"])
    assert found["all/out_of_order"] == 0


def test_rank_correlations_agree_with_scipy_on_many_bins():
    rng = np.random.default_rng(0)
    shots = Shots(Bins(np.arange(201.0)), np.full(200, 9), many_above=5, few_below=3)
    norms = rng.normal(size=200) + np.arange(200) / 50
    found = metrics.ordinality(norms, None, None, shots)
    assert found["all/spearman"] == pytest.approx(stats.spearmanr(np.arange(200), norms).statistic)
    assert found["all/kendall"] == pytest.approx(plain_kendall(norms.tolist()))


def test_rmse_outside_is_over_sampled_bins_outside_the_majority():
    shots = Shots(Bins(np.arange(6.0)), np.array([9, 9, 1, 0, 2]))
    norms = np.array([1.0, 2.0, 6.0, math.nan, 1.0])
    majority = np.array([True, True, False, False, False])
    found = metrics.ordinality(norms, np.array([0.0, 0.0, 3.0, 4.0, 5.0]), majority, shots)
    assert found["fit/rmse_outside"] == pytest.approx(math.sqrt((3**2 + 4**2) / 2))


def test_rmse_outside_is_nan_where_all_bins_are_majority_and_missing_without_a_fit():
    shots = Shots(Bins(np.arange(3.0)), np.array([9, 9]))
    norms = np.array([1.0, 2.0])
    assert math.isnan(metrics.ordinality(norms, norms, np.array([True, True]), shots)["fit/rmse_outside"])
    assert "fit/rmse_outside" not in metrics.ordinality(norms, None, None, shots)
