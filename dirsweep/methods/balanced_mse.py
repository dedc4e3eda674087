"""Balanced MSE: the squared error of a model whose training labels are imbalanced and whose test is not.

Ren et al. (2022), "Balanced MSE for Imbalanced Visual Regression", CVPR: the prediction is the mean of a
normal distribution of deviation sigma, and its likelihood is divided by what the training labels make likely
anyway. Times 2 sigma^2, so that errors keep the size of a squared error; where sigma is learned, no gradient
goes into that factor. Three ways to take the integral:

- `bmc`, batch-based Monte Carlo: over the labels in the batch, a softmax over squared distances. As there, a
  batch of one sample has no loss;
- `bni`, bin-based numerical integration: over the bins, by their training counts;
- `gai`, in closed form: the training labels as a mixture of normal distributions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Deviation = float | Tensor
"""sigma, in units of the standardised label; a () tensor where it is learned."""


MIXTURE = 8
"""Normal distributions in the mixture, as in the paper."""


@dataclass(frozen=True)
class Mixture:
    """Normal distributions, in units of the standardised label.

    share, mean, variance: (M,) each; the shares add up to 1.
    """

    share: Tensor
    mean: Tensor
    variance: Tensor

    def to(self, device: str) -> "Mixture":
        """The same on a device, in float32."""
        return Mixture(*(part.to(device, torch.float32) for part in vars(self).values()))


def bmc(prediction: Tensor, target: Tensor, weight: Tensor, sigma: Deviation) -> Tensor:
    """Weighted mean over the batch of the cross-entropy that picks a sample's own label from the batch's.

    Args:
        prediction: (B,) predicted labels.
        target: (B,) standardised labels.
        weight: (B,) sample weights with mean 1 over the training split.
        sigma: deviation of the noise.
    """
    variance = sigma**2
    logits = -((prediction[:, None] - target[None, :]) ** 2) / (2 * variance)  # (B, B)
    return (weight * (torch.logsumexp(logits, dim=1) - logits.diagonal())).mean() * _size(variance)


def bni(
    prediction: Tensor, target: Tensor, weight: Tensor, sigma: Deviation, centres: Tensor, share: Tensor
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
    return (weight * (own + likely)).mean() * _size(variance)


def gai(prediction: Tensor, target: Tensor, weight: Tensor, sigma: Deviation, mixture: Mixture) -> Tensor:
    """Weighted mean of -log N(y; y^, sigma^2) + log sum over the mixture of its N(y^; m, s^2 + sigma^2).

    Args:
        prediction, target, weight, sigma: as for `bmc`.
        mixture: of the training labels.
    """
    deviation = sigma if isinstance(sigma, Tensor) else prediction.new_full((), sigma)  # made on the device
    variance = deviation**2
    own = (prediction - target) ** 2 / (2 * variance) + variance.log() / 2  # (B,)
    wide = mixture.variance + variance  # (M,)
    distance = (prediction[:, None] - mixture.mean[None, :]) ** 2 / (2 * wide)  # (B, M)
    likely = torch.logsumexp(mixture.share.log() - wide.log() / 2 - distance, dim=1)
    return (weight * (own + likely)).mean() * _size(variance)


def mixture(label: NDArray[np.float64], parts: int) -> Mixture:
    """The mixture of at most `parts` normal distributions that is most likely to give the (N,) labels.

    Expectation maximisation from equal parts at the labels' quantiles, so that there is no luck in it.
    """
    from sklearn.mixture import GaussianMixture  # takes a second

    parts = min(parts, len(np.unique(label)))
    places = np.quantile(label, (np.arange(parts) + 0.5) / parts)
    places += np.linspace(-1e-6, 1e-6, parts)  # many equal labels would make parts equal, and keep them so
    spread = label.var() / parts**2 + 1e-6
    model = GaussianMixture(
        parts,
        covariance_type="spherical",
        weights_init=np.full(parts, 1 / parts),
        means_init=places[:, None],
        precisions_init=np.full(parts, 1 / spread),
        init_params="random_from_data",  # is called, and overruled by the three above
        random_state=0,
        max_iter=1000,
    ).fit(label[:, None])
    found = (model.weights_, model.means_[:, 0], model.covariances_)
    return Mixture(*(torch.as_tensor(part) for part in found))


def _size(variance: Deviation) -> Deviation:
    return 2 * (variance.detach() if isinstance(variance, Tensor) else variance)
