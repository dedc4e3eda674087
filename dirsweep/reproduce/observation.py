"""What the method starts from, looked for in our own runs.

Are norms ordinal where labels are common, and not where they are rare, and does the disorder go with the
training error?
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from dirsweep.finalize.training import Run
from dirsweep.reproduce.tuning import Table

SHOTS = ("many", "median", "few")


@dataclass(frozen=True)
class Order:
    """Of a base method's runs, in a shot: means over seeds.

    spearman: of label and norm over the bins; out_of_order: share of bins out of order with the next one.
    error: training error (MAE).
    """

    method: str
    shot: str
    spearman: float
    out_of_order: float
    error: float


@dataclass(frozen=True)
class Together:
    """Whether disorder and training error go together in a shot: Spearman's rho over the runs of all base
    methods, its p-value as if runs were independent, and how many runs."""

    shot: str
    rho: float
    p_value: float
    runs: int


@dataclass(frozen=True)
class Observed:
    """What was seen."""

    orders: Sequence[Order]
    together: Sequence[Together]


def observed(table: Table, runs: Sequence[Run]) -> Observed:
    """Over the base methods by themselves."""
    lines = [line for line in table.lines if line.stage2 == ""]
    found = {line.method: [run.metrics for run in runs if run.row.hash == line.row.hash] for line in lines}
    orders = [
        _order(line.method, shot, found[line.method])
        for line in lines
        for shot in SHOTS
        if found[line.method]
    ]
    everything = [one for those in found.values() for one in those]
    return Observed(orders, [_together(shot, everything) for shot in SHOTS])


def _order(method: str, shot: str, runs: Sequence[dict[str, float]]) -> Order:
    names = ("spearman", "out_of_order", "mae")
    means = (float(np.mean([run[f"train/{shot}/{name}"] for run in runs])) for name in names)
    return Order(method, shot, *means)


def _together(shot: str, runs: Sequence[dict[str, float]]) -> Together:
    disorder = np.array([run[f"train/{shot}/out_of_order"] for run in runs])
    error = np.array([run[f"train/{shot}/mae"] for run in runs])
    known = np.isfinite(disorder) & np.isfinite(error)
    disorder, error = disorder[known], error[known]
    if len(disorder) < 4 or not np.ptp(disorder) or not np.ptp(error):
        return Together(shot, float("nan"), float("nan"), len(disorder))
    rho = spearmanr(disorder, error)
    return Together(shot, float(rho.statistic), float(rho.pvalue), len(disorder))
