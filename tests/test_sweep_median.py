import math
import time
from statistics import median

import numpy as np
import pytest

from dirsweep.sweep.median import Median


def stops(rule: Median, trial: str, epoch: int, value: float, of: int = 8) -> bool:
    return rule.stops(trial, epoch, of, {"val/all/mae": value})


def rule(startup: int = 2, warmup: float = 0.0) -> Median:
    return Median("val/all/mae", startup, warmup)


def test_a_trial_above_the_median_of_the_others_ends_and_one_at_it_goes_on():
    met = rule()
    assert not stops(met, "0", 2, 4.0)
    assert not stops(met, "1", 2, 6.0)
    assert not stops(met, "2", 2, 5.0)  # the median of 4 and 6
    assert stops(met, "3", 2, 5.1)  # that of 4, 5 and 6 is 5


def test_what_counts_is_the_best_value_so_far():
    met = rule(startup=1)
    stops(met, "0", 1, 3.0)
    stops(met, "0", 2, 9.0)
    assert not stops(met, "1", 1, 2.0)
    assert not stops(met, "1", 2, 8.0)  # its best is 2, the other's 3
    assert stops(met, "2", 2, 3.5)


def test_trials_are_compared_at_the_same_share_of_their_own_epochs():
    met = rule(startup=1)
    for epoch, value in ((1, 9.0), (2, 8.0), (3, 1.0), (4, 1.0)):
        stops(met, "0", epoch, value, of=4)
    assert not stops(met, "1", 4, 8.0, of=8)  # half: the other had 8 then
    assert stops(met, "1", 6, 7.0, of=8)  # three quarters: the other had 1


def test_others_that_have_not_come_as_far_do_not_count():
    met = rule(startup=2)
    for trial, epochs in (("0", (2, 4)), ("1", (2,))):
        for epoch in epochs:
            stops(met, trial, epoch, 1.0)
    assert not stops(met, "2", 3, 9.0)  # only one of them came to 3 of 8
    assert stops(met, "3", 2, 9.0)


def test_an_other_that_first_reports_later_does_not_count():
    met = rule(startup=1)
    stops(met, "0", 4, 1.0)
    assert not stops(met, "1", 2, 9.0)


def test_no_trial_ends_before_the_warmup_or_at_its_last_epoch():
    met = rule(startup=1, warmup=0.5)
    for epoch in (2, 4, 8):
        stops(met, "0", epoch, 1.0)
    assert not stops(met, "1", 3, 9.0)
    assert stops(met, "1", 4, 9.0)
    assert not stops(met, "2", 8, 9.0)


def test_nan_and_a_missing_metric_are_passed_over():
    met = rule(startup=1)
    stops(met, "0", 1, 1.0)
    assert not stops(met, "1", 1, math.nan)
    assert not met.stops("1", 1, 8, {})
    assert set(met.met) == {"0"}


def test_replaying_the_reports_reproduces_every_decision():
    reports = [("0", 2, 5.0), ("1", 2, 4.0), ("2", 2, 4.6), ("0", 4, 3.0), ("1", 4, 3.5), ("3", 2, 4.9)]
    first, again = rule(), rule()
    assert [stops(first, *report) for report in reports] == [stops(again, *report) for report in reports]
    assert first == again


def plain_stops(met: dict[str, list[tuple[float, float]]], trial: str, share: float, value: float) -> bool:
    """What the rule says of a report, from all reports so far: (share, value) by trial."""
    met.setdefault(trial, []).append((share, value))
    own = min(value for _, value in met[trial])
    others = []
    for other, reports in met.items():
        before = [value for reached, value in reports if reached <= share]
        if other != trial and before and reports[-1][0] >= share:
            others.append(min(before))
    return len(others) >= 3 and own > median(others)


@pytest.mark.parametrize("kept", [2, 500])
def test_it_decides_as_looking_at_every_report_would(monkeypatch: pytest.MonkeyPatch, kept: int):
    monkeypatch.setattr("dirsweep.sweep.median.KEPT", kept)
    rng = np.random.default_rng(0)
    of = {str(trial): int(rng.choice([4, 6, 7, 8])) for trial in range(60)}
    at, met, tried = rule(startup=3), dict[str, list[tuple[float, float]]](), list[bool]()
    done = dict.fromkeys(of, 0)
    while left := [trial for trial in of if done[trial] < of[trial] - 1]:
        trial = str(rng.choice(left[:9]))
        done[trial] += int(rng.integers(1, of[trial] - done[trial]))  # a NaN leaves epochs out
        value = float(rng.integers(20))
        wanted = plain_stops(met, trial, done[trial] / of[trial], value)
        assert stops(at, trial, done[trial], value, of[trial]) == wanted
        tried.append(wanted)
    assert 30 < sum(tried) < len(tried) - 30


def test_a_decision_among_thousands_costs_no_look_at_each():
    met, begun = rule(), time.process_time()
    for trial in range(4000):
        for epoch in range(1, 8):
            stops(met, str(trial), epoch, float(trial * 7919 % 4001))
    assert time.process_time() - begun < 2.0  # 28,000 reports
