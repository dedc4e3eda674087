import math

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
