"""A balanced split: val and test hold equally many rows of each bin, as far as there are any.

Rows of one group (a subject, a stone listed twice) stay on one side. So balanced, an error on val
weighs the rare labels as much as the common ones, which the training split leaves rare.
"""

import numpy as np
from numpy.typing import NDArray

from dirsweep.shots import Ints

TRAIN, VAL, TEST = "train", "val", "test"


def balanced_split(bin: Ints, group: Ints, at_most: int, rng: np.random.Generator) -> NDArray[np.str_]:
    """Put each row on a side: of a bin with n rows, min(at_most, n // 3) go to val and as many to test.

    A group counts in every bin where it has rows. Bins are filled from the rarest on; in a bin the groups
    come up in random order, and each goes whole to the side that has fewer rows of this bin (val where
    they have equally many), if that takes neither this nor any other bin over its quota; else to the
    other side; else it stays in train. So the quotas are never exceeded. They are met where
    groups have one row. With larger groups they are approximate: bins may get fewer rows, and val
    and test lean to small groups, since a group larger than the quota can only be in train.

    Args:
        bin: (N,) bin number of each row.
        group: (N,) rows with the same number stay together.
        at_most: most rows of a bin that val gets, and test.
        rng: decides which rows; the same state gives the same split.

    Returns:
        (N,) "train", "val" or "test".
    """
    counts = np.bincount(bin)
    quota = np.minimum(at_most, counts // 3)  # (K,)
    room = {VAL: quota.copy(), TEST: quota.copy()}  # (K,) rows that a side may still take

    _, group = np.unique(group, return_inverse=True)
    rank = rng.permutation(group.max() + 1)
    # one entry for each pair of a group and a bin where it has rows
    pair, rows = np.unique(group * len(counts) + bin, return_counts=True)
    pair_group, pair_bin = np.divmod(pair, len(counts))
    first = np.searchsorted(pair_group, np.arange(len(rank) + 1))  # a group's entries start here
    in_random_order = np.argsort(rank[pair_group], kind="stable")
    by_bin = in_random_order[np.argsort(pair_bin[in_random_order], kind="stable")]
    start = np.searchsorted(pair_bin[by_bin], np.arange(len(counts) + 1))

    side_of_group = np.full(len(rank), TRAIN, dtype="<U5")
    for b in np.argsort(counts, kind="stable"):
        for entry in by_bin[start[b] : start[b + 1]]:
            if not room[VAL][b] and not room[TEST][b]:
                break
            g = pair_group[entry]
            if side_of_group[g] != TRAIN:
                continue
            own = slice(first[g], first[g + 1])
            sides = (VAL, TEST) if room[VAL][b] >= room[TEST][b] else (TEST, VAL)
            for side in sides:
                if (rows[own] <= room[side][pair_bin[own]]).all():
                    room[side][pair_bin[own]] -= rows[own]
                    side_of_group[g] = side
                    break
    return side_of_group[group]
