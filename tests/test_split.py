"""The balanced split: quotas, groups, seeds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dirsweep.data.split import TEST, TRAIN, VAL, balanced_split


def cut(bin, group=None, at_most=30, seed=0):
    group = np.arange(len(bin)) if group is None else np.array(group)
    return balanced_split(np.array(bin), group, at_most, np.random.default_rng(seed))


def test_each_bin_gives_a_third_and_at_most_the_quota_to_val_and_to_test():
    bin = np.repeat([0, 1, 2, 3], [2, 3, 10, 200])
    side = cut(bin)
    for held_out in (VAL, TEST):
        assert np.bincount(bin[side == held_out], minlength=4).tolist() == [0, 1, 3, 30]


def test_the_same_seed_cuts_the_same_split_and_another_a_different_one():
    bin = np.repeat([0, 1], [50, 50])
    assert (cut(bin, seed=1) == cut(bin, seed=1)).all()
    assert (cut(bin, seed=1) != cut(bin, seed=2)).any()


def test_a_group_larger_than_the_quota_stays_in_train():
    # nine rows: the quota is 3, the group of five cannot be held out
    side = cut([0] * 9, group=[0, 0, 0, 0, 0, 1, 2, 3, 4])
    assert (side[:5] == TRAIN).all()
    assert sorted(side[5:]) == [TEST, TEST, VAL, VAL]


def test_a_group_counts_in_every_bin_where_it_has_rows():
    # subject 0 has two rows in bin 1, whose quota is 1: it can't be held out, though bin 0 has room for it
    bin, group = [0, 1, 1, 0, 0, 1], [0, 0, 0, 1, 2, 3]
    for seed in range(10):
        side = cut(bin, group, seed=seed)
        assert (side[:3] == TRAIN).all()
        assert sorted(side[3:5]) == [TEST, VAL]


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), min_size=1, max_size=120),
    at_most=st.integers(1, 10),
    seed=st.integers(0, 3),
)
def test_no_group_is_on_two_sides_and_no_quota_is_exceeded(rows, at_most, seed):
    bin, group = map(np.array, zip(*rows, strict=True))
    side = cut(bin, group, at_most, seed)
    assert all(len(set(side[group == g])) == 1 for g in group)
    quota = np.minimum(at_most, np.bincount(bin) // 3)
    for held_out in (VAL, TEST):
        assert (np.bincount(bin[side == held_out], minlength=len(quota)) <= quota).all()


@given(bin=st.lists(st.integers(0, 5), min_size=1, max_size=200), at_most=st.integers(1, 10))
def test_without_groups_every_quota_is_met(bin, at_most):
    bin = np.array(bin)
    side = cut(bin, at_most=at_most)
    quota = np.minimum(at_most, np.bincount(bin) // 3)
    for held_out in (VAL, TEST):
        assert np.bincount(bin[side == held_out], minlength=len(quota)).tolist() == quota.tolist()


def test_pairs_come_to_val_and_test_as_often_as_to_train():
    # half of the rows are in pairs; of the held-out ones about half are, and val gets as many as test
    group = np.concatenate([np.repeat(np.arange(150), 2), np.arange(150, 450)])
    pairs = {VAL: 0, TEST: 0}
    for seed in range(20):
        side = cut([0] * 600, group, at_most=60, seed=seed)
        for held_out in pairs:
            pairs[held_out] += int((side[:300] == held_out).sum())
    assert 0.4 < pairs[VAL] / (20 * 60) < 0.6
    assert 0.4 < pairs[TEST] / (20 * 60) < 0.6
