"""MAE of every bin on val, over the histogram of the training labels that explains it.

A mark's size is the number of val samples that its mean rests on; small marks are noisy. With a stage 2 a
hollow mark shows the same bin after stage 1.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dirsweep.pictures.colours import COLOURS, MARKS, QUIET
from dirsweep.pictures.finished import Finished, in_words
from dirsweep.pictures.sheet import (
    AS_SHAPES,
    CROWD,
    LETTERS,
    Sheet,
    areas,
    handle,
    legend,
    shot_handles,
    size_handles,
    style,
    svg,
    ticks,
)
from dirsweep.shots import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG_COUNTS = 100
"""How many times the largest count is the smallest one, from where on counts have a logarithmic axis."""


def draw_errors(trial: Finished, title: str) -> bytes:
    """Errors above, counts below, on one axis of labels."""
    bins = trial.bins.assign(val_count=_val_counts(trial))
    scored = bins[bins["val_count"] > 0]
    staged = trial.config.stage2 is not None

    def draw(figure: "Figure") -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1.0))
        _errors(above, scored, staged)
        style(above, "", f"MAE on val ({trial.unit})")
        _counts(below, bins)
        style(below, trial.label, "training samples")
        low, high = bins["low"].min(), bins["high"].max()
        if trial.log_labels:
            ticks(below.xaxis, max(low, bins["centre"].min() / 1.5), high * 1.1, log=True)
        else:
            ticks(below.xaxis, low - 0.02 * (high - low), high + 0.02 * (high - low))
        figure.align_ylabels([above, below])
        legend(figure, _legend(bins, scored, staged))

    return svg(Sheet(f"Error per bin: {title}", in_words(trial.config), (7.6, 5.8)), draw)


def _val_counts(trial: Finished) -> Any:
    return np.bincount(trial.predictions["bin"], minlength=len(trial.bins))


def _errors(axes: "Axes", scored: pd.DataFrame, staged: bool) -> None:
    raster = len(scored) > AS_SHAPES
    for shot in NAMES:
        own = scored[scored["shot"] == shot]
        if own.empty:
            continue
        size, mark = areas(own["val_count"], scored["val_count"]), LETTERS[MARKS[shot]]
        if staged:
            axes.vlines(
                own["centre"],
                own["val_mae_stage1"],
                own["val_mae"],
                color=COLOURS[shot],
                linewidth=0.9,
                alpha=0.6,
                rasterized=raster,
                gid=f"change-{shot}",
            )
            axes.scatter(
                own["centre"],
                own["val_mae_stage1"],
                facecolors="white",
                edgecolors=COLOURS[shot],
                linewidths=0.8,
                marker=mark,
                s=0.4 * size,
                rasterized=raster,
                gid=f"stage1-mae-{shot}",
                zorder=2,
            )
        axes.scatter(
            own["centre"],
            own["val_mae"],
            facecolors=COLOURS[shot],
            edgecolors="white",
            linewidths=0.5 if len(scored) <= CROWD else 0,
            rasterized=raster,
            gid=f"mae-{shot}",
            zorder=3,
            marker=mark,
            s=size,
        )
    shown = scored[["val_mae", "val_mae_stage1"] if staged else ["val_mae"]]
    low, high = float(shown.min(axis=None)), float(shown.max(axis=None))
    usual = np.nanquantile(shown, [0.1, 0.9])
    if low > 0 and usual[1] > 100 * usual[0]:
        ticks(axes.yaxis, low / 1.3, high * 1.3, log=True)
    else:
        ticks(axes.yaxis, 0.0, 1.06 * high or 1.0)


def _counts(axes: "Axes", bins: pd.DataFrame) -> None:
    """Bars over the bins' whole widths; a bin without training samples has none."""
    from matplotlib.collections import PolyCollection

    sampled = bins[bins["train_count"] > 0]
    largest, smallest = sampled["train_count"].max(), sampled["train_count"].min()
    log = largest > LOG_COUNTS * smallest
    floor = 0.7 if log else 0.0
    for shot in NAMES:
        own = sampled[sampled["shot"] == shot]
        if own.empty:
            continue
        bars = [
            ((low, floor), (low, count), (high, count), (high, floor))
            for low, high, count in zip(own["low"], own["high"], own["train_count"], strict=True)
        ]
        axes.add_collection(
            PolyCollection(
                bars,
                facecolors=COLOURS[shot],
                edgecolors="white",
                linewidths=0.3 if len(bins) <= CROWD else 0,
                rasterized=len(bins) > AS_SHAPES,
                gid=f"count-{shot}",
            )
        )
    ticks(axes.yaxis, floor, largest * (1.5 if log else 1.06), log=log, whole=True)


def _legend(bins: pd.DataFrame, scored: pd.DataFrame, staged: bool) -> list[list[tuple[Any, str]]]:
    known = bins[(bins["train_count"] > 0) | (bins["val_count"] > 0)]
    columns = [shot_handles([shot for shot in NAMES if (known["shot"] == shot).any()])]
    if staged:
        columns.append(
            [
                (handle("circle", QUIET, filled=False, size=4), "after stage 1"),
                (handle("circle", QUIET), "after stage 2"),
            ]
        )
    return [*columns, size_handles(scored["val_count"], "val sample")]
