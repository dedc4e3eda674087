"""What a trial gets to see of its data: the train and val splits, encoded, with bins and shots.

The test split is sealed (METHOD section 5): of its rows a `Dataset` holds the number, nothing else. `unseal`
gives them out, to `open_test` alone.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.data.inputs import Encoding, Inputs
from dirsweep.data.split import TEST, TRAIN, VAL
from dirsweep.shots import Bins, Floats, Ints, Shots, cut_shots


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one split, in the order of the source.

    sample: (N,) row number in the source, the first row being 0.
    inputs: N encoded inputs, (N, D) numbers for a table; `models.prepare` turns them into tensors.
    label: (N,) in label units.
    bin: (N,) bin number of each label.
    group: (N,) rows of one number belong together (a subject): intervals count them as one sample.
    """

    sample: Ints
    inputs: Inputs
    label: Floats
    bin: Ints
    group: Ints


@dataclass(frozen=True, eq=False)
class Unsealed:
    """The test rows, opened.

    shots: with bins that reach over the test labels too, and the same training counts; `rows.bin` is
        of these.
    """

    rows: Split
    shots: Shots


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset ready for a trial.

    target: name of the label.
    encoding: turns new rows of the same table into inputs.
    sizes: rows of train, val and test.
    source: sha256 over the files that the rows come from, whatever is made of them.
    hash: sha256 over the source, all that decides inputs, bins, shots and split, and the split itself.
    """

    name: str
    target: str
    train: Split
    val: Split
    shots: Shots
    encoding: Encoding
    sizes: dict[str, int]
    source: str
    hash: str


@dataclass(frozen=True, eq=False)
class Source:
    """A table, not yet encoded.

    inputs: N rows, the input columns alone; the index is the row number in the source.
    label: (N,) in label units.
    side: (N,) "train", "val", "test" or "" (a row that is not used).
    group: (N,) as in a split.
    fit: the encoding, fitted on the training rows of `inputs` alone.
    encode: the inputs of some rows of a side, by the encoding.
    identity: what the hash covers besides the split; "source" is the checksum of its files.
    bins, many_above, few_below, few_listed: what cuts the shots (`Shots`).
    """

    name: str
    target: str
    inputs: pd.DataFrame
    label: Floats
    side: NDArray[np.str_]
    group: Ints
    fit: Callable[[pd.DataFrame], Encoding]
    encode: Callable[[Encoding, str, pd.DataFrame], Inputs]
    identity: dict[str, Any]
    bins: Bins
    many_above: int
    few_below: int
    few_listed: tuple[int, ...] = ()


def assemble(source: Source) -> Dataset:
    """Encode the train and val rows of `source`, by an encoding fitted on the train rows alone.

    Raises:
        ValueError: the training rows give no usable input (the encoding's `fit` says why).
    """
    rows = {side: np.flatnonzero(source.side == side) for side in (TRAIN, VAL, TEST)}
    assert min(len(rows[TRAIN]), len(rows[VAL])) > 0, "whoever cuts the split explains an empty one"
    encoding = source.fit(source.inputs.iloc[rows[TRAIN]])
    return Dataset(
        name=source.name,
        target=source.target,
        train=_split(source, TRAIN, rows[TRAIN], encoding),
        val=_split(source, VAL, rows[VAL], encoding),
        shots=_shots(source),
        encoding=encoding,
        sizes={side: len(own) for side, own in rows.items()},
        source=hashlib.sha256(_plain(source.identity["source"])).hexdigest(),
        hash=_hash(source.identity, rows),
    )


def unseal(source: Source, dataset: Dataset) -> Unsealed:
    """The test rows of `source`, which is `dataset`'s.

    Raises:
        ValueError: it is not any more; an input does not fit the encoding of the training rows.
    """
    rows = {side: np.flatnonzero(source.side == side) for side in (TRAIN, VAL, TEST)}
    if _hash(source.identity, rows) != dataset.hash:
        raise ValueError("the data have changed since this command read them; start it anew")
    return Unsealed(_split(source, TEST, rows[TEST], dataset.encoding), _shots(source))


def by_rows(encoding: Encoding, side: str, rows: pd.DataFrame) -> Inputs:
    """The usual `Source.encode`: all that there is to a sample stands in its row."""
    return encoding.encode(rows)


def _split(source: Source, side: str, own: Ints, encoding: Encoding) -> Split:
    return Split(
        sample=source.inputs.index.to_numpy(dtype=np.int64)[own],
        inputs=source.encode(encoding, side, source.inputs.iloc[own]),
        label=source.label[own],
        bin=source.bins.index(source.label[own]),
        group=source.group[own],
    )


def _shots(source: Source) -> Shots:
    training_label = source.label[source.side == TRAIN]
    return cut_shots(source.bins, training_label, source.many_above, source.few_below, source.few_listed)


def _hash(identity: dict[str, Any], rows: dict[str, Ints]) -> str:
    """The rows are hashed too: NumPy may change what a seed draws from one release to the next."""
    digest = hashlib.sha256(_plain(identity))
    for side, own in rows.items():
        digest.update(side.encode() + own.astype("<i8").tobytes())
    return digest.hexdigest()


def _plain(tree: Any) -> bytes:
    return json.dumps(tree, sort_keys=True).encode()
