"""Predictions against labels on val, by shot, beside the diagonal.

Up to 1,000 samples are drawn one by one as shapes; more become an image inside the SVG, so that a picture of
100,000 samples stays below 1 MB.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from dirsweep.pictures.colours import COLOURS, LINE, MARKS
from dirsweep.pictures.finished import Finished, in_words
from dirsweep.pictures.sheet import AS_SHAPES, LETTERS, Sheet, handle, legend, plain, style, svg, ticks
from dirsweep.shots import NAMES, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_predictions(trial: Finished, title: str) -> bytes:
    """One square panel; a sample above the diagonal is predicted too high."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        style(axes, trial.label, f"predicted {trial.label}")
        outside = _samples(axes, trial)
        axes.set_aspect("equal", adjustable="box")
        notes = [(handle(line="-"), "prediction = label")]
        if outside:
            notes.append((handle(), f"{outside:,} farther out, drawn on the edge"))
        legend(figure, [_legend(trial), notes])

    return svg(Sheet(f"Predictions on val: {title}", in_words(trial.config), (6.4, 6.8)), draw)


def _samples(axes: "Axes", trial: Finished) -> int:
    """Draw the samples and the diagonal; returns how many samples lie so far out that they were moved."""
    table = trial.predictions
    label, prediction = (table[name].to_numpy(dtype=np.float64) for name in ("target", "prediction"))
    log = bool(_long_tailed(label) and prediction.min() > 0)
    low, high = _limits(label, prediction, log=log)
    shown = prediction.clip(low, high)
    for shot in NAMES:
        own = (table["shot"] == shot).to_numpy()
        if own.any():
            axes.scatter(
                label[own],
                shown[own],
                s=float(np.clip(20_000 / len(table), 3, 16)),
                alpha=float(np.clip(1500 / len(table), 0.12, 0.7)),
                color=COLOURS[shot],
                marker=LETTERS[MARKS[shot]],
                linewidths=0,
                rasterized=len(table) > AS_SHAPES,
                gid=f"prediction-{shot}",
            )
    axes.plot([low, high], [low, high], color=LINE, linewidth=1.2, gid="diagonal")
    for axis in (axes.xaxis, axes.yaxis):
        ticks(axis, low, high, log=log)
    return int((shown != prediction).sum())


def _long_tailed(label: Floats) -> bool:
    """Whether the (N,) labels, but for the outermost two in a hundred, span over two decades."""
    low, high = np.quantile(label, [0.01, 0.99])
    return bool(label.min() > 0 and high > 100 * low)


def _limits(label: Floats, prediction: Floats, *, log: bool) -> tuple[float, float]:
    """The range of both axes: of labels and predictions, but at most half the labels' range beyond."""
    if log:
        low, high = _limits(np.log(label), np.log(prediction), log=False)
        return float(np.exp(low)), float(np.exp(high))
    lowest, highest = float(label.min()), float(label.max())
    span = highest - lowest or abs(highest) or 1.0
    low = max(min(lowest, float(prediction.min())), lowest - 0.5 * span)
    high = min(max(highest, float(prediction.max())), highest + 0.5 * span)
    return low - 0.03 * span, high + 0.03 * span


def _legend(trial: Finished) -> list[tuple[object, str]]:
    error = (trial.predictions["prediction"] - trial.predictions["target"]).abs()
    entries = []
    for shot in NAMES:
        own = error[trial.predictions["shot"] == shot]
        if len(own):
            noun = "sample" if len(own) == 1 else "samples"
            text = f"{shot}-shot: {len(own):,} {noun}, MAE {_three_digits(float(own.mean()))}"
            entries.append((handle(MARKS[shot], COLOURS[shot]), text))
    return entries


def _three_digits(value: float) -> str:
    if not 1e-4 <= value < 1e6:
        return plain(float(f"{value:.3g}"), 0.0)
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}"
