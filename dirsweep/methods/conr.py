"""ConR: samples of unlike labels that are predicted alike push one another's features away.

Keramati, Meng and Evans (2024), "ConR: Contrastive Regularizer for Deep Imbalanced Regression", ICLR. The
batch holds two views of every sample. For a row i, rows j != i with |y_i - y_j| <= w are its positives P, and
rows q with |y_i - y_q| > w and |y^_i - y^_q| <= w its negatives N; with s the cosine over the temperature, i
pays

    mean over j in P of -log( exp(s_ij) / (sum over P of exp(s_ik) + sum over N of S_iq exp(s_iq)) )
    S_iq = weight_i exp(e_c |y_i - y_q|)

and nothing without negatives. The loss is the mean over all rows.

The released code differs: pairs that are no positives enter the first sum too, as exp(0) = 1; the loss of a
row is multiplied by its weight once more; its temperature is 0.07 whatever is asked for (the paper says 0.2).
`reference` does the first two; the third is a value of `temperature`. It takes two further views for this
loss, and a third for the error of the prediction; here the two views serve both.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

TOLERANCE = 1e-5
"""Standardised labels this near are one: their differences are not exact."""


def conr(
    z: Tensor,
    prediction: Tensor,
    target: Tensor,
    weight: Tensor,
    window: float,
    temperature: float,
    strength: float,
    *,
    reference: bool = False,
) -> Tensor:
    """The loss of a batch; 0 where no row has both positives and negatives.

    On a GPU, where a step would wait to learn which rows pay, all rows are computed and the others masked.

    Args:
        z: (B, ...) features of the global batch, both views.
        prediction: (B,) predicted labels; they only choose pairs, no gradient goes into them.
        target: (B,) standardised labels.
        weight: (B,) sample weights with mean 1 over the training split.
        window: w, in units of the standardised label.
        strength: e_c, per unit of the standardised label.
        reference: count as the released code does.
    """
    z = z.to(torch.promote_types(z.dtype, torch.float32)).flatten(1)
    unit = F.normalize(z, dim=1)
    similar = unit @ unit.T / temperature  # (B, B)
    gap = _distances(target)
    near = gap <= window + TOLERANCE
    positive = near & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    negative = ~near & (_distances(prediction.detach()) <= window)
    pays = positive.any(1) & negative.any(1)
    weight = weight.to(z.dtype)
    if z.is_cuda:
        return (_losses(similar, gap, weight, positive, negative, strength, reference) * pays).sum() / len(z)
    if not pays.any():
        return (0 * z).sum()
    similar, gap, weight = similar[pays], gap[pays], weight[pays]
    return _losses(similar, gap, weight, positive[pays], negative[pays], strength, reference).sum() / len(z)


def _losses(
    similar: Tensor,
    gap: Tensor,
    weight: Tensor,
    positive: Tensor,
    negative: Tensor,
    strength: float,
    reference: bool,
) -> Tensor:
    """(n,) of n rows against all B, (n, B); finite also for a row without positives or negatives."""
    none = torch.finfo(similar.dtype).min / 4  # its exponential is 0
    push = weight.clamp(min=torch.finfo(similar.dtype).tiny).log()[:, None] + strength * gap
    against = torch.logsumexp((similar + push).masked_fill(~negative, none), dim=1)
    alike = similar.masked_fill(~positive, 0.0 if reference else none)
    total = torch.logaddexp(torch.logsumexp(alike, dim=1), against)  # (n,)
    losses = total - (similar * positive).sum(1) / positive.sum(1).clamp_min(1)
    return losses * weight if reference else losses


def _distances(values: Tensor) -> Tensor:
    """(B,) to (B, B) absolute differences."""
    return (values[:, None] - values[None, :]).abs()
