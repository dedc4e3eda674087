"""Rank-N-Contrast (also SupCR): the nearer two labels, the nearer their features, by contrast.

Zha et al. (2023), "Rank-N-Contrast: Learning Continuous Representations for Regression", NeurIPS, equation 2.
The batch holds two views of every sample. With s_ij = -||z_i - z_j|| / t, the loss is

    mean over i, j != i of -log( exp(s_ij) / sum over {k != i: |y_i - y_k| >= |y_i - y_j|} of exp(s_ik) )

Distances of standardised labels are not exact, so they are rounded to five decimals; the released code
compares the labels themselves.
"""

import torch
from torch import Tensor

DECIMALS = 5


def rank_n_contrast(z: Tensor, target: Tensor, temperature: float) -> Tensor:
    """The loss of a batch; 0 for a single row. Takes memory for B^2 numbers, not B^3.

    Args:
        z: (B, ...) features of the global batch, both views.
        target: (B,) standardised labels.
        temperature: t, in units of the feature.
    """
    z = z.to(torch.promote_types(z.dtype, torch.float32)).flatten(1)
    if len(z) < 2:
        return (0 * z).sum()
    similar = -torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist") / temperature  # (B, B)
    gap = (target[:, None] - target[None, :]).abs().round(decimals=DECIMALS)
    gap = gap.fill_diagonal_(-1.0)  # the row itself comes first, and drops out
    gap, order = gap.sort(dim=1)
    similar = similar.gather(1, order)
    beyond = similar.flip(1).logcumsumexp(1).flip(1)  # over the pairs from here on
    first = torch.searchsorted(gap, gap)  # where the pairs of the same distance begin
    return (beyond.gather(1, first) - similar)[:, 1:].mean()
