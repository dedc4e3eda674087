"""Images decoded once into raw bytes that every trial on a node maps and shares.

A store is a folder: `train.u8`, `val.u8` and `test.u8` hold (N, C, H, W) unsigned bytes, the images of a side
one after the other in the order of the table; the test file is opened with the test rows and not before.
`manifest.json` says what is in it; without one a store is not there. `image_decoding` makes it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dirsweep.storage import Folder

MANIFEST = "manifest.json"

Channels = Literal["grey", "rgb"]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Recipe:
    """What decides the content of a store, beside the image files.

    table: sha256 of the table that lists them.
    column: where it names them.
    size: height and width in pixels that every image is scaled to.
    split: sha256 over the side of every row.
    """

    table: str
    column: str
    size: int
    channels: Channels
    split: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return (1 if self.channels == "grey" else 3, self.size, self.size)

    @property
    def key(self) -> str:
        """A name for a store of its own."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Manifest:
    """A finished store.

    root: folder that the images were read from; None if that was not kept.
    unreadable: why, by the number of the table's row.
    counts, hashes: images and sha256 of the bytes of each side.
    """

    recipe: Recipe
    root: str | None
    unreadable: Mapping[int, str]
    counts: Mapping[str, int]
    hashes: Mapping[str, str]


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a finished store; None where there is none. ValueError for a damaged one."""
    files = Folder(folder)
    if not files.exists(MANIFEST):
        return None
    try:
        tree = json.loads(files.read(MANIFEST))
        unreadable = {int(row): why for row, why in tree["unreadable"].items()}
        return Manifest(
            Recipe(**tree["recipe"]), tree.get("root"), unreadable, tree["counts"], tree["hashes"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / MANIFEST}: damaged ({error}); delete the folder and prepare it again"
        ) from None


def pixels(folder: Path, manifest: Manifest, side: str) -> Pixels:
    """(N, C, H, W) the images of a side, mapped: all processes of a node share the memory.

    Raises:
        ValueError: the file is missing or of another length than the manifest says.
    """
    shape, path = (manifest.counts[side], *manifest.recipe.shape), folder / f"{side}.u8"
    found = path.stat().st_size if path.is_file() else None
    if found != int(np.prod(shape)):
        said = "missing" if found is None else f"{found} bytes long, not {int(np.prod(shape))}"
        raise ValueError(f"{path}: {said}; delete the folder and prepare it again")
    if shape[0] == 0:
        return np.empty(shape, dtype=np.uint8)
    return np.memmap(path, np.uint8, "c", shape=shape)  # "c": torch wants memory that it may write to


def check_bytes(folder: Path, manifest: Manifest, side: str) -> None:
    """ValueError if the images of a side are not those that were decoded."""
    path = folder / f"{side}.u8"
    if path.is_file() and bytes_hash(path) != manifest.hashes[side]:
        raise ValueError(
            f"{path}: not what was decoded, it was changed; delete the folder and prepare it again"
        )


def bytes_hash(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
