"""Small folders of drawn images with labels, for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from dirsweep.config import Images, TrialConfig
from dirsweep.data import images


def draw(label: float, largest: float, rng: np.random.Generator, side: int = 24) -> Image.Image:
    """A bright disc whose area grows with the label, in noise."""
    y, x = np.mgrid[:side, :side] - side / 2 + rng.normal(size=2)[:, None, None]
    disc = np.hypot(x, y) < 2 + (side / 2 - 3) * np.sqrt(label / largest)
    return Image.fromarray((120 * disc + 40 + 20 * rng.random((side, side))).astype(np.uint8))


def write_folder(folder: Path, rows: int = 240, seed: int = 0, **columns: Any) -> Path:
    """Drawn images and labels.csv (name, label, weight, and `columns`) in `folder`."""
    rng = np.random.default_rng(seed)
    (folder / "pictures").mkdir(parents=True)
    label = (1 + rng.exponential(6.0, rows)).clip(1, 29).round(2)
    names = [f"{number:04}.png" for number in range(rows)]
    for name, value in zip(names, label, strict=True):
        draw(value, 30.0, rng).save(folder / "pictures" / name)
    weight = (0.1 * label + 0.3 * rng.normal(size=rows)).round(3)
    table = pd.DataFrame({"name": names, "label": label, "weight": weight, **columns})
    table.to_csv(folder / "labels.csv", index=False)
    return folder


def dataset(folder: Path, **values: Any) -> Images:
    """The images that `write_folder` drew, as a dataset whose store lies beside them."""
    usual: dict[str, Any] = {
        "path": str(folder / "labels.csv"),
        "folder": str(folder / "pictures"),
        "store": str(folder / "store"),
        "target": "label",
        "image_column": "name",
        "bins": {"name": "width", "width": 2.0},
        "many_above": 20,
        "few_below": 5,
        "size": 16,
        "channels": "grey",
    }
    if "split_column" not in values:
        usual["held_out_per_bin"] = 8
    return Images.model_validate(usual | values)


def prepared(folder: Path, **values: Any) -> Images:
    """The same, decoded."""
    config = dataset(write_folder(folder), **values)
    images.prepare(config, lambda done, total: None)
    return config


def trial(data: Images, **values: Any) -> TrialConfig:
    """A trial of a second on such images; `values` by dotted name."""
    small = {
        "dataset": data.model_dump(mode="json"),
        "encoder": {"name": "small_cnn", "channels": 4, "depth": 2, "width": 8},
        "stage1": {"epochs": 2, "batch_size": 32},
        "stage2": {"majority_threshold": 10, "schedule": {"epochs": 1}},
    }
    return TrialConfig.model_validate(small).with_overrides(values)
