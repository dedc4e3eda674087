"""VIR: a feature is a normal distribution, moved toward its neighbours'; a label a normal-inverse-gamma one.

Wang and Wang (2023), "Variational Imbalanced Regression: Fair Uncertainty Quantification via Probabilistic
Smoothing", NeurIPS. Two halves that also act alone: a loss, `nig`, and a feature method, `vir`.

The loss: the prediction y^ is where a normal-inverse-gamma distribution lies. Two further rows (a, c) on what
the head is given say how many samples it is worth and how wide it is; a sample's weight w multiplies the
former. With e = y - y^:

    n = 2 + 10 softplus(a / 10),  v = w n,  alpha = 0.3 + w n / 2,  beta = softplus(c),  B = 2 beta (1 + v)
    mean of  log(pi / v) / 2 - alpha log B + (alpha + 1/2) log(v e^2 + B)
             + log Gamma(alpha) - log Gamma(alpha + 1/2)  +  evidence * |e| (2 v + alpha)

but for the last summand -log of the Student distribution that the label then has. As in the released code,
the prior is worth 0.3 in alpha and nothing else; its beta, in squared years, is 10 softplus(c / 10).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

ALPHA = 0.3
"""alpha before any sample."""

LEAST = 1e-6
"""Below, a width or a variance would divide by nothing."""


def evidence(given: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """What the prediction is worth: pseudo-counts n (B,), at least 2, and widths beta (B,), above 0.

    Args:
        given: (B, d) what the head was given.
        weight, bias: (2, d) and (2,), of the two rows.
    """
    counts, widths = F.linear(given, weight, bias).unbind(1)
    return 2 + F.softplus(counts, beta=0.1), F.softplus(widths) + LEAST


def nig(
    prediction: Tensor, target: Tensor, weight: Tensor, count: Tensor, beta: Tensor, strength: float
) -> Tensor:
    """The loss of a batch, the mean over its samples; it may be negative.

    Args:
        prediction: (B,) predicted labels.
        target: (B,) standardised labels.
        weight: (B,) sample weights with mean 1 over the training split.
        count, beta: (B,) as `evidence` gives them.
        strength: of the evidence, in units of one over the standardised label; 0 leaves it out.
    """
    v, alpha = weight * count, ALPHA + weight * count / 2
    error, wide = target - prediction, 2 * beta * (1 + weight * count)
    loss = (
        torch.log(math.pi / v) / 2
        - alpha * wide.log()
        + (alpha + 0.5) * (v * error**2 + wide).log()
        + torch.lgamma(alpha)
        - torch.lgamma(alpha + 0.5)
    )
    if strength > 0:
        loss = loss + strength * error.abs() * (2 * v + alpha)
    return loss.mean()
