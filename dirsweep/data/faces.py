"""What the two benchmarks of faces share: a CSV of age, path and split, bins of a year, 224 pixels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dirsweep.config import BinWidth, Images
from dirsweep.data import images
from dirsweep.data.dataset import Dataset
from dirsweep.data.images import Prepared
from dirsweep.data.table import check_column, where
from dirsweep.storage import Folder, cache_folder

TABLE = "table.csv"


def as_images(name: str, path: str | None, size: int) -> Images:
    """A prepared benchmark as a folder of images with a table."""
    folder = Path(path) if path is not None else cache_folder(f"{name}-{size}")
    return Images(
        path=str(folder / TABLE),
        target="age",
        image_column="path",
        split_column="split",
        bins=BinWidth(width=1.0),
        size=size,
        store=str(folder),
    )


def load(config: Images, name: str) -> Dataset:
    """The benchmark called `name`. ValueError, with what to do, if it is not prepared."""
    if not Path(config.path).is_file():
        raise ValueError(
            f"{name} is not prepared (looked in {config.store}): dirsweep data prepare "
            f"{name.replace('_', '-')} --images DIR --split FILE --size {config.size}"
        )
    return replace(images.load(config), name=name)


def check_columns(path: Path, table: pd.DataFrame) -> None:
    """ValueError that names the file if a column of the benchmark's CSV is missing or has gaps."""
    for name in ("age", "path", "split"):
        try:
            check_column(table, name, "the benchmark's CSV has age, path and split")
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        empty = table[name].isna().to_numpy()
        if empty.any():
            raise ValueError(f"{path}: column {name!r} is empty in {where(empty)}; fetch the file anew")


def prepare(config: Images, folder: Path, split: Path, on_progress: Callable[[int, int], None]) -> Prepared:
    """Decode the images below `folder` that the benchmark's CSV names, and keep a copy of that with them."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder (--images)")
    done = images.prepare(config.model_copy(update={"path": str(split), "folder": str(folder)}), on_progress)
    Folder(done.folder).put(TABLE, split.read_bytes())
    return done
