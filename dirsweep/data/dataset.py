"""What a trial gets to see of its data: the train and val splits, encoded, with bins and shots.

The test split is sealed (METHOD section 5): of its rows a `Dataset` holds the number, nothing else.
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.data.encoding import TableEncoding
from dirsweep.data.split import TEST, TRAIN, VAL
from dirsweep.shots import Bins, Floats, Ints, Shots, cut_shots


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split, in the order of the source.

    sample: (N,) row number in the source, the first row being 0.
    inputs: (N, D) encoded inputs.
    label: (N,) in label units.
    bin: (N,) bin number of each label.
    """

    sample: Ints
    inputs: NDArray[np.float32]
    label: Floats
    bin: Ints


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset ready for a trial.

    target: name of the label.
    encoding: turns new rows of the same table into inputs.
    sizes: rows of train, val and test.
    hash: sha256 over the source, all that decides inputs, bins, shots and split, and the split itself.
    """

    name: str
    target: str
    train: Split
    val: Split
    shots: Shots
    encoding: TableEncoding
    sizes: dict[str, int]
    hash: str


@dataclass(frozen=True, eq=False)
class Source:
    """A table, not yet encoded.

    inputs: N rows, the input columns alone; the index is the row number in the source.
    label: (N,) in label units.
    side: (N,) "train", "val", "test" or "" (a row that is not used).
    categorical: input columns to one-hot encode; the others are numbers.
    identity: what the hash covers besides the split.
    """

    name: str
    target: str
    inputs: pd.DataFrame
    label: Floats
    side: NDArray[np.str_]
    categorical: Collection[str]
    identity: dict[str, Any]


def assemble(source: Source, bins: Bins, many_above: int, few_below: int) -> Dataset:
    """Encode the train and val rows of `source`, by an encoding fitted on the train rows alone.

    Raises:
        ValueError: the training rows give no usable input (`TableEncoding.fit` says why).
    """
    rows = {side: np.flatnonzero(source.side == side) for side in (TRAIN, VAL, TEST)}
    assert min(len(rows[TRAIN]), len(rows[VAL])) > 0, "whoever cuts the split explains an empty one"
    encoding = TableEncoding.fit(source.inputs.iloc[rows[TRAIN]], source.categorical)

    def split(side: str) -> Split:
        own = rows[side]
        label = source.label[own]
        sample = source.inputs.index.to_numpy(dtype=np.int64)[own]
        return Split(sample, encoding.encode(source.inputs.iloc[own]), label, bins.index(label))

    return Dataset(
        name=source.name,
        target=source.target,
        train=split(TRAIN),
        val=split(VAL),
        shots=cut_shots(bins, source.label[rows[TRAIN]], many_above, few_below),
        encoding=encoding,
        sizes={side: len(own) for side, own in rows.items()},
        hash=_hash(source.identity, rows),
    )


def _hash(identity: dict[str, Any], rows: dict[str, Ints]) -> str:
    """The rows are hashed too: NumPy may change what a seed draws from one release to the next."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    for side, own in rows.items():
        digest.update(side.encode() + own.astype("<i8").tobytes())
    return digest.hexdigest()
