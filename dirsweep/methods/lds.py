"""LDS, label distribution smoothing: weights from counts that are smoothed over neighbouring bins.

Yang et al. (2021), "Delving into Deep Imbalanced Regression", ICML. With k the kernel and n_b the
training counts, the weight is 1 / (k * sqrt(n))_b with `root` (the reference code combines LDS with
SQINV by smoothing the *roots* of the counts) and 1 / (k * n)_b without (there the reference would
clip the counts first; we do not). The kernel is normalised to a peak of 1, and bins beyond the
ends of the label range count as empty.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter1d

from dirsweep.config import LDS, Window


def lds(config: LDS, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) counts n_b to (K,) weights; `bin_weights` scales them to mean 1."""
    count = np.sqrt(counts) if config.root else counts.astype(np.float64)
    smoothed = convolve1d(count, kernel(config), mode="constant", cval=0.0)
    # At least n_b, the kernel's peak being 1: this floor acts on bins with no sample in reach alone.
    return 1.0 / np.maximum(smoothed, 1.0)


def kernel(config: Window) -> NDArray[np.float64]:
    """(size,) smoothing window with a peak of 1.

    The gaussian is the reference's: a unit impulse of `size` bins, filtered with mirrored ends, hence
    flatter at its ends than the bell curve.
    """
    half = config.size // 2
    offset = np.arange(-half, half + 1)
    match config.kernel:
        case "gaussian":
            window = gaussian_filter1d((offset == 0).astype(np.float64), sigma=config.sigma)
        case "triang":
            window = 1.0 - np.abs(offset) / (half + 1)
        case "laplace":
            window = np.exp(-np.abs(offset) / config.sigma)
    return window / window.max()
