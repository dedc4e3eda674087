"""Cut labels into bins and the label range into many-, median- and few-shot regions.

A bin's region follows from how often its labels occur in the *training* split and from the two
cut-offs of the dataset; nothing that is searched can move it. `metrics` groups errors by it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dirsweep.config import BinEdges, BinWidth

MOST_BINS = 10_000
NAMES = ("many", "median", "few")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Bins:
    """Neighbouring bins over the label range.

    edges: (K + 1,) rising, in label units; bin b is [edges[b], edges[b + 1]), the last one closed.
    """

    edges: Floats
    width: BinWidth | None = None

    @cached_property
    def centres(self) -> Floats:
        """(K,) y_b, the middle of each bin."""
        return (self.edges[:-1] + self.edges[1:]) / 2

    def __len__(self) -> int:
        return len(self.edges) - 1

    def index(self, label: Floats) -> Ints:
        """(N,) labels to (N,) bin numbers. ValueError for a label outside all bins."""
        outside = self.outside(label)
        if outside.any():
            raise ValueError(
                f"label {label[outside][0]:g} lies outside the bins, which reach from "
                f"{self.edges[0]:g} to {self.edges[-1]:g}"
            )
        return self._find(label).astype(np.int64)

    def outside(self, label: Floats) -> NDArray[np.bool_]:
        """(N,) whether a label lies in no bin, as NaN does."""
        found = self._find(label)
        return ~((found >= 0) & (found < len(self)))

    def _find(self, label: Floats) -> Floats:
        """(N,) bin numbers as floats, which hold any whole number of steps and NaN."""
        if self.width is not None:
            return _steps(label, self.width) - _steps(self.edges[:1], self.width)[0]
        width = np.diff(self.edges)
        slack = 1e-9 * np.minimum(np.append(width, np.inf), np.insert(width, 0, np.inf))  # as in `_steps`
        found = np.searchsorted(self.edges - slack, label, side="right") - 1.0
        return np.where((found == len(self)) & (label <= self.edges[-1] + slack[-1]), len(self) - 1.0, found)


def cut_bins(config: BinWidth | BinEdges, label: Floats) -> Bins:
    """The bins of `config`; those of one width reach as far as the (N,) labels of all splits do."""
    if isinstance(config, BinEdges):
        return Bins(np.array(config.edges, dtype=np.float64))
    with np.errstate(over="ignore", invalid="ignore"):  # a width beside which the labels are endless
        first, last = _steps(np.array([label.min(), label.max()]), config)
        count = last - first + 1
    if not count <= MOST_BINS:
        many = f"{count:.0f}" if np.isfinite(count) else "endlessly many"
        raise ValueError(
            f"bins of width {config.width:g} over labels from {label.min():g} to {label.max():g} make "
            f"{many} bins; choose a width that makes at most {MOST_BINS}"
        )
    return Bins(config.start + config.width * np.arange(first, last + 2, dtype=np.float64), config)


def _steps(label: Floats, config: BinWidth) -> Floats:
    """Whole widths between `start` and each label; a label within 1e-9 widths of an edge is on it.

    So 0.1 * 3 = 0.30000000000000004 and 0.8 - 0.5 = 0.30000000000000004 lie where 0.3 does, in bin 3 of width
    0.1, though 0.3 / 0.1 = 2.9999999999999996. Large labels are rounded coarser than 1e-9 widths as it is.
    """
    steps = (label - config.start) / config.width
    nearest = np.round(steps)
    rounding = 2 * np.finfo(np.float64).eps * (np.abs(label) + abs(config.start)) / config.width
    with np.errstate(invalid="ignore"):  # an infinite label stays infinite, and lies in no bin
        on_edge = np.abs(steps - nearest) <= 1e-9 + rounding
    return np.where(on_edge, nearest, np.floor(steps))


@dataclass(frozen=True)
class Shots:
    """The regions of the label range.

    counts: (K,) n_b, training samples of each bin.
    many_above, few_below: many has n_b > many_above, few has n_b < few_below, median the rest.
    few_listed: bins that a benchmark's published list calls few though the rule would not.
    """

    bins: Bins
    counts: Ints
    many_above: int = 100
    few_below: int = 20
    few_listed: tuple[int, ...] = ()

    @cached_property
    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """Region name to (K,) mask of its bins: all, many, median, few, and zero (absent from training)."""
        few = self.counts < self.few_below
        few[list(self.few_listed)] = True
        many = (self.counts > self.many_above) & ~few
        return {
            "all": np.ones(len(self.counts), dtype=bool),
            "many": many,
            "median": ~many & ~few,
            "few": few,
            "zero": self.counts == 0,
        }

    @cached_property
    def names(self) -> NDArray[np.str_]:
        """(K,) region of each bin: many, median or few (a bin absent from training is few)."""
        return np.select([self.masks["many"], self.masks["few"]], ["many", "few"], "median")


def cut_shots(
    bins: Bins,
    training_label: Floats,
    many_above: int,
    few_below: int,
    few_listed: tuple[int, ...] = (),
) -> Shots:
    """Count the (N,) training labels per bin. ValueError if there are none."""
    if len(training_label) == 0:
        raise ValueError("the training split is empty")
    counts = np.bincount(bins.index(training_label), minlength=len(bins)).astype(np.int64)
    return Shots(bins, counts, many_above, few_below, few_listed)


def check_threshold(counts: NDArray[np.int64], theta: int) -> None:
    """ValueError unless at least two bins have more than `theta` of the (K,) training counts."""
    if (counts > theta).sum() >= 2:
        return
    largest = np.sort(counts)[::-1][:2]
    if len(largest) < 2 or largest[1] == 0:
        advice = "no threshold leaves two, since the training labels fall into one bin; cut narrower bins"
    else:
        advice = f"choose at most {largest[1] - 1}, the largest threshold that leaves two"
    raise ValueError(
        f"stage2.majority_threshold {theta} leaves fewer than two majority bins (bins with more than {theta} "
        f"training samples): the largest bin has n_b = {largest[0]}; {advice}"
    )
