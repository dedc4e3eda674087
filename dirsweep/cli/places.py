"""Whether something can be written where an option says: found out before anything is computed."""

import os
from pathlib import Path


def check_writable(storage: Path, option: str = "--storage") -> None:
    """ValueError that names the option if nothing can be written there."""
    here = storage.absolute()
    place = next(folder for folder in (here, *here.parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise ValueError(f"{option} {storage}: cannot write in {place}; name a folder of yours")


def check_file(file: Path, option: str = "--html") -> None:
    """ValueError that names the option if no file can be written there."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{option} {file}: there is no folder {folder}; make it, or name another")
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise ValueError(f"{option} {file}: cannot write there; name a file of yours")
