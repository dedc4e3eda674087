"""Any table with a numeric target: a CSV file, its columns and its split as `config.Csv` says.

Columns that hold text are categories, the others numbers. The split comes from a column of the table or is
cut here, balanced over the bins.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.config import Csv
from dirsweep.data.dataset import Dataset, Source, assemble
from dirsweep.data.split import TEST, TRAIN, VAL, balanced_split
from dirsweep.data.table import check_column, holds_text, listed, numbers, read_bytes, read_table, where
from dirsweep.shots import Bins, Floats, Ints, cut_bins


def load(config: Csv) -> Dataset:
    """The dataset that `config` describes.

    Raises:
        ValueError: something is wrong with the file or does not fit it; names file, column and row.
    """
    path = Path(config.path)
    content = read_bytes(path)
    table = read_table(path, content)
    try:
        check_roles(table, config)
        label = read_label(table, config.target)
        bins = _bins(config, label)
        source = _source(config, table, label, bins, hashlib.sha256(content).hexdigest())
        return assemble(source, bins, config.many_above, config.few_below)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


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


def check_roles(table: pd.DataFrame, config: Csv) -> None:
    """ValueError if a column that `config` names is not there, or has two roles (one would do nothing)."""
    roles: dict[str, str] = {}
    named = [(role, getattr(config, role)) for role in ("target", "split_column", "group_column")]
    named += [(role, name) for role in ("ignore", "categorical") for name in getattr(config, role)]
    for role, name in named:
        if name is None:
            continue
        check_column(table, name, role)
        if name in roles:
            raise ValueError(f"column {name!r} is named as {roles[name]} and as {role}; it can only be one")
        roles[name] = role


def _bins(config: Csv, label: Floats) -> Bins:
    bins = cut_bins(config.bins, label)
    outside = bins.outside(label)
    if outside.any():
        raise ValueError(
            f"the target {config.target!r} lies outside the edges {bins.edges[0]:g} to {bins.edges[-1]:g} in "
            f"{where(outside)}: {label[outside][0]:g}; widen `bins.edges` or remove such rows"
        )
    return bins


def _source(config: Csv, table: pd.DataFrame, label: Floats, bins: Bins, checksum: str) -> Source:
    no_input = {config.target, config.split_column, config.group_column, *config.ignore}
    inputs = table[[name for name in table.columns if name not in no_input]]
    if config.split_column is not None:
        side = _given_split(table[config.split_column], config.split_column)
    else:
        side = _cut_split(config, table, bins.index(label))
    return Source(
        name=Path(config.path).stem,
        target=config.target,
        inputs=inputs,
        label=label,
        side=side,
        categorical={name for name in inputs if name in config.categorical or holds_text(inputs[name])},
        identity=_identity(config, checksum),
    )


def _identity(config: Csv, checksum: str) -> dict[str, Any]:
    """What decides the data: not where the file lies, nor in which order columns are named."""
    parts = config.model_dump(mode="json", exclude={"path"})
    lists = {"categorical": sorted(config.categorical), "ignore": sorted(config.ignore)}
    return {**parts, **lists, "source": checksum}


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


def _cut_split(config: Csv, table: pd.DataFrame, bin: Ints) -> NDArray[np.str_]:
    rng = np.random.default_rng(config.split_seed)
    side = balanced_split(bin, _groups(config, table), config.held_out_per_bin, rng)
    if not (side == VAL).any():
        reason = (
            "no bin has 3 rows, and it takes 3 to give one to val; choose wider bins or add rows"
            if np.bincount(bin).max() < 3
            else f"every group of {config.group_column!r} has more rows of some bin than val may take of it "
            f"(held_out_per_bin is {config.held_out_per_bin}, and at most a third of the bin); choose wider "
            "bins, raise held_out_per_bin or name a split_column"
        )
        raise ValueError(f"the val split is empty: {reason}")
    return side


def _groups(config: Csv, table: pd.DataFrame) -> Ints:
    if config.group_column is None:
        return np.arange(len(table))
    column = table[config.group_column]
    missing = column.isna().to_numpy()
    if missing.any():
        raise ValueError(f"group_column {config.group_column!r} is empty in {where(missing)}; fill it in")
    return pd.factorize(column)[0].astype(np.int64)
