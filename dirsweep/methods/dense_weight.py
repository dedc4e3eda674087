"""DenseWeight: weigh a sample by how rare labels like its own are, by a kernel density.

Steininger et al. (2021), "Density-based weighting for imbalanced regression", Machine Learning 110: with p
the density of the training labels (a normal kernel of Silverman's width 1.06 s n^(-1/5)), scaled to [0, 1]
over them, the weight is max(1 - alpha p, eps), over its mean.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

Floats = NDArray[np.float64]
MOST_AT_ONCE = 2000


def dense_weight(label: Floats, alpha: float, epsilon: float) -> Floats:
    """(N,) training labels to (N,) weights of mean 1."""
    distinct, place = np.unique(label, return_inverse=True)
    if len(distinct) == 1:
        return np.ones(len(label))
    density = gaussian_kde(label, bw_method=1.06 * len(label) ** -0.2)  # a multiple of the deviation
    parts = np.array_split(distinct, -(-len(distinct) // MOST_AT_ONCE))
    found = np.concatenate([density(part) for part in parts])
    scaled = (found - found.min()) / (found.max() - found.min()) if found.max() > found.min() else 0 * found
    weight = np.maximum(1 - alpha * scaled, epsilon)[place]
    return weight / weight.mean()
