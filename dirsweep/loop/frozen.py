"""The frozen layers in front of the trained ones: run once for a phase, or anew in each step.

They run as in evaluation, without dropout and with the running statistics of batch norm, so what they make
of a sample stays the same (METHOD section 3). Only the augmentation of images, which belongs to the data,
goes on within them.
"""

from contextlib import closing

import torch
from torch import nn

from dirsweep import models
from dirsweep.loop.feed import in_order
from dirsweep.loop.phase import Phase, Trial
from dirsweep.loop.predict import precision
from dirsweep.models import Augment, Model, Rows

KEPT = 2 * 2**30
"""Bytes of a split, behind its frozen layers, that are kept; where there are more, each step runs the layers
anew. No share of the free memory: a resumed trial is to take the same way."""


def set_layers(model: Model, phase: Phase) -> tuple[nn.Module, nn.Module]:
    """Put the model in training mode, except what is frozen; returns (frozen, trained) parts."""
    frozen, trained = model.parts(phase.layers)
    model.zero_grad(set_to_none=True)  # of an earlier phase: a sharpness-aware step would climb along them
    model.train().requires_grad_(True)
    frozen.eval().requires_grad_(False)
    for layer in _augmentation(frozen):
        layer.train()
    if phase.frozen_batch_norm:
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval().requires_grad_(False)
    return frozen, trained


def through(trial: Trial, frozen: nn.Module, inputs: Rows) -> tuple[Rows, nn.Module]:
    """What the steps of a phase take of each sample, and the frozen layers that they still run on it."""
    if isinstance(frozen, nn.Identity) or _augmentation(frozen):
        return inputs, frozen
    found: list[Rows] = []
    parts = in_order(inputs, trial.model.encoder.evaluation_batch, trial.config.device)
    with torch.no_grad(), precision(trial), closing(parts):
        for part in parts:
            found.append(frozen(part))
            one = models.size(found[0]) / models.count(found[0])
            if one * (trial.samples or models.count(inputs)) > KEPT:
                return inputs, frozen
    return models.join(found), nn.Identity()


def _augmentation(frozen: nn.Module) -> list[nn.Module]:
    return [layer for layer in frozen.modules() if isinstance(layer, Augment)]
