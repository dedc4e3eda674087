"""How labels lie in the batches of a phase, as its loss needs to know it.

A balanced phase draws every bin equally often: told of the training labels, a loss that corrects for their
imbalance, or wants predictions to lie as they do, would pull even a perfect model away.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from dirsweep.config import BalancedMSE, DistLoss
from dirsweep.loop.phase import Phase, Trial
from dirsweep.methods import Labels
from dirsweep.methods.balanced_mse import MIXTURE, mixture
from dirsweep.methods.dist_loss import density


def labels_of(trial: Trial, phase: Phase) -> Labels:
    """The bins' shares, and what else the phase's loss wants.

    `check` has seen to it that a bin with training samples has a centre in the model's unit.
    """
    shots, device = trial.dataset.shots, trial.config.device
    with np.errstate(divide="ignore", invalid="ignore"):  # an empty bin may lie where there is no logarithm
        centres = np.nan_to_num(trial.unit.to_model(shots.bins.centres), nan=0.0, neginf=0.0)
    counts = (shots.counts > 0).astype(np.float64) if phase.balanced else shots.counts
    share = counts / counts.sum()
    centre, of_all = (torch.as_tensor(part, dtype=torch.float32, device=device) for part in (centres, share))
    split = trial.dataset.train
    label = trial.unit.to_model(split.label)
    if phase.balanced:
        label = evened(label, split.bin)
    match phase.loss:
        case BalancedMSE(integral="gai"):
            return Labels(centre, of_all, mixture=mixture(label, MIXTURE).to(device))
        case DistLoss(bandwidth=bandwidth):
            return Labels(centre, of_all, density=density(label, bandwidth))
        case _:
            return Labels(centre, of_all)


def evened(label: NDArray[np.float64], bin: NDArray[np.int64]) -> NDArray[np.float64]:
    """About N labels that lie as the (N,) labels do within each bin, as many of every bin."""
    bins = np.unique(bin)
    place = (np.arange(math.ceil(len(label) / len(bins))) + 0.5) / math.ceil(len(label) / len(bins))
    return np.concatenate([np.quantile(label[bin == one], place) for one in bins])
