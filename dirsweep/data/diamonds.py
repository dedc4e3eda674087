"""The diamonds table that is shipped: the price of 53,940 stones, in dollars.

The same stone may be listed more than once, with length and width swapped or table and depth
measured anew; such listings are one group, and val and test share no group with train. Rows with an
unknown (zero) dimension are left out.
"""

import gzip
import hashlib
import io
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from dirsweep.config import BinWidth, Diamonds
from dirsweep.data.dataset import Source, by_rows
from dirsweep.data.encoding import TableEncoding
from dirsweep.data.split import TRAIN, balanced_split
from dirsweep.shots import Ints, cut_bins

FILE = Path(__file__).with_name("diamonds.csv.gz")
SHA256 = "9574730b03aba241d899c4a97511c5061b19358fab89510774fb6c24168345c4"

TARGET = "price"
BINS = BinWidth(width=250.0)
SEED = 666  # the seed that balanced splits of the field are cut with
HELD_OUT_PER_BIN = 30
TRAINING_ROWS = 10_000
MANY_ABOVE, FEW_BELOW = 100, 20


def read(config: Diamonds) -> Source:
    """The table: balanced val and test, then 10,000 of the other rows as they come for training."""
    table = read_stones(FILE)
    label = table[TARGET].to_numpy(dtype=np.float64)
    bins = cut_bins(BINS, label)
    rng = np.random.default_rng(SEED)
    group = group_listings(table)
    side = balanced_split(bins.index(label), group, HELD_OUT_PER_BIN, rng)
    rest = np.flatnonzero(side == TRAIN)
    side[rng.permutation(rest)[TRAINING_ROWS:]] = ""
    return Source(
        name=config.name,
        target=TARGET,
        inputs=table.drop(columns=TARGET),
        label=label,
        side=side,
        group=group,
        fit=lambda training: TableEncoding.fit(training, ("cut", "color", "clarity")),
        encode=by_rows,
        identity={
            "source": SHA256,
            "bins": BINS.model_dump(mode="json"),
            "shots": [MANY_ABOVE, FEW_BELOW],
            "seed": SEED,
        },
        bins=bins,
        many_above=MANY_ABOVE,
        few_below=FEW_BELOW,
    )


def read_stones(path: Path) -> pd.DataFrame:
    """The shipped table without the rows that have a zero dimension.

    Raises:
        ValueError: the file is missing or damaged.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: missing or damaged ({error}); install dirsweep again") from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise ValueError(f"{path}: damaged: its sha256 is {found}, not {SHA256}; install dirsweep again")
    table = pd.read_csv(io.BytesIO(content))
    return table[(table[["x", "y", "z"]] != 0).all(axis=1)]


def group_listings(table: pd.DataFrame) -> Ints:
    """(N,) group of each row: listings that agree in all but depth, table and the order of x and y."""
    key = table[["carat", "cut", "color", "clarity", "price", "z"]].assign(
        low=table[["x", "y"]].min(axis=1), high=table[["x", "y"]].max(axis=1)
    )
    return key.groupby(list(key.columns)).ngroup().to_numpy(dtype=np.int64)
