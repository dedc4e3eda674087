import dataclasses

import numpy as np
import pytest
from scipy import stats

from dirsweep import intervals
from dirsweep.intervals import spread

DRAWS = 1000
UNEVEN = {
    "six": (30, 6, 6, 6, 6, 6),
    "ten": (1, 2, 2, 3, 5, 8, 11, 17, 26, 38),
    "twelve": (60, *[5] * 11),
    "twenty": (1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8, 10, 14, 22, 57),
}
OF_SUBJECTS = {"of_subject": 0.3, "of_sample": 0.3, "of_seed": 0.05}
CELLS = {
    "seeds do not matter, skewed errors": {"of_sample": 0.8},
    "seeds matter a little, skewed errors": {"of_sample": 0.8, "of_seed": 0.05},
    "seeds and samples alike": {"of_sample": 0.4, "of_seed": 0.05},
    "samples hardly matter": {"of_sample": 0.02, "of_noise": 0.05, "of_seed": 0.1},
    "nothing but noise": {"of_noise": 0.5},
    "twelve subjects": {"subjects": 12, "of_subject": 0.3, "of_sample": 0.3, "of_seed": 0.05},
    "forty subjects of uneven size, parents of two": {
        "seeds": 10,
        "parents": 5,
        "samples": 120,
        "subjects": 40,
        "of_subject": 0.5,
        "of_sample": 0.3,
        "of_seed": 0.1,
    },
    "ten subjects, each half as large again": {"subjects": UNEVEN["ten"], **OF_SUBJECTS},
    "twelve subjects, one with half of the samples": {"subjects": UNEVEN["twelve"], **OF_SUBJECTS},
    "twenty subjects of log-normal size": {"subjects": UNEVEN["twenty"], **OF_SUBJECTS},
    "six subjects, one with half of the samples": {"subjects": UNEVEN["six"], **OF_SUBJECTS},
}


def simulate(
    generator,
    *,
    seeds=5,
    parents=None,
    samples=60,
    subjects=None,
    of_seed=0.0,
    of_subject=0.0,
    of_sample=0.0,
    of_noise=0.4,
):
    """Log-normal errors of two configurations, seeds crossed with samples, and their true MAE and GM.

    The `of_...` are standard deviations of the log error. The two share 0.7 of the variance of subjects and
    samples, none of that of seeds; 0.7 of the latter is a parent's.
    """
    parent = np.arange(seeds) % (parents or seeds)
    subject = None
    if isinstance(subjects, tuple):  # how many samples each has
        subject = np.repeat(np.arange(len(subjects)), subjects)
        samples, subjects = len(subject), len(subjects)
    elif subjects is not None:  # squares: the last has several times the samples of the first
        subject = (subjects * np.sqrt(np.arange(samples) / samples)).astype(int)

    def shared(count):
        both, own = generator.normal(size=count), generator.normal(size=(2, count))
        return np.sqrt(0.7) * both + np.sqrt(0.3) * own

    log = of_sample * shared(samples)[:, None, :] + of_noise * generator.normal(size=(2, seeds, samples))
    if subject is not None:
        log += of_subject * shared(subjects)[:, None, subject]
    of_parent, of_child = generator.normal(size=(2, seeds))[:, parent], generator.normal(size=(2, seeds))
    log += of_seed * (np.sqrt(0.7) * of_parent + np.sqrt(0.3) * of_child)[:, :, None]
    within = of_subject**2 + of_sample**2 + of_noise**2
    truth = {"mae": np.exp((within + of_seed**2) / 2), "gm": np.exp(of_seed**2 / 2)}
    groups = {"clusters": subject, "parents": None if parents is None else parent}
    return np.exp(log[0]), 0.9 * np.exp(log[1]), groups, truth


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["mae", "gm"])
@pytest.mark.parametrize("cell", CELLS)
def test_of_1000_intervals_92_to_98_percent_cover_the_truth(cell, statistic):
    generator = np.random.default_rng(7)
    single = paired = 0
    for _ in range(DRAWS):
        error, control, groups, truth = simulate(generator, **CELLS[cell])
        one = intervals.error_interval(error, statistic, **groups)
        two = intervals.difference_interval(control, error, statistic, **groups)
        single += one.low <= truth[statistic] <= one.high
        paired += two.low <= -0.1 * truth[statistic] <= two.high
    assert 0.92 <= single / DRAWS <= 0.98
    assert 0.92 <= paired / DRAWS <= 0.98


