"""Which files a table names.

A name may leave out the ending (`0042` for 0042.png), and a number its leading zeros (`42`), where one image
of the folder alone can be meant.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

LOOKED_AT = 50

Index = dict[str | int, list[Path]]


def image_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """(N,) the file of each name; where there is none, or it may be several, the place that the name says."""
    known: dict[Path, Index] = {}
    return [_file(folder / name, known) for name in names]


def is_file(path: Path) -> bool:
    """Whether there is such a file; a text too long for a name is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def some(names: Sequence[str]) -> list[str]:
    """Names from all over the list."""
    return list(names[:: max(1, len(names) // LOOKED_AT)])


def most_are_files(files: Sequence[Path]) -> bool:
    """Whether more than half of some files are there."""
    return sum(map(is_file, files)) > len(files) / 2


def elsewhere(folder: Path, names: Sequence[str]) -> Path | None:
    """The folder above or below `folder` from which most names lead to a file; None if there is none."""
    here, wanted = folder.resolve(), some(names)
    below = sorted(place for place in here.iterdir() if place.is_dir()) if here.is_dir() else []
    places = [*here.parents[:2], *below]
    return next((place for place in places if most_are_files(image_files(place, wanted))), None)


def _file(path: Path, known: dict[Path, Index]) -> Path:
    if is_file(path):
        return path
    if path.parent not in known:
        known[path.parent] = _index(path.parent)
    alike = known[path.parent]
    found = alike.get(path.name) or (alike.get(int(path.name)) if path.name.isdecimal() else None) or []
    return found[0] if len(found) == 1 else path


def _index(folder: Path) -> Index:
    """The images of a folder by their names without the ending, and by number where that is one."""
    endings = Image.registered_extensions()
    found: Index = defaultdict(list)
    try:
        files = sorted(folder.iterdir())
    except OSError:  # there is none, or it may not be read
        return {}
    for file in files:
        if file.suffix.lower() in endings:
            found[file.stem].append(file)
            if file.stem.isdecimal():
                found[int(file.stem)].append(file)
    return dict(found)
