"""Balanced MSE: the squared error of a model whose training labels are imbalanced and whose test is not.

Ren et al. (2022), "Balanced MSE for Imbalanced Visual Regression", CVPR: the prediction is the mean of a
normal distribution of deviation sigma, and its likelihood is divided by what the training labels make likely
anyway. Times 2 sigma^2, so that errors keep the size of a squared error. Two ways to take that integral:

- `bmc`, batch-based Monte Carlo: over the labels in the batch, a softmax over squared distances. As there, a
  batch of one sample has no loss;
- `bni`, bin-based numerical integration: over the bins, by their training counts.
"""

import torch
from torch import Tensor


def bmc(prediction: Tensor, target: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """Weighted mean over the batch of the cross-entropy that picks a sample's own label from the batch's.

    Args:
        prediction: (B,) predicted labels.
        target: (B,) standardised labels.
        weight: (B,) sample weights with mean 1 over the training split.
        sigma: deviation of the noise, in units of the standardised label.
    """
    variance = sigma**2
    logits = -((prediction[:, None] - target[None, :]) ** 2) / (2 * variance)  # (B, B)
    return (weight * (torch.logsumexp(logits, dim=1) - logits.diagonal())).mean() * 2 * variance


def bni(
    prediction: Tensor, target: Tensor, weight: Tensor, sigma: float, centres: Tensor, share: Tensor
) -> Tensor:
    """Weighted mean of e^2 / (2 sigma^2) + log of what the bins make likely, up to a constant.

    Args:
        prediction, target, weight, sigma: as for `bmc`.
        centres: (K,) bin centres, standardised as the labels are.
        share: (K,) share of the training samples in each bin; 0 where there are none.
    """
    variance = sigma**2
    own = (prediction - target) ** 2 / (2 * variance)  # (B,)
    distance = -((prediction[:, None] - centres[None, :]) ** 2) / (2 * variance)  # (B, K)
    likely = torch.logsumexp(distance + torch.log(share)[None, :], dim=1)
    return (weight * (own + likely)).mean() * 2 * variance