@pytest.mark.slow
def test_of_1000_intervals_of_squared_normal_errors_92_to_98_percent_cover_the_truth():
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(DRAWS):  # 5 seeds, 74 samples: the few-shot test pairs of STS-B-DIR
        of_sample, of_seed = generator.normal(size=74), 0.2 * generator.normal(size=(5, 1))
        error = of_sample + of_seed + 0.3 * generator.normal(size=(5, 74))
        one = intervals.error_interval(error, "mse")
        covered += one.low <= 1 + 0.2**2 + 0.3**2 <= one.high
    assert 0.92 <= covered / DRAWS <= 0.98


def test_mse_is_the_mean_of_squared_errors():
    error = np.array([[1.0, -4.0, 2.0], [2.0, 2.0, -2.0]])
    assert intervals.error_interval(error, "mse").estimate == pytest.approx((7 + 4) / 2)
    assert intervals.error_interval(error, "mse") == intervals.error_interval(error**2, "mae")


def test_without_spread_over_samples_the_interval_is_students_t_over_seeds():
    error = np.repeat([[1.0], [2.0], [3.0], [4.0], [5.0]], 20, axis=1)
    interval = intervals.error_interval(error, "mae")
    half = 2.776445 * np.sqrt(2.5 / 5)  # t of 4 degrees of freedom; the five seeds' variance is 2.5
    assert (interval.estimate, interval.spread) == (3.0, pytest.approx(np.sqrt(2.5)))
    assert (interval.low, interval.high) == (pytest.approx(3 - half), pytest.approx(3 + half))
    assert (interval.seeds, interval.parents, interval.samples, interval.clusters) == (5, 5, 20, 20)
    assert interval.over_seeds
    assert "5 independent seeds" in interval.method


def test_parents_are_resampled_not_their_children():
    parent_error = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    ids = ["a", "b", "c", "d", "e"]
    error = np.repeat(parent_error[:, None], 20, axis=1)
    alone = intervals.error_interval(error, "mae", parents=ids)
    twins = intervals.error_interval(np.tile(error, (2, 1)), "mae", parents=ids * 2)
    assert (twins.seeds, twins.parents) == (10, 5)
    assert (twins.low, twins.high) == pytest.approx((alone.low, alone.high))


def test_samples_of_one_subject_count_once():
    generator = np.random.default_rng(0)
    error = generator.exponential(size=(1, 30)) + 0.1 * generator.exponential(size=(5, 30))
    alone = intervals.error_interval(error, "gm")
    copies = intervals.error_interval(np.repeat(error, 4, axis=1), "gm", clusters=np.repeat(range(30), 4))
    assert (copies.samples, copies.clusters) == (120, 30)
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high))


def test_the_estimate_is_the_mean_over_seeds_of_mae_and_of_gm():
    error = np.array([[1.0, -4.0, 16.0], [2.0, 2.0, 2.0]])
    assert intervals.error_interval(error, "mae").estimate == pytest.approx((7 + 2) / 2)
    assert intervals.error_interval(error, "gm").estimate == pytest.approx((4 + 2) / 2)
    difference = intervals.difference_interval(error, np.ones((2, 3)), "gm")
    assert difference.estimate == pytest.approx(2.0)
    assert difference.spread == pytest.approx(np.std([3, 1], ddof=1))


