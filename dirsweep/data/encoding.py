"""Turn the rows of a table into inputs: numbers standardised, categories one-hot.

Means, deviations and levels come from the training rows alone. The encoding is kept with a trial,
so that a finished trial can predict for new rows of the same table.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.data.table import check_column, listed, numbers, where
from dirsweep.shots import Floats

MOST_LEVELS = 1000
LARGEST = 1e150  # a square fits; some programs write 1.8e308 for a missing value

Inputs = NDArray[np.float32]


@dataclass(frozen=True)
class Numeric:
    """A column of numbers: (value - mean) / std, and 0 everywhere if training had one value only (std 0).

    A missing value counts as the mean. If some in training were, `indicator` adds an input that is 1 there.
    """

    column: str
    mean: float
    std: float
    indicator: bool

    @property
    def names(self) -> list[str]:
        """Names of its inputs."""
        return [self.column, f"{self.column} is missing"] if self.indicator else [self.column]

    def encode(self, column: pd.Series) -> Inputs:
        """(N, 1 or 2) inputs. ValueError for text, infinite values, and those too far off for float32."""
        value = _finite(column, self.column)
        missing = np.isnan(value)
        scaled = (np.where(missing, self.mean, value) - self.mean) / self.std if self.std else 0.0 * missing
        beyond = np.abs(scaled) > np.finfo(np.float32).max
        if beyond.any():
            raise ValueError(
                f"column {self.column!r} holds absurdly large values in {where(beyond, column)}, while "
                f"training has {self.mean:g} with deviation {self.std:g}; correct or empty such cells"
            )
        parts = [scaled, missing] if self.indicator else [scaled]
        return np.stack(parts, axis=1).astype(np.float32)


@dataclass(frozen=True)
class Categorical:
    """A column of categories, one-hot; a level that training did not have is 0 in all inputs.

    levels: sorted, and None last if training had missing values: they are a level of their own.
    """

    column: str
    levels: tuple[str | None, ...]

    @property
    def names(self) -> list[str]:
        """Names of its inputs."""
        return [
            f"{self.column} is missing" if level is None else f"{self.column}={level}"
            for level in self.levels
        ]

    def encode(self, column: pd.Series) -> Inputs:
        """(N, number of levels) inputs."""
        known = pd.Index([level for level in self.levels if level is not None], dtype="str")
        level = known.get_indexer(column.astype("str"))  # (N,) -1: unknown or missing
        if None in self.levels:
            level = np.where(column.isna(), len(known), level)
        row = np.flatnonzero(level >= 0)
        inputs = np.zeros((len(column), len(self.levels)), dtype=np.float32)
        inputs[row, level[row]] = 1.0
        return inputs


@dataclass(frozen=True)
class TableEncoding:
    """The encoding of each input column, in the order of the table that it was fitted on."""

    columns: tuple[Numeric | Categorical, ...]

    @staticmethod
    def fit(training: pd.DataFrame, categorical: Collection[str]) -> "TableEncoding":
        """Fit on the training rows; columns named in `categorical` are one-hot, the others numbers.

        Raises:
            ValueError: no column, or none that varies; text or an infinite value among numbers; more than
                1000 levels of a category.
        """
        if len(training.columns) == 0:
            raise ValueError("there is no input column besides the target; take one out of `ignore`")
        columns = tuple(
            _fit_categorical(training[name], name)
            if name in categorical
            else _fit_numeric(training[name], name)
            for name in training.columns
        )
        if not any(_varies(column) for column in columns):
            names = listed(column.column for column in columns)
            raise ValueError(f"no input column varies in the training split (columns: {names})")
        return TableEncoding(columns)

    @property
    def names(self) -> list[str]:
        """The D names of the inputs: "carat", "cut=Ideal", "depth is missing"."""
        return [name for column in self.columns for name in column.names]

    @property
    def summary(self) -> str:
        """What predictions rest on, for people: the first dozen columns, and how many inputs all make."""
        columns = [column.column for column in self.columns]
        more = f" and {len(columns) - 12} more" if len(columns) > 12 else ""
        inputs = f"{len(self.names)} input{'' if len(self.names) == 1 else 's'}"
        return f"{', '.join(columns[:12])}{more} ({inputs} once encoded)"

    def encode(self, table: pd.DataFrame) -> Inputs:
        """(N, D) inputs of N rows; columns that are no input are passed over.

        Raises:
            ValueError: a column is missing, or holds text or infinite values where numbers are expected.
        """
        for column in self.columns:
            check_column(table, column.column, "an input")
        return np.concatenate([column.encode(table[column.column]) for column in self.columns], axis=1)

    def to_json(self) -> dict[str, Any]:
        """A tree of plain JSON values; `from_json` reads it."""
        return {"columns": [_to_json(column) for column in self.columns]}

    @staticmethod
    def from_json(tree: dict[str, Any]) -> "TableEncoding":
        """The encoding that `to_json` wrote."""
        return TableEncoding(tuple(_from_json(column) for column in tree["columns"]))


def _fit_numeric(column: pd.Series, name: str) -> Numeric:
    value = _finite(column, name)
    missing = np.isnan(value)
    known = value[~missing]
    if len(known) == 0:
        return Numeric(name, 0.0, 0.0, indicator=False)  # no number to learn from, and nothing that varies
    # compared, not computed: the deviation of a constant 0.1 is 1e-17, and would blow rounding up to 1
    std = 0.0 if known.min() == known.max() else float(known.std())
    return Numeric(name, float(known.mean()), std, bool(missing.any()))


def _fit_categorical(column: pd.Series, name: str) -> Categorical:
    levels = sorted(column.dropna().astype("str").unique())
    if len(levels) > MOST_LEVELS:
        raise ValueError(
            f"column {name!r} has {len(levels)} different values in {len(column)} training rows, at most "
            f"{MOST_LEVELS} are one-hot encoded; {_what_to_do(column)}"
        )
    return Categorical(name, (*levels, None) if column.isna().any() else tuple(levels))


def _what_to_do(column: pd.Series) -> str:
    text = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    if 0 < text.sum() < len(column) / 2:
        return f"most are numbers, but {int(text.sum())} rows hold text, such as {column[text].iloc[0]!r}"
    return "if it names rows, add it to `ignore`"


def _finite(column: pd.Series, name: str) -> Floats:
    value = numbers(column, name)
    infinite = np.abs(value) > LARGEST
    if infinite.any():
        raise ValueError(
            f"column {name!r} holds infinite or absurdly large values in {where(infinite, column)}; "
            "leave such cells empty"
        )
    return value


def _varies(column: Numeric | Categorical) -> bool:
    return column.std > 0 or column.indicator if isinstance(column, Numeric) else len(column.levels) > 1


def _to_json(column: Numeric | Categorical) -> dict[str, Any]:
    if isinstance(column, Categorical):
        return {"kind": "categorical", "column": column.column, "levels": list(column.levels)}
    return {
        "kind": "numeric",
        "column": column.column,
        "mean": column.mean,
        "std": column.std,
        "indicator": column.indicator,
    }


def _from_json(tree: dict[str, Any]) -> Numeric | Categorical:
    if tree["kind"] == "categorical":
        return Categorical(tree["column"], tuple(tree["levels"]))
    return Numeric(tree["column"], tree["mean"], tree["std"], tree["indicator"])
