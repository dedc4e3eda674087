"""Focal-R: errors that are small already count less, as the focal loss has it for classes.

Yang et al. (2021), "Delving into Deep Imbalanced Regression", appendix: the error is multiplied by a gate
that rises with it from 0 to 1, to the power gamma: 2 * sigmoid(beta * |e|) - 1, or tanh(beta * |e|). The
gate carries gradient, as in the reference code.
"""

from typing import Literal

import torch
from torch import Tensor


def focal_r(
    prediction: Tensor,
    target: Tensor,
    weight: Tensor,
    error: Literal["l1", "mse"],
    gate: Literal["sigmoid", "tanh"],
    beta: float,
    gamma: float,
) -> Tensor:
    """Weighted focal error, averaged over the batch.

    Args:
        prediction: (B,) predicted labels.
        target: (B,) standardised labels.
        weight: (B,) sample weights with mean 1 over the training split.
        error: what is gated, |e| or e^2.
        gate: how the gate rises.
        beta: per unit of the standardised label.
        gamma: power of the gate; 0 leaves the error alone.
    """
    distance = (prediction - target).abs()  # (B,)
    rising = 2 * torch.sigmoid(beta * distance) - 1 if gate == "sigmoid" else torch.tanh(beta * distance)
    raised = rising**gamma if gamma >= 1 else rising.clamp(min=1e-12) ** gamma  # a root is steep at 0
    return (weight * raised * (distance if error == "l1" else distance**2)).mean()