def plain_resampled(error, clusters, draws):
    """Studentised shifts of the seed-averaged MAE, cluster by cluster in loops."""
    ids, averaged = np.unique(clusters), error.mean(axis=0)
    shifts = []
    for row in draws:
        drawn = [c for c, times in zip(ids, row, strict=True) for _ in range(times)]
        sums = [sum(averaged[clusters == c]) for c in drawn]
        sizes = [sum(clusters == c) for c in drawn]
        mean = sum(sums) / sum(sizes)
        squares = sum((s - mean * n) ** 2 for s, n in zip(sums, sizes, strict=True))
        deviation = np.sqrt(len(ids) / (len(ids) - 1) * squares) / sum(sizes)
        shifts.append((mean - averaged.mean()) / deviation)
    return shifts


def test_subjects_of_uneven_size_are_worth_fewer_even_ones():
    subject = np.repeat(range(12), UNEVEN["twelve"])
    error = np.random.default_rng(8).exponential(size=(5, 115))
    uneven = intervals.error_interval(error, "mae", clusters=subject)
    assert "12 independent samples (of uneven size: worth 3.4)" in uneven.method  # 115^2 / (60^2 + 11 * 5^2)
    few = intervals.error_interval(np.ones((5, 3)) * [[1.0, 1.0, 2.0]], "mae", clusters=[0, 0, 1])
    # means 1 and 2 of two subjects with parts 2/3 and 1/3: each squared influence, (2/9)^2, over
    # its share that is left, 2 (1/3)^2 and 2 (2/3)^2; Student's t of 1 degree of freedom
    variance = (2 / 9) ** 2 / (2 / 9) + (2 / 9) ** 2 / (8 / 9)
    assert few.high == pytest.approx(4 / 3 + 12.7062 * np.sqrt(variance), rel=1e-4)


def test_below_five_seeds_the_interval_is_a_bootstrap_over_samples_and_says_so():
    generator = np.random.default_rng(1)
    error = generator.exponential(size=(4, 40)) + np.array([[0.0], [5.0], [10.0], [15.0]])
    clusters = np.arange(40) // 3
    interval = intervals.error_interval(error, "mae", clusters=clusters, seed=3)
    shifts = np.sort(plain_resampled(error, clusters, spread._counts(14, 3, 1999)))
    averaged = error.mean(axis=0) - error.mean()
    part = np.bincount(clusters) / 40  # 13 clusters of three samples and one of one
    unbiased = 1 / (1 - 2 * part + sum(part**2))
    squares = sum(unbiased[c] * averaged[clusters == c].sum() ** 2 for c in range(14))
    worth = 1 / sum(part**2)
    deviation = np.sqrt(squares) / 40 * stats.t.ppf(0.975, worth - 1) / stats.t.ppf(0.975, 13)
    assert interval.low == pytest.approx(error.mean() - shifts[-50] * deviation)
    assert interval.high == pytest.approx(error.mean() - shifts[49] * deviation)
    assert not interval.over_seeds
    assert "only: 4 independent seeds of the 5" in interval.method


def test_p_value_and_interval_agree():
    generator = np.random.default_rng(2)
    for shift in np.linspace(-0.6, 0.6, 41):
        control = generator.exponential(size=(5, 60)) + 1.0
        interval = intervals.difference_interval(control + shift * generator.random((5, 60)), control, "mae")
        assert (interval.p_value <= 0.05 + 1e-12) == (interval.low > 0 or interval.high < 0)


def test_the_verdict_is_better_for_a_smaller_error_and_none_over_samples_alone():
    generator = np.random.default_rng(3)
    control = generator.exponential(size=(5, 60)) + 1.0
    better = intervals.difference_interval(control - 0.5 * generator.random((5, 60)), control, "mae")
    worse = intervals.difference_interval(control + 0.5 * generator.random((5, 60)), control, "mae")
    few = intervals.difference_interval(control[:4] - 0.5 * generator.random((4, 60)), control[:4], "mae")
    assert intervals.verdict(better) == "better"
    assert intervals.verdict(worse) == "worse"
    assert intervals.verdict(dataclasses.replace(better, p_value=0.2)) == "not distinguishable"
    assert few.high < 0
    assert intervals.verdict(few) == "not distinguishable"


