"""Norm ordinality and ordinal entropy in tensors of fixed shapes, so that on a GPU no step waits.

The bins that are compared are moved to the front, in label order, and what stands behind them is masked. The
formulas are those of `norm_ordinality` and `ordinal_entropy`, which pick the compared bins out instead: that
is simpler, and faster on a CPU, where nothing waits.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dirsweep.config import KL, Hinge, Isotonic, Rank

EPS = 1e-8
"""Added to a variance before its root: bounds the gradient where all norms are equal."""


def compare(config: KL | Hinge | Rank | Isotonic, means: Tensor, compared: Tensor, centres: Tensor) -> Tensor:
    """L_ord of K bins of which some are compared; 0 if fewer than three are.

    Args:
        config: the kind, with its temperature or margin and its direction.
        means: (K,) mean norms, with gradient; those of bins that are not compared have no say.
        compared: (K,) which bins are.
        centres: (K,) rising bin centres y_b.
    """
    place = (~compared).to(torch.uint8).argsort(stable=True)  # the compared ones first, in label order
    count = compared.sum()
    here = torch.arange(len(means), device=means.device) < count  # (K,)
    y = centres[place]
    reach = y.gather(0, (count - 1).clamp(min=0)[None]) - y[0]
    y = _z_scored((y - y[0]) / torch.where(reach > 0, reach, 1), here, count).to(means.dtype)
    f = _z_scored(means[place], here, count)
    if config.direction == "decreasing":
        f = -f
    match config:
        case KL(tau=tau, direction="free"):
            value = _pair_kl(y, f, here, tau)
        case KL(tau=tau):
            value = _pair_kl(y, f, here, tau) + _neighbour_hinge(y, f, here, count, 0.0)
        case Hinge(margin=margin):
            value = _neighbour_hinge(y, f, here, count, margin)
        case Rank(tau=tau):
            value = _pair_logistic(f, here, count, tau)
        case Isotonic():
            value = _isotonic_distance(f, here, count) + _neighbour_hinge(y, f, here, count, 0.0)
    return torch.where(count < 3, 0, value)


def _z_scored(values: Tensor, here: Tensor, count: Tensor) -> Tensor:
    """(K,) values, z-scored over those that are here; 0 elsewhere."""
    number = count.clamp(min=1)
    apart = torch.where(here, values - torch.where(here, values, 0).sum() / number, 0)
    return apart * torch.rsqrt(apart.square().sum() / number + EPS)


def _pairs(here: Tensor) -> Tensor:
    """(K, K) which pairs i < j are of two bins that are here."""
    return (here[:, None] & here[None, :]).triu(1)


def _pair_kl(y: Tensor, f: Tensor, here: Tensor, tau: float) -> Tensor:
    pairs = _pairs(here)
    least = torch.finfo(f.dtype).min / 2  # not -inf: were no pair here, its softmax would be NaN
    log_p, log_q = (
        F.log_softmax(
            (-(v[:, None] - v[None, :]).abs() / tau).masked_fill(~pairs, least).flatten(), dim=0
        ).view_as(pairs)
        for v in (y, f)
    )
    return torch.where(pairs, log_p.exp() * (log_p - log_q), 0).sum()


def _neighbour_hinge(y: Tensor, f: Tensor, here: Tensor, count: Tensor, margin: float) -> Tensor:
    short = (margin * y.diff() - f.diff()).clamp_min(0)
    return torch.where(here[1:], short, 0).sum() / (count - 1).clamp(min=1)


def _pair_logistic(f: Tensor, here: Tensor, count: Tensor, tau: float) -> Tensor:
    terms = F.softplus((f[:, None] - f[None, :]) / tau)
    return torch.where(_pairs(here), terms, 0).sum() / (count * (count - 1) / 2).clamp(min=1)


def _isotonic_distance(f: Tensor, here: Tensor, count: Tensor) -> Tensor:
    """The rising fit in closed form: max over j <= i of min over k >= i of mean(f_j .. f_k)."""
    with torch.no_grad():
        size = len(f)
        total = F.pad(torch.where(here, f, 0).double().cumsum(0), (1, 0))  # (K + 1,)
        place = torch.arange(size, device=f.device)
        length = (place[None, :] - place[:, None] + 1).clamp(min=1)
        mean = (total[None, 1:] - total[:-1, None]) / length  # (K, K), from j to k
        usable = here[None, :] & (place[None, :] >= place[:, None])
        mean = torch.where(usable, mean, torch.inf)
        least = mean.flip(1).cummin(1).values.flip(1)  # over k >= i
        least = torch.where(place[:, None] <= place[None, :], least, -torch.inf)
        fit = torch.where(here, least.amax(0), 0).to(f.dtype)
    return torch.where(here, (f - fit).square(), 0).sum() / count.clamp(min=1)


def entropy(z: Tensor, bin: Tensor, centres: Tensor) -> Tensor:
    """Ordinal entropy of (B, d) features in (B,) bins with (K,) rising centres; 0 below two bins."""
    size = len(centres)
    total = z.new_zeros(size, z.shape[1]).index_add(0, bin, z)
    here = z.new_zeros(size).index_add(0, bin, torch.ones_like(z[:, 0])) > 0
    count = here.sum()
    centre = unit(total)  # (K, d)
    tightness = torch.linalg.vector_norm(unit(z) - centre.index_select(0, bin), dim=1).mean()
    low = torch.where(here, centres, torch.inf).min()
    high = torch.where(here, centres, -torch.inf).max()
    i, j = torch.triu_indices(size, size, offset=1, device=z.device)  # the order of pdist
    label_distance = (centres[j] - centres[i]) / torch.where(high > low, high - low, 1)
    spread = torch.where(here[i] & here[j], torch.pdist(centre) * label_distance.to(z.dtype), 0).sum()
    return torch.where(count < 2, 0, tightness - spread / (count * (count - 1) / 2).clamp(min=1))


def unit(vectors: Tensor) -> Tensor:
    """(N, d) vectors over their norms; a zero vector stays zero, with a finite gradient."""
    norm = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(norm > 0, norm, 1)
