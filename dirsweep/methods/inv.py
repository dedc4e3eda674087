"""INV and SQINV: weight a sample by the inverse of its bin's training count, or of the root of it.

As in the reference code of Yang et al. (2021), "Delving into Deep Imbalanced Regression": INV clips
the counts (to [5, 1000] for ages), SQINV does not. `bin_weights` scales the result to mean 1.
"""

import numpy as np
from numpy.typing import NDArray


def inv(counts: NDArray[np.int64], clip_low: int, clip_high: int) -> NDArray[np.float64]:
    """(K,) counts n_b to (K,) weights 1 / n_b, with n_b clipped to [clip_low, clip_high]."""
    return 1.0 / np.clip(counts, clip_low, clip_high)


def sqinv(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) counts n_b to (K,) weights 1 / sqrt(n_b); an empty bin weighs like one with a single sample."""
    return 1.0 / np.sqrt(np.maximum(counts, 1))