def test_the_same_predictions_are_not_distinguishable():
    error = np.random.default_rng(4).exponential(size=(5, 60))
    interval = intervals.difference_interval(error, error.copy(), "gm", parents=[0, 1, 2, 3, 4])
    assert (interval.estimate, interval.low, interval.high, interval.p_value) == (0, 0, 0, 1)
    assert intervals.verdict(interval) == "not distinguishable"


def test_one_sample_or_one_subject_gives_no_interval():
    interval = intervals.difference_interval(np.ones((5, 3)), np.zeros((5, 3)), "mae", clusters=["a"] * 3)
    assert (interval.low, interval.high, interval.p_value) == (-np.inf, np.inf, 1)
    assert intervals.error_interval(np.ones((5, 1)), "mae").method == "no interval: one independent sample"


def test_a_sample_that_differs_alone_decides_nothing():
    control = np.ones((5, 12))
    error = control.copy()
    error[:, 0] = 0.5
    interval = intervals.difference_interval(error, control, "mae")
    assert intervals.verdict(interval) == "not distinguishable"


def test_intervals_follow_from_their_seed_alone():
    generator = np.random.default_rng(5)
    error = generator.exponential(size=30) + 0.1 * generator.exponential(size=(5, 30))
    first = intervals.error_interval(error, "mae", seed=1)
    spread._counts.cache_clear()
    assert intervals.error_interval(error, "mae", seed=1) == first
    assert intervals.error_interval(error, "mae", seed=2) != first


def test_holm_multiplies_the_smallest_p_value_by_the_number_of_comparisons():
    assert intervals.holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert intervals.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert intervals.holm([]).shape == (0,)
    with pytest.raises(ValueError, match="0 to 1"):
        intervals.holm([0.2, float("nan")])


def test_seeds_needed_is_the_first_number_whose_t_interval_excludes_zero():
    control = np.ones((3, 20))
    error = control + np.array([[0.0], [1.0], [2.0]])  # a difference of 1, a spread over seeds of 1
    needed = intervals.seeds_needed(error, control, "mae")
    expected = next(n for n in range(5, 100) if stats.t.ppf(0.975, n - 1) / np.sqrt(n) < 1)
    assert (needed.seeds, needed.limit) == (expected, 0.0)
    assert needed.seeds_for_80 > expected


def test_seeds_alone_cannot_tell_what_the_samples_leave_open():
    sample = np.random.default_rng(6).normal(size=(1, 50))
    control = np.full((5, 50), 10.0)
    error = control + sample - sample.mean() + 0.05  # every seed alike: 0.05 over samples that spread by 1
    needed = intervals.seeds_needed(error, control, "mae")
    assert (needed.seeds, needed.seeds_for_80) == (None, None)
    assert needed.limit == pytest.approx(stats.t.ppf(0.975, 49) * sample.std(ddof=1) / np.sqrt(50))
    assert needed.limit_for_80 == pytest.approx(needed.limit + 0.841621 * sample.std(ddof=1) / np.sqrt(50))
    assert needed.words.startswith("cannot by seeds alone")


@pytest.mark.parametrize(
    ("error", "groups", "message"),
    [
        (np.ones((5, 0)), {}, "empty"),
        (np.ones(5), {}, r"shape \(5,\)"),
        (np.array([[1.0, np.nan]]), {}, r"error\[0, 1\] .* is nan"),
        (np.ones((2, 3)), {"clusters": [1, 2]}, "clusters has shape"),
        (np.ones((2, 3)), {"parents": [1, 2, 3]}, "parents has shape"),
        (np.ones((2, 3)), {"clusters": [1.0, 2.0, np.nan]}, "clusters holds NaN"),
    ],
)
def test_what_has_no_interval_is_refused(error, groups, message):
    with pytest.raises(ValueError, match=message):
        intervals.error_interval(error, "mae", **groups)


def test_a_difference_of_other_samples_and_one_seed_for_a_plan_are_refused():
    with pytest.raises(ValueError, match="same seeds and samples"):
        intervals.difference_interval(np.ones((5, 3)), np.ones((5, 4)), "mae")
    with pytest.raises(ValueError, match="train a second one"):
        intervals.seeds_needed(np.ones((1, 3)), np.ones((1, 3)), "mae")
