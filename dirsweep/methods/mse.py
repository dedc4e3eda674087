"""MSE: the weighted squared error."""

from torch import Tensor


def mse(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted squared error, averaged over the batch.

    Args:
        prediction: (B,) predicted labels.
        target: (B,) standardised labels.
        weight: (B,) sample weights with mean 1 over the training split.
    """
    return (weight * (prediction - target).square()).mean()
