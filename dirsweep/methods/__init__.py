"""The DIR methods: sample weightings, base losses and regularisers of the feature, one file each.

A method sees the *global* batch as a `Batch`: the training loop gathers it from all GPUs first, so
that no method has to know how many there are. Losses and norms are float32 also under autocast.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dirsweep.config import (
    INV,
    L1,
    LDS,
    MSE,
    NIG,
    SQINV,
    BalancedMSE,
    ConR,
    DenseWeight,
    DistLoss,
    FocalR,
    Huber,
    Loss,
    NoLoss,
    OrdinalEntropy,
    RankNContrast,
    RankSim,
    Unweighted,
    Weighting,
)
from dirsweep.methods.balanced_mse import Mixture, bmc, bni, gai
from dirsweep.methods.conr import conr
from dirsweep.methods.dense_weight import dense_weight
from dirsweep.methods.dist_loss import Density, dist_loss
from dirsweep.methods.focal_r import focal_r
from dirsweep.methods.huber import huber
from dirsweep.methods.inv import inv, sqinv
from dirsweep.methods.l1 import l1
from dirsweep.methods.lds import lds
from dirsweep.methods.mse import mse
from dirsweep.methods.ordinal_entropy import ordinal_entropy
from dirsweep.methods.rank_n_contrast import rank_n_contrast
from dirsweep.methods.ranksim import ranksim
from dirsweep.methods.vir import evidence, nig


@dataclass(frozen=True)
class Batch:
    """The global batch, as every method sees it.

    z: (B, d) feature in front of the head.
    With two views of every sample, the second ones stand behind the first; no method needs to know.

    prediction: (B,) model output, in units of the standardised label.
    target: (B,) label in the same unit.
    weight: (B,) sample weights with mean 1 over the training split.
    bin: (B,) int64 label bins.
    given: (B, d) what the head was given: z, or what the feature method made of it.
    """

    z: Tensor
    prediction: Tensor
    target: Tensor
    weight: Tensor
    bin: Tensor
    given: Tensor


@dataclass(frozen=True)
class Labels:
    """How the labels that a phase draws lie, as losses may want to know it.

    centres: (K,) bin centres, in units of the standardised label.
    share: (K,) share of the drawn samples in each bin.
    mixture: of normal distributions, for Balanced MSE's closed form.
    density: for Dist Loss.
    """

    centres: Tensor
    share: Tensor
    mixture: Mixture | None = None
    density: Density | None = None


def base_loss(config: Loss, batch: Batch, labels: Labels, own: Mapping[str, Tensor]) -> Tensor:
    """L_base: the weighted error of the prediction, averaged over the batch, in float32.

    Args:
        own: what the loss learns for itself: of Balanced MSE "sigma", (), where it is learned; of NIG
            "evidence.weight", (2, d), and "evidence.bias", (2,).
    """
    prediction, target, weight = batch.prediction.float(), batch.target, batch.weight
    match config:
        case NoLoss():
            return prediction.new_zeros(())
        case L1():
            return l1(prediction, target, weight)
        case MSE():
            return mse(prediction, target, weight)
        case Huber(beta=beta):
            return huber(prediction, target, weight, beta)
        case FocalR(error=error, gate=gate, beta=beta, gamma=gamma):
            return focal_r(prediction, target, weight, error, gate, beta, gamma)
        case BalancedMSE(integral="bmc", sigma=sigma):
            return bmc(prediction, target, weight, own.get("sigma", sigma))
        case BalancedMSE(integral="gai", sigma=sigma):
            assert labels.mixture is not None, "the phase has fitted it"
            return gai(prediction, target, weight, own.get("sigma", sigma), labels.mixture)
        case DistLoss(error=error, weight=term_weight, strength=strength):
            assert labels.density is not None, "the phase has computed it"
            return dist_loss(prediction, target, weight, labels.density, error, strength, term_weight)
        case NIG(evidence=strength):
            count, scale = evidence(batch.given, own["evidence.weight"], own["evidence.bias"])
            return nig(prediction, target, weight, count, scale, strength)
        case BalancedMSE(sigma=sigma):
            return bni(
                prediction,
                target,
                weight,
                own.get("sigma", sigma),
                labels.centres,
                labels.share,
            )


def feature_term(
    config: RankSim | OrdinalEntropy | ConR | RankNContrast, batch: Batch, centres: Tensor
) -> Tensor:
    """What a feature method adds to the loss, its weight included; a batch of one bin adds 0.

    Args:
        centres: (K,) bin centres y_b, in label units.
    """
    match config:
        case RankSim(weight=weight, interpolation=interpolation):
            return weight * ranksim(batch.z, batch.target, batch.bin, interpolation)
        case OrdinalEntropy(weight=weight):
            return weight * ordinal_entropy(batch.z, batch.bin, centres)
        case RankNContrast(weight=weight, temperature=temperature):
            return weight * rank_n_contrast(batch.z, batch.target, temperature)
        case ConR():
            return config.weight * conr(
                batch.z,
                batch.prediction,
                batch.target,
                batch.weight,
                config.window,
                config.temperature,
                config.strength,
                reference=config.reference,
            )


def sample_weights(
    config: Weighting, label: NDArray[np.float64], bin: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(N,) the weight of each training sample, mean 1 over the training split.

    Args:
        label, bin: (N,) of the training samples.
        counts: (K,) training counts n_b.
    """
    if isinstance(config, DenseWeight):
        return dense_weight(label, config.alpha, config.epsilon)
    return bin_weights(config, counts)[bin]


def bin_weights(config: Unweighted | INV | SQINV | LDS, counts: NDArray[np.int64]) -> NDArray[np.float64]:
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
