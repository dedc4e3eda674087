"""What an encoder is given, by kind of data, and how new rows of the same source become that.

A table gives numbers, (N, D) float32; sentence pairs stay text here, for what they become is the encoder's
choice. `models.prepare` turns all of them into tensors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.data.encoding import TableEncoding
from dirsweep.data.table import check_column, where


@dataclass(frozen=True, eq=False)
class Pairs:
    """N pairs of sentences.

    first, second: (N,) strings.
    """

    first: NDArray[np.object_]
    second: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.first)


Inputs = NDArray[np.float32] | Pairs


@dataclass(frozen=True)
class PairEncoding:
    """Two columns of text that make a pair."""

    first: str
    second: str

    @property
    def summary(self) -> str:
        """What predictions rest on, for people."""
        return f"{self.first}, {self.second} (a pair of sentences)"

    def encode(self, table: pd.DataFrame) -> Pairs:
        """The N pairs. ValueError if a column is missing, or empty in some row."""
        for name in (self.first, self.second):
            check_column(table, name, "an input")
            empty = table[name].isna() | (table[name].astype("str").str.strip() == "")
            if empty.any():
                raise ValueError(f"column {name!r} has no sentence in {where(empty.to_numpy())}; fill it in")
        return Pairs(*(table[name].to_numpy(dtype=object) for name in (self.first, self.second)))

    def to_json(self) -> dict[str, Any]:
        """A tree of plain JSON values; `read_encoding` reads it."""
        return {"pairs": [self.first, self.second]}


Encoding = TableEncoding | PairEncoding


def read_encoding(tree: dict[str, Any]) -> Encoding:
    """The encoding whose `to_json` gave this tree."""
    return PairEncoding(*tree["pairs"]) if "pairs" in tree else TableEncoding.from_json(tree)
