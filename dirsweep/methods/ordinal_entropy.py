"""Ordinal entropy: tight features within a bin, distant ones between bins of distant labels.

Zhang et al. (2023), "Improving Deep Regression with Ordinal Entropy", ICLR. Serves as L_oe inside the
norm-ordinality term and as a method of its own; it looks at directions alone, not at norms.
"""

import torch
from torch import Tensor

from dirsweep.methods import fixed_shape
from dirsweep.methods.fixed_shape import unit


def ordinal_entropy(z: Tensor, bin: Tensor, centres: Tensor) -> Tensor:
    """Mean distance of a sample to its bin's centre, less the mean weighted distance between centres.

    With u = z / ||z|| and c_b the normalised mean feature of bin b: mean over samples of ||u - c_b|| minus
    mean over pairs i < j of ||c_i - c_j|| |y_i - y_j| / (max y - min y), over the bins in the batch.
    Fewer than two bins give 0.

    Args:
        z: (B, ...) features of the global batch.
        bin: (B,) int64 label bins.
        centres: (K,) rising bin centres y_b, in label units.
    """
    z = z.to(torch.promote_types(z.dtype, torch.float32)).flatten(1)
    if z.is_cuda:
        return fixed_shape.entropy(z, bin, centres)
    found, group = bin.unique(return_inverse=True)  # (U,) in label order, (B,)
    if len(found) < 2:
        return (0 * z).sum()
    total = z.new_zeros(len(found), z.shape[1]).index_add(0, group, z)
    # The sum has the direction of the mean, which is all that is left after normalising.
    centre = unit(total)  # (U, d)
    tightness = torch.linalg.vector_norm(unit(z) - centre.index_select(0, group), dim=1).mean()
    y = centres[found]
    label_distance = torch.pdist(((y - y[0]) / (y[-1] - y[0])).unsqueeze(1), p=1)  # (U (U - 1) / 2,)
    return tightness - (torch.pdist(centre) * label_distance.to(z.dtype)).mean()
