"""Norm ordinality: make the mean feature norm of a bin rise with its label.

L_ord of the first stage. Bins are compared by their mean norms after z-scoring, so no kind can be
met by blowing up or shrinking the feature. With EMA prototypes a few-shot bin is compared with every
bin seen so far, not only with the few that share its batch. Here the compared bins are picked out; on a
GPU, where a step would wait to learn which they are, `fixed_shape` has the same formulas.
"""

from dataclasses import dataclass

import torch
from scipy.optimize import isotonic_regression
from torch import Tensor
from torch.nn import functional as F

from dirsweep.config import KL, Hinge, Isotonic, Rank
from dirsweep.methods import fixed_shape
from dirsweep.methods.fixed_shape import EPS

__all__ = ["EPS", "RunningNorms", "bin_means", "feature_norm", "norm_ordinality"]


def feature_norm(z: Tensor) -> Tensor:
    """(B, ...) features to their (B,) Frobenius norms, in float32; the gradient at z = 0 is 0."""
    z = z.to(torch.promote_types(z.dtype, torch.float32))  # float64 stays
    return torch.linalg.vector_norm(z.flatten(1), dim=1)


def bin_means(norm: Tensor, bin: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean norm of each of `count` bins in the batch.

    Args:
        norm: (B,) feature norms.
        bin: (B,) int64 label bins.
        count: K, the number of bins.

    Returns:
        (K,) means, 0 for a bin that is not in the batch, and the (K,) mask of those that are.
    """
    if norm.is_cuda:
        return fixed_shape.bin_means(norm, bin, count)
    total = norm.new_zeros(count).index_add(0, bin, norm)
    samples = norm.new_zeros(count).index_add(0, bin, torch.ones_like(norm))
    return total / samples.clamp_min(1), samples > 0


@dataclass
class RunningNorms:
    """EMA prototypes: a running mean of each bin's norm, kept in the checkpoint.

    mean: (K,) running means; 0 for a bin never seen.
    seen: (K,) whether a bin has been in a batch yet.
    """

    mean: Tensor
    seen: Tensor

    @classmethod
    def empty(cls, count: int, device: torch.device | str = "cpu") -> "RunningNorms":
        """The state before the first step: none of `count` bins seen."""
        return cls(torch.zeros(count, device=device), torch.zeros(count, dtype=torch.bool, device=device))

    @torch.no_grad()
    def update(self, norm: Tensor, bin: Tensor, momentum: float) -> None:
        """Move toward the batch of (B,) norms and bins; to be called after the step.

        The first sight of a bin sets its mean; an absent bin keeps its own. `momentum` is the share kept.
        """
        batch, present = bin_means(norm.detach().to(self.mean.dtype), bin, len(self.mean))
        moved = torch.where(self.seen, momentum * self.mean + (1 - momentum) * batch, batch)
        self.mean.copy_(
            torch.where(present, moved, self.mean)
        )  # in place: the checkpoint holds these tensors
        self.seen.logical_or_(present)


def norm_ordinality(
    config: KL | Hinge | Rank | Isotonic,
    norm: Tensor,
    bin: Tensor,
    centres: Tensor,
    running: RunningNorms | None,
) -> Tensor:
    """L_ord: how far the bins' mean norms are from the order of their labels.

    Fewer than three compared bins give 0, since two z-scored norms are always -1 and 1.

    Args:
        config: the kind, with its temperature or margin and its direction.
        norm: (B,) feature norms of the global batch, with gradient.
        bin: (B,) int64 label bins.
        centres: (K,) rising bin centres y_b, in label units.
        running: EMA prototypes, by which bins absent from the batch take part; None leaves them out.
    """
    means, compared = bin_means(norm, bin, len(centres))
    if running is not None:
        means = torch.where(compared, means, running.mean)
        compared = compared | running.seen
    if norm.is_cuda:
        return fixed_shape.compare(config, means, compared, centres)
    index = compared.nonzero().squeeze(1)  # (C,), in label order
    if len(index) < 3:
        return (0 * norm).sum()
    y = centres[index]
    y = z_scored((y - y[0]) / (y[-1] - y[0])).to(norm.dtype)  # EPS must not see the label's unit
    f = z_scored(means[index])
    if config.direction == "decreasing":
        f = -f
    match config:
        case KL(tau=tau, direction="free"):
            return pair_kl(y, f, tau)
        case KL(tau=tau):
            return pair_kl(y, f, tau) + neighbour_hinge(y, f, 0.0)
        case Hinge(margin=margin):
            return neighbour_hinge(y, f, margin)
        case Rank(tau=tau):
            return pair_logistic(f, tau)
        case Isotonic():
            return isotonic_distance(f) + neighbour_hinge(y, f, 0.0)


def z_scored(values: Tensor) -> Tensor:
    """(C,) values less their mean, over sqrt(variance + EPS), all with gradient: one layer norm."""
    return F.layer_norm(values, values.shape, eps=EPS)


def pair_kl(y: Tensor, f: Tensor, tau: float) -> Tensor:
    """KL(p || q) with p and q the softmax of -|y_i - y_j| / tau and of -|f_i - f_j| / tau over all pairs.

    Over the pairs i < j: both distances are symmetric, so the sum over ordered pairs is the same.
    0 where f is +-y.
    """
    log_p = F.log_softmax(-torch.pdist(y.unsqueeze(1), p=1) / tau, dim=0)  # (C (C - 1) / 2,)
    log_q = F.log_softmax(-torch.pdist(f.unsqueeze(1), p=1) / tau, dim=0)
    return F.kl_div(log_q, log_p, reduction="sum", log_target=True)


def neighbour_hinge(y: Tensor, f: Tensor, margin: float) -> Tensor:
    """Mean over neighbours of max(0, margin * (y_next - y) - (f_next - f)), for rising (C,) y."""
    return (margin * y.diff() - f.diff()).clamp_min(0).mean()


def pair_logistic(f: Tensor, tau: float) -> Tensor:
    """Mean over pairs i < j of log(1 + exp((f_i - f_j) / tau)), for (C,) f in order of rising label."""
    i, j = torch.triu_indices(len(f), len(f), offset=1, device=f.device)
    return F.softplus((f[i] - f[j]) / tau).mean()


def isotonic_distance(f: Tensor) -> Tensor:
    """Mean squared distance of (C,) f to its rising least-squares fit, which carries no gradient."""
    fit = isotonic_regression(f.detach().cpu().numpy()).x
    return (f - torch.as_tensor(fit, dtype=f.dtype, device=f.device)).square().mean()
