"""The tables that a finished trial leaves, bins.csv and val_predictions.csv, read and checked.

What was cut short or edited is refused, so that nobody draws it or reckons with it.
"""

import io

import numpy as np
import pandas as pd

BINS, PREDICTIONS = "bins.csv", "val_predictions.csv"
NUMBERS = {
    BINS: (
        *("bin", "low", "high", "centre", "train_count", "norm_stage1", "norm_line", "norm_target", "norm"),
        *("train_mae_stage1", "train_mae", "val_mae_stage1", "val_mae"),
    ),
    PREDICTIONS: ("bin", "target", "prediction"),
}
OTHERS = {BINS: ("shot", "majority"), PREDICTIONS: ("sample", "shot")}
WHOLE = {BINS: ("bin", "low", "high", "centre", "train_count"), PREDICTIONS: NUMBERS[PREDICTIONS]}
"""Columns in which every row has a number; in the others an empty cell says that there is none."""
SHOTS = {"many", "median", "few", "zero"}


def parse(content: bytes, name: str, rows: float | None = None) -> pd.DataFrame:
    """A table by what its file holds.

    Args:
        name: BINS or PREDICTIONS.
        rows: how many there must be, where that is known.

    Raises:
        ValueError: says what is wrong with it; the caller knows where it lies.
    """
    table = pd.read_csv(io.BytesIO(content))
    if lacking := [column for column in (*NUMBERS[name], *OTHERS[name]) if column not in table]:
        raise ValueError(f"no column {', '.join(lacking[:3])}{' ...' if len(lacking) > 3 else ''}")
    for column in NUMBERS[name]:
        values = pd.to_numeric(table[column], errors="coerce")
        wrong = values.isna() & (table[column].notna() | (column in WHOLE[name]))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ValueError(f"{column} in row {row + 1} is {table[column].iloc[row]!r}, which is no number")
    if strange := set(table["shot"].dropna()) - SHOTS or table["shot"].isna().any():
        raise ValueError(f"shot is {strange if isinstance(strange, set) else 'empty'} in some row")
    if name == BINS and table["majority"].dtype != bool:
        raise ValueError("majority is neither True nor False in some row")
    if name == BINS and not np.array_equal(table["bin"], np.arange(len(table))):
        raise ValueError("bins are missing")
    if table.empty or (rows is not None and len(table) != rows):
        raise ValueError(f"it has {len(table):,} rows{'' if rows is None else f' and not {rows:,.0f}'}")
    return table
