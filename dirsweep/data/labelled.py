"""What a table of samples says of each: label, bin, side and group; `csv` and `images` read it here.

The split comes from a column of the table or is cut here, balanced over the bins. As long as test is sealed,
a test row stands there as a copy of a training row: with a split column nothing of it is ever parsed, and
to cut a split takes its label, and whether it is listed twice.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.config import PLACES, Labelled
from dirsweep.data.split import TEST, TRAIN, VAL, balanced_split
from dirsweep.data.table import check_column, listed, numbers, read_bytes, read_table, where
from dirsweep.shots import Bins, Floats, Ints, cut_bins

ROLES = ("target", "split_column", "group_column", "image_column")
LISTS = ("ignore", "categorical", "numbers")
"""Keys of a dataset that name a column, or several."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The N rows of a table.

    table: all columns, as text.
    label: (N,) in label units.
    bins: over the labels.
    side: (N,) "train", "val" or "test".
    group: (N,) as in a `Split`.
    checksum: sha256 of the file.
    """

    table: pd.DataFrame
    label: Floats
    bins: Bins
    side: NDArray[np.str_]
    group: Ints
    checksum: str


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Let messages name the file."""
    try:
        yield
    except ValueError as error:
        said, named = str(error), (f"{Path(path)}: ", f"{Path(path)}, ")
        raise ValueError(said if said.startswith(named) else f"{Path(path)}: {said}") from None


def read_samples(config: Labelled, *, sealed: bool) -> Samples:
    """Read the table of `config`. ValueError says what is wrong in which column and row."""
    path = Path(config.path)
    content = read_bytes(path)
    table = read_table(path, content)
    check_roles(table, config)
    given = (
        None if config.split_column is None else _given_split(table[config.split_column], config.split_column)
    )
    if given is not None:
        _refuse_twice(table.drop(columns=config.split_column), given)
        _refuse_groups(config, table, given)
    group = _groups(config, table)
    if given is not None and sealed:
        table = table.iloc[shown_rows(given)].reset_index(drop=True)
    label = read_label(table, config.target)
    bins = _bins(config, label)
    side = _cut_split(config, group, bins.index(label)) if given is None else given
    if given is None and sealed:
        shown = shown_rows(side)
        table, label = table.iloc[shown].reset_index(drop=True), label[shown]
    return Samples(table, label, bins, side, group, hashlib.sha256(content).hexdigest())


def identity(config: Labelled, samples: Samples) -> dict[str, Any]:
    """What decides the data: not where files lie, nor in which order columns are named."""
    parts = config.model_dump(mode="json", exclude=set(PLACES))
    lists: dict[str, Any] = {name: sorted(parts[name]) for name in ("categorical", "ignore") if name in parts}
    return {**parts, **lists, "source": samples.checksum}


def shown_rows(side: NDArray[np.str_]) -> Ints:
    """(N,) which row is read in the place of each: for a test row the first training row."""
    return np.where(side == TEST, int(np.argmax(side == TRAIN)), np.arange(len(side)))


def _refuse_twice(table: pd.DataFrame, side: NDArray[np.str_]) -> None:
    """ValueError that names two rows, alike in every column, which a given split puts on two sides.

    Test rows are compared as text, like all others, and none of it is shown: found out only when test is
    opened, it would come too late.
    """
    apart = _on_two_sides(_alike(table), side)
    if apart is not None:
        first, second, count = apart
        raise ValueError(
            f"rows {first + 1} ({side[first]}) and {second + 1} ({side[second]}) are the same sample on two "
            f"sides, and {count - 1} more are; remove one of each, or add a column that tells "
            "them apart and `ignore` it"
        )


def _refuse_groups(config: Labelled, table: pd.DataFrame, side: NDArray[np.str_]) -> None:
    """ValueError that names a group which a given split puts on two sides."""
    apart = None if config.group_column is None else _on_two_sides(_groups(config, table), side)
    if apart is not None:
        first, second, count = apart
        raise ValueError(
            f"rows {first + 1} ({side[first]}) and {second + 1} ({side[second]}) are of one group of "
            f"{config.group_column!r} on two sides, and {count - 1} more are; correct the split column, or "
            "take group_column out if the split is meant so"
        )


