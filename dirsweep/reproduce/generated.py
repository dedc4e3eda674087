"""Drawn images with a benchmark's real labels, so that a recipe of faces can be tried without the faces."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from dirsweep import data
from dirsweep.config import AgeDBDir, IMDBWikiDir
from dirsweep.data import agedb_dir, faces, imdb_wiki_dir
from dirsweep.data.image_store import MANIFEST
from dirsweep.data.labelled import read_label
from dirsweep.data.table import check_column, read_table
from dirsweep.reproduce.recipe import Recipe, Scale, alone, over

FOLDER = "generated"
NOISE = 40


def to_draw(recipe: Recipe, scale: Scale) -> Path | None:
    """The real labels to draw images for, where the images are absent; None where nothing is to be drawn.

    Raises:
        ValueError: the images are absent and none are to be drawn; with what to put where.
    """
    config = alone(recipe, scale, "vanilla").default_config().dataset
    if not isinstance(config, AgeDBDir | IMDBWikiDir):
        return None
    if Path(faces.as_images(config.name, config.path, config.size).path).is_file():
        return None
    name = f"{config.name.replace('_', '-')}/labels.csv"
    labels = Path(os.environ["DIRSWEEP_DATA"]) / name if "DIRSWEEP_DATA" in os.environ else None
    if scale.generated and labels is not None and labels.is_file():
        return labels
    try:
        data.load(config)  # says what to put where
    except ValueError as error:
        hint = (
            f"; without them SCALE=smoke draws images for the real labels, a CSV of age and split at "
            f"$DIRSWEEP_DATA/{name}, which is absent too"
        )
        raise ValueError(f"{error}{hint if scale.generated else ''}") from None
    return None


def drawn(recipe: Recipe, scale: Scale, labels: Path, folder: Path, told: Callable[[str], None]) -> Recipe:
    """The recipe on images that are drawn in `folder`, unless they are there.

    Raises:
        ValueError: the file of labels is not what it should be.
    """
    place = folder.absolute() / FOLDER
    config = alone(recipe, scale, "vanilla").default_config().dataset
    assert isinstance(config, AgeDBDir | IMDBWikiDir), "to_draw has seen it"
    if not (place / MANIFEST).is_file():
        told(f"drawing images for the labels of {labels}")
        _draw(config.model_copy(update={"path": str(place)}), labels, place)
    return recipe.model_copy(update={"fixed": over(recipe.fixed, {"dataset": {"path": str(place)}})})


def _draw(config: AgeDBDir | IMDBWikiDir, labels: Path, place: Path) -> None:
    """Images below `place`, and the store of them in it."""
    table = read_table(labels)
    for column in ("age", "split"):
        check_column(table, column, f"{labels} has age and split")
    age = read_label(table, "age")
    rng = np.random.default_rng(0)
    names = [f"images/{number // 1000:03}/{number:06}.png" for number in range(len(table))]
    for name, label in zip(names, age, strict=True):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _image(label, config.size, rng).save(path, compress_level=1)
    split = place / "split.csv"
    table.assign(path=names).to_csv(split, index=False)
    if isinstance(config, AgeDBDir):
        agedb_dir.prepare(config, place, split, lambda done, total: None)
    else:
        imdb_wiki_dir.prepare(config, place, split, lambda done, total: None)


def _image(label: float, size: int, rng: np.random.Generator) -> Image.Image:
    """A bright disc whose radius grows with the label, off its place, in noise."""
    y, x = np.mgrid[:size, :size] - size / 2 + rng.normal(size=2)[:, None, None]
    disc = np.hypot(x, y) < size * (0.08 + 0.4 * (label / 120) ** 0.5)
    return Image.fromarray((100 * disc + 50 + NOISE * rng.random((size, size))).astype(np.uint8))
