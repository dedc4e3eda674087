"""What an encoder is given, by kind of data, and how new rows of the same source become that.

A table gives numbers, (N, D) float32; sentence pairs stay text here, and images bytes, for what they become
is the encoder's choice. `models.prepare` turns all of them into tensors.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.data.encoding import TableEncoding
from dirsweep.data.image_decoding import read_image
from dirsweep.data.image_files import image_files
from dirsweep.data.image_store import Channels
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


@dataclass(frozen=True, eq=False)
class ImageInputs:
    """N images, with further numbers beside each.

    pixels: (N, C, H, W) bytes, mapped from a store where there is one.
    numbers: (N, k), standardised; k may be 0.
    """

    pixels: NDArray[np.uint8]
    numbers: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pixels)


Inputs = NDArray[np.float32] | Pairs | ImageInputs


def first(inputs: Inputs, count: int) -> Inputs:
    """The first samples alone."""
    match inputs:
        case Pairs():
            return Pairs(inputs.first[:count], inputs.second[:count])
        case ImageInputs():
            return ImageInputs(inputs.pixels[:count], inputs.numbers[:count])
        case _:
            return inputs[:count]


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


@dataclass(frozen=True)
class ImageEncoding:
    """A column that names image files, and columns of numbers beside them.

    folder: where the names start.
    """

    column: str
    size: int
    channels: Channels
    numbers: TableEncoding | None
    folder: Path = Path()

    @property
    def summary(self) -> str:
        """What predictions rest on, for people."""
        beside = f", with {self.numbers.summary}" if self.numbers else ""
        return f"{self.column} (an image, {self.size} x {self.size}, {self.channels}){beside}"

    def encode(self, table: pd.DataFrame) -> ImageInputs:
        """Read the N images. ValueError that names the first one that cannot be read."""
        check_column(table, self.column, "an input")
        numbers, found = self.encode_numbers(table), []
        for row, file in enumerate(image_files(self.folder, [str(name) for name in table[self.column]])):
            try:
                found.append(read_image(file, self.size, self.channels))
            except ValueError as error:
                raise ValueError(f"row {row + 1}: the image {file}: {error}") from None
        return ImageInputs(np.stack(found), numbers)

    def encode_numbers(self, table: pd.DataFrame) -> NDArray[np.float32]:
        """(N, k) the numbers beside the images. ValueError as of a table."""
        if self.numbers is None:
            return np.empty((len(table), 0), dtype=np.float32)
        return self.numbers.encode(table)

    def to_json(self) -> dict[str, Any]:
        """A tree of plain JSON values; `read_encoding` reads it."""
        numbers = self.numbers.to_json() if self.numbers else None
        return {"image": self.column, "size": self.size, "channels": self.channels, "numbers": numbers}


Encoding = TableEncoding | PairEncoding | ImageEncoding


def read_encoding(tree: dict[str, Any], folder: Path = Path()) -> Encoding:
    """The encoding whose `to_json` gave this tree; names of image files start at `folder`."""
    if "pairs" in tree:
        return PairEncoding(*tree["pairs"])
    if "image" not in tree:
        return TableEncoding.from_json(tree)
    numbers = TableEncoding.from_json(tree["numbers"]) if tree["numbers"] else None
    return ImageEncoding(tree["image"], tree["size"], tree["channels"], numbers, folder)
