import math

import numpy as np

from dirsweep.sweep.rungs import Rungs


def rungs() -> Rungs:
    return Rungs("val/all/mae", at=(0.25, 0.5), reduction=2)


def stops(rungs: Rungs, trial: str, epoch: int, value: float, of: int = 8) -> bool:
    return rungs.stops(trial, epoch, of, {"val/all/mae": value})


def test_the_first_trial_at_a_rung_goes_on():
    assert not stops(rungs(), "0", 2, 5.0)


def test_of_two_trials_at_a_rung_the_worse_one_ends():
    met = rungs()
    assert not stops(met, "0", 2, 5.0)
    assert stops(met, "1", 2, 6.0)


def test_of_two_trials_at_a_rung_the_better_one_goes_on():
    met = rungs()
    assert not stops(met, "0", 2, 5.0)
    assert not stops(met, "1", 2, 4.0)


def test_one_in_reduction_goes_on():
    met = Rungs("val/all/mae", at=(0.5,), reduction=4)
    ended = [stops(met, str(trial), 4, value) for trial, value in enumerate([8.0, 7.0, 6.0, 5.0, 5.5])]
    # 8, 7, 6, 5 each come as the best so far; 5.5 has one better of five, and 1 < 5 / 4
    assert ended == [False, False, False, False, False]
    assert stops(met, "5", 4, 5.7)  # two better of six: 2 >= 6 / 4


def test_a_trial_meets_a_rung_once():
    met = rungs()
    stops(met, "0", 2, 5.0)
    assert stops(met, "1", 2, 6.0)
    assert not stops(met, "1", 3, 6.0)


def test_the_last_epoch_meets_no_rung():
    met = rungs()
    stops(met, "0", 2, 5.0, of=3)
    assert not stops(met, "1", 1, 9.0, of=1)
    assert not stops(met, "2", 3, 9.0, of=3)


def test_nan_and_a_missing_metric_reach_no_rung():
    met = rungs()
    assert not stops(met, "0", 2, math.nan)
    assert not met.stops("0", 3, 8, {})
    assert not stops(met, "1", 2, 5.0)
    assert stops(met, "0", 3, 6.0)  # its first finite value past the rung


def test_replaying_the_reports_reproduces_every_decision():
    reports = [("0", 2, 5.0), ("1", 2, 4.0), ("2", 2, 4.5), ("0", 4, 3.0), ("1", 4, 3.5), ("3", 2, 4.9)]
    first, again = rungs(), rungs()
    assert [stops(first, *report) for report in reports] == [stops(again, *report) for report in reports]
    assert first == again


def test_it_decides_as_counting_every_better_one_would():
    rng = np.random.default_rng(0)
    met, shown, decided = Rungs("val/all/mae", at=(0.5,), reduction=3), list[float](), list[bool]()
    for trial in range(200):
        shown.append(float(rng.integers(40)))
        better = sum(value < shown[-1] for value in shown)
        wanted = better >= max(1, len(shown) / 3)
        assert stops(met, str(trial), 4, shown[-1]) == wanted
        decided.append(wanted)
    assert 40 < sum(decided) < 160
