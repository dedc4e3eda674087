"""Files in, train and val splits out; the test split stays sealed (METHOD section 5).

One file per dataset (`diamonds`, `csv`, `images` ...); what they share lies beside them. `load` is the way
in, and `open_test` the only door to the test rows; `check_test` looks through it and brings nothing out.
"""

from functools import lru_cache
from pathlib import Path

from dirsweep.config import AgeDBDir, Csv, DatasetConfig, Diamonds, Images, IMDBWikiDir, Labelled, StsBDir
from dirsweep.data import agedb_dir, csv, diamonds, faces, images, imdb_wiki_dir, sts_b_dir
from dirsweep.data.dataset import Dataset, Split, Unsealed, assemble, unseal
from dirsweep.data.encoding import TableEncoding
from dirsweep.data.inputs import (
    Encoding,
    ImageEncoding,
    ImageInputs,
    Inputs,
    PairEncoding,
    Pairs,
    first,
    read_encoding,
)
from dirsweep.data.propose import (
    Column,
    inspect_csv,
    propose_bins,
    propose_held_out,
    propose_shots,
    read_labels,
    wanted_bins,
)
from dirsweep.data.propose_images import FoundImages, find_images, only_table
from dirsweep.data.show import describe
from dirsweep.data.table import read_table
from dirsweep.data.target import TargetUnit, target_unit

__all__ = [
    "Column",
    "Dataset",
    "Encoding",
    "FoundImages",
    "ImageEncoding",
    "ImageInputs",
    "Inputs",
    "PairEncoding",
    "Pairs",
    "Split",
    "TableEncoding",
    "TargetUnit",
    "Unsealed",
    "check_test",
    "describe",
    "find_images",
    "first",
    "inspect_csv",
    "load",
    "only_table",
    "open_test",
    "propose_bins",
    "propose_held_out",
    "propose_shots",
    "read_encoding",
    "read_labels",
    "read_table",
    "target_unit",
    "wanted_bins",
]


def load(config: DatasetConfig) -> Dataset:
    """The dataset of `config`, without its test rows; read once per process unless the file changes.

    Raises:
        ValueError: names the file and what is wrong with it or does not fit it.
    """
    return _load(config, _version(config))


def open_test(config: DatasetConfig) -> Unsealed:
    """The test rows of `config`: the only door to them, for `dirsweep finalize` alone.

    Nothing that a sweep runs may call this: no trial, sampler, scheduler, report or tracker (METHOD section
    5). Whoever calls it has first written to the sweep's ledger that test is opened, and for what.

    Raises:
        ValueError: as for `load`, or a test row is not what the training rows are; names the file.
    """
    dataset = load(config)
    match config:
        case Diamonds():
            return unseal(diamonds.read(config), dataset)
        case Csv():
            return csv.open_rows(config, dataset)
        case StsBDir():
            return unseal(sts_b_dir.read(config, sealed=False), dataset)
        case Images():
            return images.open_rows(config, dataset)
        case AgeDBDir():
            return images.open_rows(agedb_dir.as_images(config), dataset)
        case IMDBWikiDir():
            return images.open_rows(imdb_wiki_dir.as_images(config), dataset)


def check_test(config: DatasetConfig) -> None:
    """Find out whether test can be opened, before it is written down that it is; nothing is handed out.

    What is wrong with a test row, a sweep never sees. This is for who is about to open test: what cannot be
    judged must not be trained for, nor cost an opening.

    Raises:
        ValueError: as for `open_test`, or there are no test rows; names the file.
    """
    if not len(open_test(config).rows.label):
        raise ValueError(f"{getattr(config, 'path', config.name)}: the test split is empty")


def _version(config: DatasetConfig) -> tuple[int, ...]:
    """Time and size of a CSV file, so that one written anew is read anew."""
    if isinstance(config, Labelled) and Path(config.path).is_file():
        status = Path(config.path).stat()
        return (status.st_mtime_ns, status.st_size, status.st_ino)
    return ()


@lru_cache(maxsize=4)
def _load(config: DatasetConfig, version: tuple[int, ...]) -> Dataset:
    match config:
        case Diamonds():
            return assemble(diamonds.read(config))
        case Csv():
            return csv.load(config)
        case StsBDir():
            return assemble(sts_b_dir.read(config, sealed=True))
        case Images():
            return images.load(config)
        case AgeDBDir():
            return faces.load(agedb_dir.as_images(config), config.name)
        case IMDBWikiDir():
            return faces.load(imdb_wiki_dir.as_images(config), config.name)
