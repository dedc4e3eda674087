"""A small long-tailed table and a trial on it that trains in well under a second."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dirsweep.config import TrialConfig


def write_table(path: Path, rows: int = 700, seed: int = 0) -> Path:
    """Two numeric columns and a category; the label (1 + exponential, mean 9) follows from them and noise."""
    rng = np.random.default_rng(seed)
    label = (1 + rng.exponential(8.0, rows)).clip(1, 59)
    table = pd.DataFrame(
        {
            "size": np.sqrt(label) + 0.2 * rng.normal(size=rows),
            "weight": 0.1 * label + 0.3 * rng.normal(size=rows),
            "kind": np.where(rng.random(rows) < 0.5, "a", "b"),
            "label": label.round(2),
        }
    )
    table.to_csv(path, index=False)
    return path


def config(folder: Path, **values: Any) -> TrialConfig:
    """A trial on such a table in `folder`; `values` by dotted name with `__` for the dots."""
    path = folder / "tiny.csv"
    if not path.exists():
        write_table(path)
    small = {
        "dataset": {
            "name": "csv",
            "path": str(path),
            "target": "label",
            "bins": {"name": "width", "width": 2.0},
            "many_above": 40,
            "few_below": 10,
            "held_out_per_bin": 15,
        },
        "encoder": {"width": 16},
        "stage1": {"epochs": 3, "batch_size": 64},
        "stage2": {"majority_threshold": 20, "schedule": {"epochs": 2}},
    }
    return TrialConfig.model_validate(small).with_overrides(
        {name.replace("__", "."): value for name, value in values.items()}
    )
