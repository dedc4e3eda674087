"""Read a CSV file as text, and turn columns of text into numbers.

All is read as text first, so that a category "1" stays "1" whether or not another row lacks a value (pandas
would make it "1.0"). Messages count rows as people do: the first one below the header is row 1.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.config import nearest
from dirsweep.shots import Floats


def read_bytes(path: Path) -> bytes:
    """The content of a file; ValueError that names the file if there is none or it is empty."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    if not content.strip():
        raise ValueError(f"{path}: the file is empty; a header and rows were expected")
    return content


def read_table(path: Path, content: bytes | None = None) -> pd.DataFrame:
    """The table in a CSV file, each column text with NaN where a value is missing.

    Args:
        path: the file; every message names it.
        content: its bytes, where they have been read.

    Raises:
        ValueError: the file is missing, empty, no comma-separated text in UTF-8, has two columns of one name,
            no rows, or a row of more or fewer values than the header has names.
    """
    content = read_bytes(path) if content is None else content
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content[: error.start].count(b"\n")
        raise ValueError(
            f"{path}, line {line}: not UTF-8 text (byte {error.start}); save it as a CSV file in UTF-8"
        ) from None
    _refuse_uneven(path, text)
    try:
        header = pd.read_csv(io.StringIO(text), dtype="str", header=None, nrows=1, keep_default_na=False)
        table = pd.read_csv(io.StringIO(text), dtype="str", index_col=False)
    except pd.errors.ParserError as error:
        raise ValueError(f"{path}: not valid CSV: {str(error).strip()}") from None
    names = header.iloc[0]
    twice = names[names.duplicated() & (names != "")]
    if len(twice):
        raise ValueError(f"{path}: two columns are called {twice.iloc[0]!r}; rename one")
    if len(table) == 0:
        raise ValueError(f"{path}: there is a header but no row below it")
    return table


def _refuse_uneven(path: Path, text: str) -> None:
    """ValueError that names the first line with more or fewer values than the header: pandas fills up."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # pandas has none
    lines = csv.reader(io.StringIO(text, newline=""))
    names, line = 0, 1
    for values in lines:
        if len(values) > 1 or "".join(values).strip():  # an empty line is passed over, as pandas does
            names = names or len(values)
            if len(values) != names:
                raise ValueError(f"{path}, line {line}: {_uneven(len(values), names)}")
        line = lines.line_num + 1


def _uneven(found: int, names: int) -> str:
    why = (
        "a comma inside a value needs quotes around it"
        if found > names
        else "a missing value still needs its comma, and a quote that opens needs one that closes"
    )
    return f"{found} values where the header has {names} names; {why}"


def check_column(table: pd.DataFrame, name: str, role: str) -> None:
    """ValueError that names the nearest column if `table` has none called `name`."""
    known = [str(column) for column in table.columns]
    if name in known:
        return
    if len(known) == 1 and any(mark in known[0] for mark in ";\t|"):
        mark = next(mark for mark in ";\t|" if mark in known[0])
        raise ValueError(f"no column {name!r}: the values seem to be separated by {mark!r}; save with commas")
    guess = nearest(name, known)
    hint = f"did you mean {guess!r}?" if guess else f"the columns are {listed(known)}"
    raise ValueError(f"no column {name!r} ({role}); {hint}")


def numbers(column: pd.Series, name: str) -> Floats:
    """(N,) the numbers in a column, NaN where a value is missing. ValueError if a value is text."""
    value = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    text = np.isnan(value) & column.notna().to_numpy()
    if text.any():
        raise ValueError(f"column {name!r} must hold numbers, but holds text in {where(text, column)}")
    return value


def holds_text(column: pd.Series) -> bool:
    """Whether some value of a column is neither a number nor missing."""
    return bool(_text(column).any())


def stray_text(column: pd.Series, rows: NDArray[np.bool_]) -> str:
    """Where a column that is numbers for the most part holds text, as in "row 5: 'abc'"; "" for any other.

    Args:
        column: (N,) texts.
        rows: (N,) which of them count.
    """
    text, known = _text(column) & rows, column.notna().to_numpy() & rows
    return where(text, column) if 0 < text.sum() < known.sum() / 2 else ""


def _text(column: pd.Series) -> NDArray[np.bool_]:
    return (pd.to_numeric(column, errors="coerce").isna() & column.notna()).to_numpy()


def where(mask: NDArray[np.bool_], column: pd.Series | None = None) -> str:
    """How many rows an (N,) mask marks, and the first with its value: "2 rows, first row 5: 'abc'"."""
    place = int(np.argmax(mask))
    row = (
        place if column is None else int(column.index[place])
    )  # of the table, where these are rows of a split
    count = int(mask.sum())
    found = "" if column is None else f": {column.iloc[place]!r}"
    return f"row {row + 1}{found}" if count == 1 else f"{count} rows, first row {row + 1}{found}"


def listed(names: Iterable[str], most: int = 10) -> str:
    """The first few names, quoted."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
