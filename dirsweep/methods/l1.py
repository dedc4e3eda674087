"""L1: the weighted absolute error."""

from torch import Tensor


def l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted absolute error, averaged over the batch.

    Args:
        prediction: (B,) predicted labels.
        target: (B,) standardised labels.
        weight: (B,) sample weights with mean 1 over the training split.
    """
    return (weight * (prediction - target).abs()).mean()
