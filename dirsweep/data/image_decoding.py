"""Make a store of decoded images, go on with one that was stopped, and mend one.

The manifest is written last. Once there is one, files are replaced, never changed in place: a trial may have
them mapped.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dirsweep.data.image_store import MANIFEST, Channels, Manifest, Pixels, Recipe, bytes_hash, pixels
from dirsweep.data.split import TEST, TRAIN, VAL
from dirsweep.storage import Folder, Holder, flock

NEXT, PROGRESS, LOCK = "next.json", "progress.json", "prepare.lock"
CHUNK = 256
MODES = {"grey": "L", "rgb": "RGB"}


def read_image(path: Path, size: int, channels: Channels) -> Pixels:
    """(C, H, W) bytes of an image file, turned upright, in grey or colour, scaled to `size`.

    Raises:
        ValueError: it cannot be read as an image, without the name.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I;16"):  # Pillow would cut 16 bits off at 255
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.mode in ("I", "F"):
                raise ValueError(
                    f"pixels of mode {image.mode}, which have no fixed range; save it with 8 bits"
                )
            image = image.convert(MODES[channels]).resize(
                (size, size), Image.Resampling.BILINEAR, reducing_gap=2
            )
    except FileNotFoundError:
        raise ValueError("no such file") from None
    except (OSError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:
        raise ValueError(str(error).replace(f" {str(path)!r}", "") or type(error).__name__) from None
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if channels == "grey" else pixels.transpose(2, 0, 1)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make or mend the store at `folder` in this process alone. ValueError while another one does."""

    def refusal(other: Holder) -> str:
        return f"another command decodes images into {folder} ({other}); wait until it ends"

    with flock.held(folder / LOCK, refusal):
        yield


def decode(
    folder: Path,
    recipe: Recipe,
    root: Path,
    images: Sequence[Path],
    side: NDArray[np.str_],
    most_unreadable: float,
    on_progress: Callable[[int, int], None],
) -> Manifest:
    """Decode the (N,) images into the store at `folder`, or go on with it, and return its manifest.

    Rows of no side are passed over. What was decoded before a stop is not decoded again, what could not be
    read before it is tried again at the end.

    Args:
        root: folder that the images lie in.
        most_unreadable: share of the images that may fail; they are left out, and listed.
        on_progress: told of how many rows are done, of how many.

    Raises:
        ValueError: too many images are unreadable, what was written is removed; or what an earlier attempt
            wrote is damaged, or of other images.
    """
    files = Folder(folder)
    state = _begun(files, recipe, str(root.resolve()))
    goes_on = bool(state["done"])
    rows = np.flatnonzero(side != "")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while state["done"] < len(rows):
            chunk = rows[state["done"] : state["done"] + CHUNK]
            found = list(pool.map(lambda row: _tried(images[row], recipe), chunk))
            for row, image in zip(chunk, found, strict=True):
                if isinstance(image, str):
                    state["unreadable"][str(row)] = image
            for name in (TRAIN, VAL, TEST):
                own = [
                    image
                    for row, image in zip(chunk, found, strict=True)
                    if side[row] == name and not isinstance(image, str)
                ]
                _append(folder / f"{name}.u8", own, state["counts"][name] * int(np.prod(recipe.shape)))
                state["counts"][name] += len(own)
            state["done"] += len(chunk)
            if len(state["unreadable"]) > most_unreadable * len(rows):
                _remove(folder)
                unreadable = {int(row): why for row, why in state["unreadable"].items()}
                raise ValueError(_too_many(unreadable, images, len(rows), most_unreadable))
            files.put(PROGRESS, json.dumps(state).encode())
            on_progress(state["done"], len(rows))
    hashes = {name: bytes_hash(folder / f"{name}.u8") for name in (TRAIN, VAL, TEST)}
    unreadable = {int(row): why for row, why in state["unreadable"].items()}
    manifest = Manifest(recipe, state["root"], unreadable, state["counts"], hashes)
    files.put(MANIFEST, _written(manifest))
    files.delete(PROGRESS)
    return mend(folder, manifest, images, side, most_unreadable) if goes_on else manifest


def mend(
    folder: Path, manifest: Manifest, images: Sequence[Path], side: NDArray[np.str_], most_unreadable: float
) -> Manifest:
    """Take those of the (N,) images into a finished store that could not be read before, and can be now.

    Raises:
        ValueError: as for `decode`, but the store stays as it is.
    """
    tried = {row: _tried(images[row], manifest.recipe) for row in manifest.unreadable}
    mended = {row: image for row, image in tried.items() if not isinstance(image, str)}
    unreadable = {row: why for row, why in tried.items() if isinstance(why, str)}
    counts, hashes = dict(manifest.counts), dict(manifest.hashes)
    for name in (TRAIN, VAL, TEST):
        rows = sorted(row for row in mended if side[row] == name)
        if rows:
            kept = np.setdiff1d(np.flatnonzero(side == name), list(manifest.unreadable))
            places = np.searchsorted(kept, rows).tolist()
            _insert(folder / f"{name}.u8", pixels(folder, manifest, name), places, [mended[r] for r in rows])
            counts[name] += len(rows)
            hashes[name] = bytes_hash(folder / f"{name}.part")
    if unreadable != manifest.unreadable:
        manifest = Manifest(manifest.recipe, manifest.root, unreadable, counts, hashes)
        Folder(folder).put(NEXT, _written(manifest))
        finish_mending(folder)
    count = int((side != "").sum())
    if len(unreadable) > most_unreadable * count:
        raise ValueError(_too_many(unreadable, images, count, most_unreadable))
    return manifest


def finish_mending(folder: Path) -> None:
    """Put mended files in their places, also those of an attempt that died while it did so."""
    files, parts = Folder(folder), [folder / f"{name}.part" for name in (TRAIN, VAL, TEST)]
    decided = files.exists(NEXT)
    for part in parts:
        if decided and part.exists():
            part.replace(part.with_suffix(".u8"))
        part.unlink(missing_ok=True)
    if decided:
        (folder / NEXT).replace(folder / MANIFEST)


def _written(manifest: Manifest) -> bytes:
    return json.dumps(asdict(manifest), indent=1).encode()


def _begun(files: Folder, recipe: Recipe, root: str) -> dict[str, Any]:
    """How far an earlier attempt came."""
    fresh = {
        "recipe": asdict(recipe),
        "root": root,
        "done": 0,
        "unreadable": {},
        "counts": {TRAIN: 0, VAL: 0, TEST: 0},
    }
    if not files.exists(PROGRESS):
        return fresh
    try:
        state = dict(json.loads(files.read(PROGRESS)))
        whole = fresh.keys() <= state.keys()
    except ValueError:
        whole = False
    if not whole:
        raise ValueError(f"{files}/{PROGRESS}: damaged; delete the folder and prepare it again")
    if (state["recipe"], state["root"]) != (fresh["recipe"], root):
        raise ValueError(f"{files}: another store is half made there; finish it, or delete the folder")
    return state


def _tried(path: Path, recipe: Recipe) -> Pixels | str:
    """The image, or why there is none."""
    try:
        return read_image(path, recipe.size, recipe.channels)
    except ValueError as error:
        return str(error)


def _append(path: Path, images: Sequence[Pixels], at: int) -> None:
    """Write images from byte `at` on; what an attempt that was stopped wrote there is written over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if (path.stat().st_size if path.exists() else 0) < at:
        raise ValueError(f"{path}: shorter than it was left; delete the folder and prepare it again")
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(at)
        file.seek(at)
        file.writelines(image.tobytes() for image in images)
        file.flush()
        os.fsync(file.fileno())


def _insert(path: Path, old: Pixels, places: Sequence[int], new: Sequence[Pixels]) -> None:
    """Put images before those of `old` that `places` number, in a file that is to replace the old one."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        for start, stop, image in zip([0, *places], places, new, strict=False):
            file.write(old[start:stop].data)  # no copy: it may be gigabytes
            file.write(image.tobytes())
        file.write(old[places[-1] :].data)
        file.flush()
        os.fsync(file.fileno())


def _remove(folder: Path) -> None:
    files = Folder(folder)
    for name in (PROGRESS, *(f"{side}.u8" for side in (TRAIN, VAL, TEST)), LOCK):
        files.delete(name)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _too_many(unreadable: Mapping[int, str], images: Sequence[Path], rows: int, most: float) -> str:
    named = [f"{images[row]}: {why}" for row, why in list(unreadable.items())[:5]]
    more = f"\n  and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
    return (
        f"{len(unreadable)} of {rows} images cannot be read, more than the share of {most:g} that may be "
        "left out:\n  " + "\n  ".join(named) + more
    )
