"""IMDB-WIKI-DIR (Yang et al., 2021): faces and ages of celebrities, in the benchmark's own split.

Prepared as AgeDB-DIR is, from a folder of images and the benchmark's CSV (age, path, split).
"""

from collections.abc import Callable
from pathlib import Path

from dirsweep.config import Images, IMDBWikiDir
from dirsweep.data import faces
from dirsweep.data.images import Prepared
from dirsweep.data.table import read_table

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
        ValueError: the CSV lacks a column, or as `images.prepare` has it.
    """
    faces.check_columns(split, read_table(split))
    return faces.prepare(as_images(config), images, split, on_progress)
