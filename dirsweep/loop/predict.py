"""Predictions, norms and errors of the model over a split."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dirsweep import metrics
from dirsweep.data import Split
from dirsweep.loop.phase import Trial
from dirsweep.methods.norm_ordinality import feature_norm

EVALUATION_BATCH = 8192


def predict(trial: Trial, split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predictions (N,) in label units and feature norms (N,) over a split, in evaluation mode."""
    trial.model.eval()
    norms, predictions = [], []
    with torch.inference_mode(), precision(trial):
        for part in on_device(trial, split).split(EVALUATION_BATCH):
            z, prediction = trial.model(part)
            norms.append(feature_norm(z.float()))
            predictions.append(prediction.float())
    model_unit = torch.cat(predictions).cpu().double().numpy()
    return trial.unit.to_label(model_unit), torch.cat(norms).cpu().double().numpy()


def evaluate(trial: Trial, split: Split) -> dict[str, float]:
    """Errors per shot over a split ("few/mae" ...), in label units."""
    prediction, _ = predict(trial, split)
    return metrics.per_shot(prediction, split.label, split.bin, trial.dataset.shots)


def on_device(trial: Trial, split: Split) -> Tensor:
    return torch.as_tensor(split.inputs, device=trial.config.device)


def precision(trial: Trial) -> torch.autocast:
    return torch.autocast(trial.config.device, torch.bfloat16, enabled=trial.config.precision == "bf16")
