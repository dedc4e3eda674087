"""Norm ordinality and ordinal entropy in tensors of fixed shapes, so that on a GPU no step waits.

Nothing is picked out: all K bins stay, and bins or pairs that are not compared are masked. The formulas are
those of `norm_ordinality` and `ordinal_entropy`, which pick the compared bins out: that is simpler, and
faster on a CPU, where nothing waits. Here few operations count, for a GPU is through with each before the
next is started; so labels and norms, and all pairs, go through them together.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from dirsweep.config import KL, Hinge, Isotonic, Rank

EPS = 1e-8
"""Added to a variance before its root: bounds the gradient where all norms are equal."""


def bin_means(norm: Tensor, bin: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """As `norm_ordinality.bin_means`, by one product, which adds in the same order each time."""
    inside = (_places(count, norm.device)[0][:, None] == bin[None, :]).to(norm.dtype)  # (K, B)
    samples = inside.sum(1)
    return (inside @ norm) / samples.clamp_min(1), samples > 0


def compare(config: KL | Hinge | Rank | Isotonic, means: Tensor, compared: Tensor, centres: Tensor) -> Tensor:
    """L_ord of K bins of which some are compared; 0 if fewer than three are.

    Args:
        config: the kind, with its temperature or margin and its direction.
        means: (K,) mean norms, with gradient; those of bins that are not compared have no say.
        compared: (K,) which bins are.
        centres: (K,) rising bin centres y_b.
    """
    place, above = _places(len(means), means.device)
    count = compared.sum().clamp_min(1)
    low = centres.masked_fill(~compared, torch.inf).amin()
    reach = centres.masked_fill(~compared, -torch.inf).amax() - low
    y = (centres - low) * compared / reach.clamp_min(torch.finfo(centres.dtype).tiny)
    scores = _z_scored(torch.stack([y.to(means.dtype), means]), compared, count)  # (2, K)
    if config.direction == "decreasing":
        scores = torch.stack([scores[0], -scores[1]])
    rise = scores[:, None, :] - scores[:, :, None]  # (2, K, K), from bin i to bin j
    pairs = above & compared[:, None] & compared[None, :]
    match config:
        case KL(tau=tau, direction="free"):
            value = _pair_kl(rise, pairs, tau)
        case KL(tau=tau):
            value = _pair_kl(rise, pairs, tau) + _neighbour_hinge(rise, pairs, place, count, 0.0)
        case Hinge(margin=margin):
            value = _neighbour_hinge(rise, pairs, place, count, margin)
        case Rank(tau=tau):
            value = (F.softplus(-rise[1] / tau) * pairs).sum() / pairs.sum().clamp_min(1)
        case Isotonic():
            value = _isotonic_distance(scores[1], compared, place, count)
            value = value + _neighbour_hinge(rise, pairs, place, count, 0.0)
    return value * (count > 2)


@lru_cache(maxsize=8)
def _places(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(K,) 0, 1 ... K - 1, and the (K, K) mask of i < j."""
    place = torch.arange(size, device=device)
    return place, place[:, None] < place[None, :]


def _z_scored(values: Tensor, compared: Tensor, count: Tensor) -> Tensor:
    """(2, K) values, each row z-scored over the compared bins; 0 elsewhere."""
    mean = (values * compared).sum(1, keepdim=True) / count
    apart = (values - mean) * compared
    return apart * torch.rsqrt(apart.square().sum(1, keepdim=True) / count + EPS)


def _pair_kl(rise: Tensor, pairs: Tensor, tau: float) -> Tensor:
    least = torch.finfo(rise.dtype).min / 2  # not -inf: were no pair compared, its softmax would be NaN
    logits = (rise.abs() * (-1 / tau)).masked_fill(~pairs, least).flatten(1)
    log_p, log_q = F.log_softmax(logits, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum()  # p is 0, and the difference finite, where there is no pair


def _neighbour_hinge(rise: Tensor, pairs: Tensor, place: Tensor, count: Tensor, margin: float) -> Tensor:
    before = (pairs * (place[:, None] + 1)).amax(
        0
    ) - 1  # (K,) the compared bin before bin j; -1 if there is none
    neighbours = place[:, None] == before[None, :]
    return ((margin * rise[0] - rise[1]).clamp_min(0) * neighbours).sum() / (count - 1).clamp_min(1)


def _isotonic_distance(f: Tensor, compared: Tensor, place: Tensor, count: Tensor) -> Tensor:
    """The rising fit in closed form: max over j <= i of min over k >= i of mean(f_j .. f_k)."""
    with torch.no_grad():
        total, number = (F.pad(part.double().cumsum(0), (1, 0)) for part in (f * compared, compared))
        length = number[None, 1:] - number[:-1, None]  # (K, K) compared bins from j to k
        upward = place[:, None] <= place[None, :]
        mean = (total[None, 1:] - total[:-1, None]) / length.clamp_min(1)
        mean = mean.masked_fill(~(upward & compared[None, :] & compared[:, None]), torch.inf)
        least = mean.flip(1).cummin(1).values.flip(1)  # over k >= i
        usable = upward & compared[:, None]
        fit = least.masked_fill(~usable, -torch.inf).amax(0).masked_fill(~compared, 0)
    return ((f - fit.to(f.dtype)).square() * compared).sum() / count


def entropy(z: Tensor, bin: Tensor, centres: Tensor) -> Tensor:
    """Ordinal entropy of (B, d) features in (B,) bins with (K,) rising centres; 0 below two bins."""
    size = len(centres)
    inside = (_places(size, z.device)[0][:, None] == bin[None, :]).to(z.dtype)  # (K, B)
    here = inside.sum(1) > 0
    centre = unit(inside @ z)  # (K, d)
    tightness = torch.linalg.vector_norm(unit(z) - inside.T @ centre, dim=1).mean()
    low = centres.masked_fill(~here, torch.inf).amin()
    reach = centres.masked_fill(~here, -torch.inf).amax() - low
    i, j = torch.triu_indices(size, size, offset=1, device=z.device)  # the order of pdist
    pairs = here[i] & here[j]
    label_distance = (centres[j] - centres[i]) * pairs / reach.clamp_min(torch.finfo(centres.dtype).tiny)
    spread = (torch.pdist(centre) * label_distance.to(z.dtype)).sum()
    return (tightness - spread / pairs.sum().clamp_min(1)) * (here.sum() > 1)


def unit(vectors: Tensor) -> Tensor:
    """(N, d) vectors over their norms; a zero vector stays zero, with a finite gradient."""
    norm = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(norm > 0, norm, 1)
