"""The DIR methods: sample weightings, base losses and regularisers of the feature, one file each.

A method sees the *global* batch as a `Batch`: the training loop gathers it from all GPUs first, so
that no method has to know how many there are. Losses and norms are float32 also under autocast.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dirsweep.config import INV, L1, LDS, MSE, SQINV, Huber, Loss, Unweighted, Weighting
from dirsweep.methods.huber import huber
from dirsweep.methods.inv import inv, sqinv
from dirsweep.methods.l1 import l1
from dirsweep.methods.lds import lds
from dirsweep.methods.mse import mse


@dataclass(frozen=True)
class Batch:
    """The global batch, as every method sees it.

    z: (B, d) feature in front of the head.
    prediction: (B,) model output, in units of the standardised label.
    target: (B,) label in the same unit.
    weight: (B,) sample weights with mean 1 over the training split.
    bin: (B,) int64 label bins.
    """

    z: Tensor
    prediction: Tensor
    target: Tensor
    weight: Tensor
    bin: Tensor


def base_loss(config: Loss, batch: Batch) -> Tensor:
    """L_base: the weighted error of the prediction, averaged over the batch, in float32."""
    prediction = batch.prediction.float()
    match config:
        case L1():
            return l1(prediction, batch.target, batch.weight)
        case MSE():
            return mse(prediction, batch.target, batch.weight)
        case Huber(beta=beta):
            return huber(prediction, batch.target, batch.weight, beta)


def bin_weights(config: Weighting, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weight of a sample of each bin, from the (K,) training counts n_b.

    Scaled so that the mean over the training samples is 1. A bin without training samples, which no
    sample of the training split can meet, gets a finite weight too.
    """
    match config:
        case Unweighted():
            weight = np.ones(len(counts))
        case INV(clip_low=low, clip_high=high):
            weight = inv(counts, low, high)
        case SQINV():
            weight = sqinv(counts)
        case LDS():
            weight = lds(config, counts)
    return weight * (counts.sum() / (counts * weight).sum())
