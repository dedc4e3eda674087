"""Look for images beside a table: which of its columns names them, where they lie, and in which colours.

`dirsweep init` writes what is found here into a dataset file, for a person to correct.
"""

from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import pandas as pd
from PIL import Image

from dirsweep.data.image_files import image_files, most_are_files, some
from dirsweep.data.image_store import Channels
from dirsweep.data.table import holds_text, read_table

GREY = {"1", "L", "LA", "I;16"}
"""Pillow's names for kinds of pixels without colour."""


@dataclass(frozen=True)
class FoundImages:
    """A column that names images, the folder where the names start, and whether any has colours."""

    column: str
    folder: Path
    channels: Channels


def find_images(path: Path, target: str) -> FoundImages | None:
    """The images that the table at `path` names, in its folder or one below; None if it names none.

    Whole names of files are looked for first, then names without their ending and numbers, in columns where
    each row has a value of its own.

    Raises:
        ValueError: the table cannot be read.
    """
    table = read_table(path)
    folders = [path.parent, *sorted(place for place in path.parent.iterdir() if place.is_dir())]
    columns = [str(name) for name in table.columns if name != target]
    texts = [name for name in columns if holds_text(table[name])]
    named = (
        (name, folder, [folder / value for value in _some(table[name])])
        for name, folder in product(texts, folders)
    )
    own = [name for name in columns if table[name].is_unique]
    meant = (
        (name, folder, image_files(folder, _some(table[name]))) for name, folder in product(own, folders)
    )
    for name, folder, files in chain(named, meant):
        modes = _modes(files)
        if modes:
            return FoundImages(name, folder, "grey" if modes <= GREY else "rgb")
    return None


def only_table(folder: Path) -> Path:
    """The one CSV file in a folder. ValueError if there is none, or several."""
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".csv")
    if len(found) != 1:
        names = ", ".join(file.name for file in found)
        said = f"several CSV files ({names}); name one" if found else "no CSV file with labels in it"
        raise ValueError(f"{folder}: {said}")
    return found[0]


def _some(column: pd.Series) -> list[str]:
    return some([str(value) for value in column.dropna()])


def _modes(files: list[Path]) -> set[str]:
    """Kinds of pixels of the images among some files; none if most are not there."""
    return {mode for mode in map(_mode, files) if mode is not None} if most_are_files(files) else set()


def _mode(file: Path) -> str | None:
    """Pillow's name for the kind of pixels; None for what is no image."""
    try:
        with Image.open(file) as image:
            return str(image.mode)
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return None