def _on_two_sides(number: Ints, side: NDArray[np.str_]) -> tuple[int, int, int] | None:
    """The first two rows of one number that stand on two sides, and how many such pairs there are."""
    order = np.argsort(number, kind="stable")
    apart = (np.diff(number[order]) == 0) & (side[order[1:]] != side[order[:-1]])
    if not apart.any():
        return None
    first, second = sorted(order[np.argmax(apart) + np.array([0, 1])].tolist())
    return first, second, int(apart.sum())


def _alike(table: pd.DataFrame) -> Ints:
    """(N,) rows that are the same text in every column have the same number; numbers as they first come."""
    return pd.factorize(pd.util.hash_pandas_object(table, index=False))[0].astype(np.int64)


def read_label(table: pd.DataFrame, target: str) -> Floats:
    """(N,) the labels in column `target`. ValueError if it is missing or not all finite numbers."""
    check_column(table, target, "target")
    try:
        label = numbers(table[target], target)
    except ValueError as error:
        raise ValueError(f"{error}; a target must be a number in every row") from None
    for mask, what in ((np.isnan(label), "is missing (empty or NaN)"), (np.isinf(label), "is infinite")):
        if mask.any():
            raise ValueError(f"the target {target!r} {what} in {where(mask)}; correct or remove such rows")
    return label


def check_roles(table: pd.DataFrame, config: Labelled) -> None:
    """ValueError if a column that `config` names is not there, or has two roles (one would do nothing)."""
    roles: dict[str, str] = {}
    named = [(role, getattr(config, role, None)) for role in ROLES]
    named += [(role, name) for role in LISTS for name in getattr(config, role, ())]
    for role, name in named:
        if name is None:
            continue
        check_column(table, name, role)
        if name in roles:
            raise ValueError(f"column {name!r} is named as {roles[name]} and as {role}; it can only be one")
        roles[name] = role


def _bins(config: Labelled, label: Floats) -> Bins:
    bins = cut_bins(config.bins, label)
    outside = bins.outside(label)
    if outside.any():
        raise ValueError(
            f"the target {config.target!r} lies outside the edges {bins.edges[0]:g} to {bins.edges[-1]:g} in "
            f"{where(outside)}: {label[outside][0]:g}; widen `bins.edges` or remove such rows"
        )
    return bins


def _given_split(column: pd.Series, name: str) -> NDArray[np.str_]:
    other = ~column.isin([TRAIN, VAL, TEST]).to_numpy(dtype=bool)
    if other.any():
        raise ValueError(
            f"split_column {name!r} must say train, val or test, but says something else in "
            f"{where(other, column)} (its values: {listed(map(str, column.unique()))}); rename them"
        )
    side = column.to_numpy(dtype="<U5")
    for split in (TRAIN, VAL):
        if not (side == split).any():
            raise ValueError(f"the {split} split is empty: split_column {name!r} says {split!r} in no row")
    return side


def _cut_split(config: Labelled, group: Ints, bin: Ints) -> NDArray[np.str_]:
    rng = np.random.default_rng(config.split_seed)
    side = balanced_split(bin, group, config.held_out_per_bin, rng)
    if not (side == VAL).any():
        together = (
            "row with its copies" if config.group_column is None else f"group of {config.group_column!r}"
        )
        reason = (
            "no bin has 3 rows, and it takes 3 to give one to val; choose wider bins or add rows"
            if np.bincount(bin).max() < 3
            else f"every {together} has more rows of some bin than val may take of it "
            f"(held_out_per_bin is {config.held_out_per_bin}, and at most a third of the bin); choose wider "
            "bins, raise held_out_per_bin or name a split_column"
        )
        raise ValueError(f"the val split is empty: {reason}")
    return side


def _groups(config: Labelled, table: pd.DataFrame) -> Ints:
    """(N,) rows of one number stay together: those of a group; without one, rows that are listed twice."""
    if config.group_column is None:
        inputs = table.drop(columns=list(getattr(config, "ignore", ())))
        return np.arange(len(table)) if list(inputs.columns) == [config.target] else _alike(inputs)
    column = table[config.group_column]
    missing = column.isna().to_numpy()
    if missing.any():
        raise ValueError(f"group_column {config.group_column!r} is empty in {where(missing)}; fill it in")
    return pd.factorize(column)[0].astype(np.int64)
