"""A folder of images with a table of labels: the table as for `csv`, the images decoded once before.

`prepare` decodes them (`image_decoding`); `load` finds them decoded. An image that cannot be read is left out
of its side, in the store and here alike.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.config import Images
from dirsweep.data import image_decoding, image_store
from dirsweep.data.dataset import Dataset, Source, Unsealed, assemble, unseal
from dirsweep.data.encoding import TableEncoding
from dirsweep.data.image_files import elsewhere, image_files, is_file
from dirsweep.data.image_store import Manifest, Recipe
from dirsweep.data.inputs import Encoding, ImageEncoding, ImageInputs
from dirsweep.data.labelled import Samples, identity, naming, read_samples
from dirsweep.data.split import TEST, TRAIN, VAL
from dirsweep.data.table import check_column, where
from dirsweep.storage import cache_folder


@dataclass(frozen=True, eq=False)
class Prepared:
    """A store of decoded images, and the images that are not in it: their names, with why."""

    folder: Path
    manifest: Manifest
    unreadable: dict[str, str]


def load(config: Images) -> Dataset:
    """The dataset that `config` describes.

    Raises:
        ValueError: something is wrong with the table or does not fit it, or its images are not decoded yet.
    """
    with naming(config.path):
        return assemble(_source(config, read_samples(config, sealed=True)))


def open_rows(config: Images, dataset: Dataset) -> Unsealed:
    """The test rows. ValueError as for `load`."""
    with naming(config.path):
        return unseal(_source(config, read_samples(config, sealed=False)), dataset)


def prepare(config: Images, on_progress: Callable[[int, int], None]) -> Prepared:
    """Decode the images, or go on where that was stopped; what could not be read is tried again.

    Args:
        on_progress: told of how many images are done, of how many.

    Raises:
        ValueError: as for `load`; an image stands on two sides; none lies in the folder that is named; more
            are unreadable than `most_unreadable`; another process prepares the same images now.
    """
    with naming(config.path):
        samples = read_samples(config, sealed=False)  # the images of test are decoded too, into a file apart
        names, root = image_names(config, samples.table), image_folder(config)
        files = image_files(root, names)
        _refuse_twice(names, files, samples.side)
        recipe = recipe_of(config, samples)
        folder, most = store_folder(config, recipe), config.most_unreadable
        manifest = image_store.read_manifest(folder)
        if manifest is None and not any(map(is_file, files)):
            _refuse_elsewhere(root, names)
        if manifest is not None:
            _refuse_other(folder, manifest, recipe, root)
        if manifest is None or manifest.unreadable:  # else nothing is to be done, nor written
            with image_decoding.alone(folder):
                image_decoding.finish_mending(folder)
                manifest = image_store.read_manifest(folder)
                if manifest is None:
                    manifest = image_decoding.decode(
                        folder, recipe, root, files, samples.side, most, on_progress
                    )
                else:
                    manifest = image_decoding.mend(folder, manifest, files, samples.side, most)
        missing = {names[row]: why for row, why in manifest.unreadable.items()}
        return Prepared(folder, manifest, missing)


def _refuse_other(folder: Path, manifest: Manifest, recipe: Recipe, root: Path) -> None:
    """ValueError if a store is not that of these images."""
    if manifest.recipe != recipe:
        raise ValueError(f"{folder} holds other images; name another `store`, or delete that folder")
    if manifest.root not in (None, str(root.resolve())):
        raise ValueError(
            f"{folder} holds the images of {manifest.root}, not of {root.resolve()}; "
            "name another `store`, or delete that folder"
        )


def image_names(config: Images, table: pd.DataFrame) -> list[str]:
    """(N,) the name of each row's image. ValueError if one is missing."""
    check_column(table, config.image_column, "image_column")
    column = table[config.image_column]
    if column.isna().any():
        raise ValueError(
            f"image_column {config.image_column!r} is empty in {where(column.isna().to_numpy())}"
        )
    return [str(name) for name in column]


def image_folder(config: Images) -> Path:
    """Where the names of images start."""
    return Path(config.path).parent if config.folder is None else Path(config.folder)


def recipe_of(config: Images, samples: Samples) -> Recipe:
    """What decides the store of these samples."""
    split = hashlib.sha256("\n".join(samples.side).encode()).hexdigest()
    return Recipe(samples.checksum, config.image_column, config.size, config.channels, split)


def store_folder(config: Images, recipe: Recipe) -> Path:
    """Where the decoded images are, or are to be."""
    return cache_folder("images") / recipe.key if config.store is None else Path(config.store)


def _refuse_elsewhere(root: Path, names: list[str]) -> None:
    """ValueError if the images lie above or below the folder where their names are to start."""
    place = elsewhere(root, names)
    if place is not None:
        raise ValueError(
            f"no image lies in {root}, but {names[0]!r} and others do in {place}; give that folder instead"
        )


def _refuse_twice(names: list[str], files: list[Path], side: NDArray[np.str_]) -> None:
    """ValueError that names an image which two rows of different sides share."""
    seen: dict[Path, int] = {}
    for row, (name, file) in enumerate(zip(names, files, strict=True)):
        first = seen.setdefault(file, row)
        if side[first] != side[row]:
            places = f"{side[first]} (row {first + 1}) and in {side[row]} (row {row + 1})"
            raise ValueError(
                f"the image {name!r} is in {places}; a sample must be on one side: remove one of the rows, "
                "or name a group_column that keeps them together"
            )


def _source(config: Images, samples: Samples) -> Source:
    check_column(samples.table, config.image_column, "image_column")
    recipe = recipe_of(config, samples)
    folder = store_folder(config, recipe)
    manifest = image_store.read_manifest(folder)
    if manifest is None or manifest.recipe != recipe:
        raise ValueError(
            f"its images are not decoded yet as the dataset has it (looked in {folder}); do it with "
            "`dirsweep data prepare NAME`, the name or the file of the dataset"
        )
    left_out = len(manifest.unreadable)
    if left_out > config.most_unreadable * len(samples.side):
        raise ValueError(
            f"{left_out} of {len(samples.side)} images could not be read, more than the share of "
            f"{config.most_unreadable:g} that may be left out (see {folder / image_store.MANIFEST}); mend "
            "them and do `dirsweep data prepare NAME` again, or raise most_unreadable"
        )
    side = samples.side.copy()
    side[list(manifest.unreadable)] = ""
    for name in (TRAIN, VAL):
        if not (side == name).any():
            raise ValueError(
                f"no image of the {name} split can be read (see {folder / image_store.MANIFEST})"
            )

    def fit(training: pd.DataFrame) -> ImageEncoding:
        numbers = TableEncoding.fit(training, ()) if config.numbers else None
        return ImageEncoding(config.image_column, config.size, config.channels, numbers)

    def encode(encoding: Encoding, name: str, rows: pd.DataFrame) -> ImageInputs:
        assert isinstance(encoding, ImageEncoding)
        if name == TEST:  # read this once; a trial, which maps the others each time, is spared the sum
            image_store.check_bytes(folder, manifest, name)
        return ImageInputs(image_store.pixels(folder, manifest, name), encoding.encode_numbers(rows))

    return Source(
        name=config.name if config.name != "images" else Path(config.path).stem,
        target=config.target,
        inputs=samples.table[list(config.numbers)],
        label=samples.label,
        side=side,
        group=samples.group,
        fit=fit,
        encode=encode,
        identity=identity(config, samples) | {"images": dict(manifest.hashes)},
        bins=samples.bins,
        many_above=config.many_above,
        few_below=config.few_below,
    )
