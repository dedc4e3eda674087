"""AgeDB-DIR (Yang et al., 2021): faces and ages, in the benchmark's own split.

The images come from their owners on request; the split is the benchmark's CSV (age, path, split). What
`dirsweep data prepare` makes of both, a store of decoded images and a copy of the CSV, is the dataset.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from dirsweep.config import AgeDBDir, Images
from dirsweep.data import faces
from dirsweep.data.images import Prepared
from dirsweep.data.table import read_table

LABELS = "58faefd8fd78428840cebe7a586cb1def1bba25af629b16a5458bf6651d44e1c"
"""sha256 over the ages and sides of the benchmark's 16,488 rows, in its order."""
WHERE = (
    "the images are given out by their owners on request (AgeDB: Moschoglou et al., 2017); the split is "
    "agedb.csv of github.com/YyzHarry/imbalanced-regression, agedb-dir/data"
)


def as_images(config: AgeDBDir) -> Images:
    """The dataset as a folder of images with a table, prepared or not."""
    return faces.as_images(config.name, config.path, config.size)


def prepare(config: AgeDBDir, images: Path, split: Path, on_progress: Callable[[int, int], None]) -> Prepared:
    """Decode the faces below the folder `images` that the benchmark's CSV `split` names.

    Raises:
        ValueError: the CSV is not the benchmark's, or as `images.prepare` has it.
    """
    table = read_table(split)
    faces.check_columns(split, table)
    found = hashlib.sha256("\n".join(table["age"] + "," + table["split"]).encode()).hexdigest()
    if found != LABELS:
        raise ValueError(f"{split}: not the benchmark's split of AgeDB-DIR: ages and sides differ; {WHERE}")
    return faces.prepare(as_images(config), images, split, on_progress)
