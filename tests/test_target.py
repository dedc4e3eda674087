"""The unit of the target: there and back, and what is refused."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dirsweep.data import TargetUnit, target_unit


def test_standard_takes_mean_and_deviation_of_the_training_labels():
    unit = target_unit("standard", np.array([1.0, 3.0]))  # mean 2, deviation 1
    assert unit.to_model(np.array([2.0, 5.0])).tolist() == [0.0, 3.0]
    assert unit.to_label(np.array([0.0, 3.0])).tolist() == [2.0, 5.0]


def test_log_standardises_the_logs():
    unit = target_unit("log", np.exp([1.0, 3.0]))
    assert unit.to_model(np.exp([5.0])) == pytest.approx([3.0])
    assert unit.to_label(np.array([3.0])) == pytest.approx(np.exp([5.0]))


TRANSFORMS = ["standard", "log", "quantile"]


@given(st.lists(st.floats(0.01, 1e6), min_size=2, max_size=20), st.sampled_from(TRANSFORMS))
def test_labels_come_back(labels, transform):
    label = np.array(labels)
    if np.ptp(np.log(label)) < 1e-3:
        return
    unit = target_unit(transform, label)
    assert unit.to_label(unit.to_model(label)) == pytest.approx(label, rel=1e-6, abs=1e-6)


def test_float32_predictions_become_float64_labels():
    unit = target_unit("standard", np.array([1.0, 3.0]))
    assert unit.to_label(np.zeros(1, dtype=np.float32)).dtype == np.float64


def test_a_log_prediction_that_ran_away_is_infinite():
    assert target_unit("log", np.array([1.0, 3.0])).to_label(np.array([1e6])).tolist() == [np.inf]


def test_log_of_labels_that_are_not_positive_is_refused():
    with pytest.raises(ValueError, match=r"2 of 3 training labels are not \(smallest -1\).*standard"):
        target_unit("log", np.array([-1.0, 0.0, 2.0]))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_labels_that_are_all_equal_are_refused(transform):
    with pytest.raises(ValueError, match=r"all training labels are 0\.1"):
        target_unit(transform, np.full(10, 0.1))  # whose computed deviation is 1e-17, not 0


def test_the_quantile_map_takes_labels_to_the_normal_deviates_of_their_ranks():
    label = np.array([1.0, 2.0, 2.0, 10.0])  # middle ranks 0.5, 2, 3.5 of 4
    unit = target_unit("quantile", label)
    deviate = stats.norm.ppf([0.125, 0.5, 0.5, 0.875])
    expected = (deviate - deviate.mean()) / deviate.std()
    assert unit.to_model(label) == pytest.approx(expected)
    # half way between two labels is half way between their deviates; beyond the ends it goes straight on
    assert unit.to_model(np.array([6.0])) == pytest.approx([(expected[2] + expected[3]) / 2])
    assert unit.to_model(np.array([18.0])) == pytest.approx([expected[3] + (expected[3] - expected[2])])
    assert unit.to_label(unit.to_model(np.array([-3.0, 6.0, 50.0]))) == pytest.approx([-3.0, 6.0, 50.0])


def test_the_quantile_map_of_many_labels_has_a_thousand_knots():
    label = np.random.default_rng(0).exponential(size=5000)
    unit = target_unit("quantile", label)
    assert len(unit.knots[0]) == len(unit.knots[1]) == 1000
    value = unit.to_model(label)
    assert (np.sort(value) == unit.to_model(np.sort(label))).all()
    assert unit.to_label(value) == pytest.approx(label)
    assert abs(stats.skew(value)) < 0.05 < stats.skew(label)
    assert TargetUnit(**json.loads(json.dumps(asdict(unit)))).to_model(label) == pytest.approx(value)
