"""Look for images beside a table: which of its columns names them, where they lie, and in which colours.

`dirsweep init` writes what is found here into a dataset file, for a person to correct.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from dirsweep.data.image_store import Channels
from dirsweep.data.table import holds_text, read_table

LOOKED_AT = 50


@dataclass(frozen=True)
class FoundImages:
    """A column that names images, the folder where the names start, and whether any has colours."""

    column: str
    folder: Path
    channels: Channels


def find_images(path: Path) -> FoundImages | None:
    """The images that the table at `path` names, in its folder or one below; None if it names none.

    Raises:
        ValueError: the table cannot be read.
    """
    table = read_table(path)
    folders = [path.parent, *sorted(place for place in path.parent.iterdir() if place.is_dir())]
    for name in table.columns:
        if holds_text(table[name]):
            for folder in folders:
                files = [folder / value for value in _some(table[name])]
                if files and sum(map(_is_file, files)) > len(files) / 2:
                    modes = {_mode(file) for file in files} - {None}
                    if modes:
                        grey = modes <= {"1", "L", "LA", "I;16"}
                        return FoundImages(str(name), folder, "grey" if grey else "rgb")
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
    """Values from all over the column."""
    known = column.dropna()
    return [str(value) for value in known.iloc[:: max(1, len(known) // LOOKED_AT)]]


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a text too long for a name is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _mode(file: Path) -> str | None:
    """Pillow's name for the kind of pixels; None for what is no image."""
    try:
        with Image.open(file) as image:
            return str(image.mode)
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return None
