"""Look at a CSV file and propose how to read it: kinds of columns, and bins for the label.

`dirsweep init` writes what is found here into a dataset file, for a person to correct.
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.config import BinWidth
from dirsweep.data.encoding import MOST_LEVELS
from dirsweep.data.labelled import naming, read_label, shown_rows
from dirsweep.data.split import TEST, TRAIN, VAL
from dirsweep.data.table import holds_text, numbers, read_table, stray_text
from dirsweep.shots import Floats, Ints, cut_bins

WANTED_BINS = 75
FEWEST_BINS, ROWS_IN_A_BIN = 10, 30
NICE = (1.0, 2.0, 2.5, 5.0)

GROUPS = ("subject", "patient", "person", "participant", "identity", "family", "group")
"""What a column is called that says which rows belong together."""
NUMBERED = {"id", "no", "nr", "number", "code", "name", "key"}
"""What may follow it."""
FEWEST_GROUPS = 10
"""Fewer would leave val and test one or two."""

Kind = Literal["numeric", "categorical", "split", "group", "id-like", "constant"]


@dataclass(frozen=True)
class Column:
    """One column besides the target.

    kind: "id-like" (it names or counts rows) and "constant" ones are better ignored; "split" says train, val
        or test in every row; "group" says which rows belong together, by its name.
    distinct: number of different values, missing ones aside.
    missing: rows without a value.
    example: the first value, "" if there is none.
    stray: where it holds text although it holds numbers for the most part; "" where it does not.
    """

    name: str
    kind: Kind
    distinct: int
    missing: int
    example: str
    stray: str


def wanted_bins(rows: int) -> int:
    """How many bins suit so many rows: 75, and fewer where that leaves less than 30 rows to a bin."""
    return min(WANTED_BINS, max(FEWEST_BINS, rows // ROWS_IN_A_BIN))


def propose_held_out(label: Floats, bins: BinWidth) -> int:
    """Rows of a bin that val is to get, and test: a fifth of what a bin holds on average, from 3 to 30."""
    found = len(np.unique(cut_bins(bins, label).index(label)))
    return min(30, max(3, round(len(label) / found / 5)))


def propose_shots(counts: Ints) -> tuple[int, int]:
    """(many_above, few_below) for (K,) training counts of the bins.

    The field's 100 and 20 are 0.8 and 0.16 of the rows in a bin of AgeDB-DIR. Where bins hold fewer than 60
    rows on average, there would be hardly any many-shot bin: then 1.4 and 0.4 of what they hold.
    """
    average = float(counts.sum() / max(1, (counts > 0).sum()))
    return (100, 20) if average >= 60 else (max(3, round(1.4 * average)), max(2, round(0.4 * average)))


def propose_bins(label: Floats, wanted: int = WANTED_BINS) -> BinWidth:
    """Bins of a round width (1, 2, 2.5 or 5 times a power of ten), near to `wanted` over the (N,) labels.

    For 75 that makes 50 to 106 bins. Whole labels get a whole width, so that each bin takes in equally many
    of them; over a short range that makes fewer bins.

    Raises:
        ValueError: all labels are equal.
    """
    reach = float(label.max() - label.min())
    if reach == 0:
        raise ValueError(f"all {len(label)} labels are {label[0]:g}, so there is nothing to learn")
    power = math.floor(math.log10(reach / wanted))
    widths = [float(f"{nice}e{power + step}") for step in (-1, 0, 1, 2) for nice in NICE]
    if np.all(label == np.round(label)):
        widths = [1.0, *(width for width in widths if width >= 1 and width == round(width))]
    return BinWidth(width=min(widths, key=lambda width: abs(math.log(reach / width / wanted))))


def inspect_csv(path: Path, target: str) -> list[Column]:
    """The columns of a CSV file besides the target, in order; of rows that the file gives to test nothing.

    Raises:
        ValueError: names the file; it cannot be read, or `target` is no column of finite numbers.
    """
    shown, sealed, _ = _read(path, target)
    table = read_table(path)  # whole, for groups alone
    columns = [
        _inspect(shown.loc[~sealed, name], name, len(shown), stray_text(shown[name], ~sealed))
        for name in shown.columns
        if name != target
    ]
    split = next((column.name for column in columns if column.kind == "split"), None)
    if split is None:
        return columns
    return [  # a group on two sides of a given split cannot be kept together
        replace(column, kind="id-like")
        if column.kind == "group" and table.groupby(column.name)[split].nunique().max() > 1
        else column
        for column in columns
    ]


def read_labels(path: Path, target: str) -> Floats:
    """(N,) the labels of a CSV file, without rows that it gives to test. ValueError as for `inspect_csv`."""
    _, sealed, label = _read(path, target)
    return label[~sealed]


def _read(path: Path, target: str) -> tuple[pd.DataFrame, NDArray[np.bool_], Floats]:
    """The table, which rows are for test (copies of a training row stand there), and the labels."""
    table = read_table(path)
    sides = next((table[name] for name in table.columns if _says_sides(table[name])), None)
    side = np.full(len(table), TRAIN) if sides is None else sides.to_numpy(dtype="<U5")
    shown = table.iloc[shown_rows(side)].reset_index(drop=True)
    with naming(str(path)):
        return shown, side == TEST, read_label(shown, target)


def _inspect(column: pd.Series, name: str, rows: int, stray: str) -> Column:
    known = column.dropna()
    distinct = known.nunique()
    example = str(known.iloc[0]) if len(known) else ""
    missing = len(column) - len(known)
    return Column(name, _kind(column, name, rows, distinct, missing), distinct, missing, example, stray)


def _kind(column: pd.Series, name: str, rows: int, distinct: int, missing: int) -> Kind:
    if distinct == 0 or (distinct == 1 and not missing):
        return "constant"
    if _says_sides(column):
        return "split"
    if FEWEST_GROUPS <= distinct < len(column) - missing and not missing and _names_groups(name):
        return "group"
    if holds_text(column):
        names_rows = distinct > MOST_LEVELS or (len(column) >= 20 and distinct > len(column) / 2)
        return "id-like" if names_rows else "categorical"
    return "id-like" if not missing and _counts_rows(numbers(column, name), rows) else "numeric"


def _says_sides(column: pd.Series) -> bool:
    """Whether it says train, val or test in every row, and both train and val in some."""
    return {TRAIN, VAL} <= set(column.unique()) <= {TRAIN, VAL, TEST}


def _names_groups(name: str) -> bool:
    """Whether a column's name is that of a group, or of its number: subject, patient_id; not person_age."""
    first, *rest = (word for word in re.split(r"[^a-z]+", name.lower()) if word)
    return first in GROUPS and set(rest) <= NUMBERED


def _counts_rows(value: Floats, rows: int) -> bool:
    """Whether numbers are whole, each there once, of `rows` neighbouring ones, as a row number is."""
    whole = bool(np.isfinite(value).all()) and bool((value == np.round(value)).all())
    alone = len(np.unique(value)) == len(value) >= 20
    return whole and alone and float(np.ptp(value)) < rows
