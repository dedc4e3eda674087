"""IMDB-WIKI-DIR (Yang et al., 2021): faces and ages of celebrities, in the benchmark's own split.

Prepared as AgeDB-DIR is, from a folder of images and the benchmark's CSV (age, path, split).
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from dirsweep.config import Images, IMDBWikiDir
from dirsweep.data import faces
from dirsweep.data.images import Prepared
from dirsweep.data.split import TEST, TRAIN, VAL
from dirsweep.data.table import read_table

SIZES = {TRAIN: 191_509, VAL: 11_022, TEST: 11_022}
"""Rows of the benchmark's split."""

WHERE = (
    "the images are imdb_crop.tar and wiki_crop.tar of data.vision.ee.ethz.ch/cvl/rrothe/imdb-wiki "
    "(Rothe et al., 2015); the split is imdb_wiki.csv of github.com/YyzHarry/imbalanced-regression, "
    "imdb-wiki-dir/data"
)


def as_images(config: IMDBWikiDir) -> Images:
    """The dataset as a folder of images with a table, prepared or not."""
    return faces.as_images(config.name, config.path, config.size)


def prepare(
    config: IMDBWikiDir, images: Path, split: Path, on_progress: Callable[[int, int], None]
) -> Prepared:
    """Decode the faces below the folder `images` that the benchmark's CSV `split` names.

    Raises:
        ValueError: the CSV is not the benchmark's, or as `images.prepare` has it.
    """
    table = read_table(split)
    faces.check_columns(split, table)
    found = table["split"].value_counts().to_dict()
    if found != SIZES:
        raise ValueError(
            f"{split}: not the benchmark's split of IMDB-WIKI-DIR, whose rows are {_counted(SIZES)}; found "
            f"{_counted(found)}; {WHERE}"
        )
    return faces.prepare(as_images(config), images, split, on_progress)


def _counted(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{side} {count:,}" for side, count in sizes.items())
