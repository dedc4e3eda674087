"""Sentence pairs, and trials on them, for tests."""

from pathlib import Path

import numpy as np
import pandas as pd

from dirsweep import pipeline
from dirsweep.config import TrialConfig
from dirsweep.data import Pairs
from dirsweep.storage import Folder


def pairs(first: list[str], second: list[str]) -> Pairs:
    """N pairs of sentences."""
    return Pairs(np.array(first, dtype=object), np.array(second, dtype=object))


def trial(encoder: dict[str, object], **values: object) -> TrialConfig:
    """A short trial on STS-B-DIR; `values` by dotted name."""
    small = {
        "dataset": "sts_b_dir",
        "encoder": encoder,
        "stage1": {"epochs": 1},
        "stage2": {"majority_threshold": 100, "schedule": {"epochs": 1}},
    }
    return TrialConfig.model_validate(small).with_overrides(values)


def run(config: TrialConfig, folder: Path) -> list[float]:
    """The trial's predictions for dev."""
    pipeline.run_trial(config, Folder(folder), lambda record: None)
    return pd.read_csv(folder / "val_predictions.csv")["prediction"].tolist()
