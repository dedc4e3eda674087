"""Predictions, norms and errors of the model over a split."""

import numpy as np
import torch
from numpy.typing import NDArray

from dirsweep import device, metrics, models
from dirsweep.config import TrialConfig
from dirsweep.data import Dataset, Split
from dirsweep.loop.feed import in_order
from dirsweep.loop.phase import Trial
from dirsweep.methods.norm_ordinality import feature_norm
from dirsweep.models import Rows


def predict(trial: Trial, split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predictions (N,) in label units and feature norms (N,) over a split, in evaluation mode."""
    trial.model.eval()
    norms, predictions = [], []
    count, rows = len(split.label), trial.rows[split]
    own = models.take(rows, trial.group.part(count))
    with trial.part("evaluation"), torch.inference_mode(), precision(trial):
        for part in in_order(own, trial.model.encoder.evaluation_batch, trial.config.device):
            z, prediction = trial.model(part)
            norms.append(feature_norm(z.float()))
            predictions.append(prediction)
        norm, model_unit = (trial.group.gathered(torch.cat(found), count) for found in (norms, predictions))
    return trial.unit.to_label(model_unit.cpu().double().numpy()), norm.cpu().double().numpy()


def evaluate(trial: Trial, split: Split) -> dict[str, float]:
    """Errors per shot over a split ("few/mae" ...), in label units."""
    with trial.part("evaluation"):
        return errors(trial, split, predict(trial, split)[0])


def errors(trial: Trial, split: Split, prediction: NDArray[np.float64]) -> dict[str, float]:
    """Errors per shot of (N,) predictions over a split, with all that the dataset's tables show."""
    correlation = "pearson" in trial.config.dataset.metrics
    return metrics.per_shot(prediction, split.label, split.bin, trial.dataset.shots, correlation=correlation)


def rows_of(config: TrialConfig, dataset: Dataset, share: float = 1.0) -> dict[Split, Rows]:
    """What the encoder takes of train and val, on the trial's device where its share has room for both."""
    rows = {split: models.prepare(config.encoder, split.inputs) for split in (dataset.train, dataset.val)}
    if config.device == "cuda" and sum(map(models.size, rows.values())) > device.room(share):
        return rows
    return {split: models.to(part, config.device) for split, part in rows.items()}


def precision(trial: Trial) -> torch.autocast:
    return torch.autocast(trial.config.device, torch.bfloat16, enabled=trial.config.precision == "bf16")
