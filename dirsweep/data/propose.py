"""Look at a CSV file and propose how to read it: kinds of columns, and bins for the label.

`dirsweep init` writes what is found here into a dataset file, for a person to correct.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from dirsweep.config import BinWidth
from dirsweep.data.encoding import MOST_LEVELS
from dirsweep.data.labelled import read_label
from dirsweep.data.table import holds_text, numbers, read_table
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

Kind = Literal["numeric", "categorical", "group", "id-like", "constant"]


@dataclass(frozen=True)
class Column:
    """One column besides the target.

    kind: "id-like" (it names or counts rows) and "constant" ones are better ignored; "group" says which
        rows belong together, by its name.
    distinct: number of different values, missing ones aside.
    missing: rows without a value.
    example: the first value, "" if there is none.
    """

    name: str
    kind: Kind
    distinct: int
    missing: int
    example: str


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
    """The columns of a CSV file besides the target, in order.

    Raises:
        ValueError: names the file; it cannot be read, or `target` is no column of finite numbers.
    """
    table, _ = _read(path, target)
    return [_inspect(table[name], name) for name in table.columns if name != target]


def read_labels(path: Path, target: str) -> Floats:
    """(N,) the labels of a CSV file. ValueError that names the file, as for `inspect_csv`."""
    return _read(path, target)[1]


def _read(path: Path, target: str) -> tuple[pd.DataFrame, Floats]:
    table = read_table(path)
    try:
        return table, read_label(table, target)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _inspect(column: pd.Series, name: str) -> Column:
    known = column.dropna()
    distinct = known.nunique()
    example = str(known.iloc[0]) if len(known) else ""
    missing = len(column) - len(known)
    return Column(name, _kind(column, name, distinct, missing), distinct, missing, example)


def _kind(column: pd.Series, name: str, distinct: int, missing: int) -> Kind:
    if distinct == 0 or (distinct == 1 and not missing):
        return "constant"
    if FEWEST_GROUPS <= distinct < len(column) - missing and not missing and _names_groups(name):
        return "group"
    if holds_text(column):
        names_rows = distinct > MOST_LEVELS or (len(column) >= 20 and distinct > len(column) / 2)
        return "id-like" if names_rows else "categorical"
    return "id-like" if not missing and _counts_rows(numbers(column, name)) else "numeric"


def _names_groups(name: str) -> bool:
    """Whether a column's name is that of a group, or of its number: subject, patient_id; not person_age."""
    first, *rest = (word for word in re.split(r"[^a-z]+", name.lower()) if word)
    return first in GROUPS and set(rest) <= NUMBERED


def _counts_rows(value: Floats) -> bool:
    """Whether (N,) numbers are N neighbouring whole numbers, each once, as a row number is."""
    return len(value) >= 20 and bool(np.array_equal(np.sort(value), value.min() + np.arange(len(value))))
