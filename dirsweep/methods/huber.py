"""Huber: the weighted error, quadratic near zero and linear beyond."""

from torch import Tensor
from torch.nn import functional as F


def huber(prediction: Tensor, target: Tensor, weight: Tensor, beta: float) -> Tensor:
    """Weighted Huber loss, averaged over the batch.

    error^2 / (2 beta) for |error| < beta, |error| - beta / 2 above: one outlier cannot dominate the step.

    Args:
        prediction: (B,) predicted labels.
        target: (B,) standardised labels.
        weight: (B,) sample weights with mean 1 over the training split.
        beta: error, in units of the standardised label, at which the loss turns linear.
    """
    error = F.smooth_l1_loss(prediction, target, beta=beta, reduction="none")  # (B,)
    return (weight * error).mean()
