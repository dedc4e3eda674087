"""Drawn images with a benchmark's real labels, so that a recipe of faces can be tried without the faces."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dirsweep import data
from dirsweep.config import AgeDBDir, IMDBWikiDir
from dirsweep.data import agedb_dir, imdb_wiki_dir
from dirsweep.reproduce.recipe import Recipe, Scale, alone, over

FOLDER = "generated"
NOISE = 40


def with_images(
    recipe: Recipe, scale: Scale, folder: Path, told: Callable[[str], None]
) -> tuple[Recipe, bool]:
    """The recipe, on drawn images in `folder` where the scale allows them and the real ones are absent.

    Returns:
        The recipe, and whether the images are drawn.

    Raises:
        ValueError: the images are absent, with what to put where.
    """
    config = alone(recipe, scale, "vanilla").default_config().dataset
    if not isinstance(config, AgeDBDir | IMDBWikiDir):
        return recipe, False
    try:
        data.load(config)
    except ValueError as error:
        labels = Path(os.environ.get("DIRSWEEP_DATA", "")) / config.name.replace("_", "-") / "labels.csv"
        if not scale.generated:
            raise
        if not labels.is_file():
            raise ValueError(
                f"{error}; without the images SCALE=smoke draws some for the real labels, a CSV of age and "
                f"split at $DIRSWEEP_DATA/{config.name.replace('_', '-')}/labels.csv, which is absent too"
            ) from None
    else:
        return recipe, False
    place = folder.absolute() / FOLDER
    drawn = config.model_copy(update={"path": str(place)})
    if not (place / "manifest.json").is_file():
        told(f"drawing images for the labels of {labels}")
        _draw(drawn, pd.read_csv(labels), place)
    return recipe.model_copy(update={"fixed": over(recipe.fixed, {"dataset": {"path": str(place)}})}), True


def _draw(config: AgeDBDir | IMDBWikiDir, table: pd.DataFrame, place: Path) -> None:
    """Images below `place`, and the store of them in it."""
    rng = np.random.default_rng(0)
    names = [f"images/{number // 1000:03}/{number:06}.png" for number in range(len(table))]
    for name, label in zip(names, table["age"], strict=True):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _image(float(label), config.size, rng).save(path, compress_level=1)
    split = place / "split.csv"
    table.assign(path=names).to_csv(split, index=False)
    prepare = agedb_dir.prepare if isinstance(config, AgeDBDir) else imdb_wiki_dir.prepare
    prepare(config, place, split, lambda done, total: None)  # type: ignore[arg-type]


def _image(label: float, size: int, rng: np.random.Generator) -> Image.Image:
    """A bright disc whose radius grows with the label, off its place, in noise."""
    y, x = np.mgrid[:size, :size] - size / 2 + rng.normal(size=2)[:, None, None]
    disc = np.hypot(x, y) < size * (0.08 + 0.4 * (label / 120) ** 0.5)
    return Image.fromarray((100 * disc + 50 + NOISE * rng.random((size, size))).astype(np.uint8))
