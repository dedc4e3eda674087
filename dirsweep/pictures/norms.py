"""The method's central picture: the mean feature norm of every bin over its label.

Norms are ordinal where marks rise from left to right, and Spearman's rho says how far they do over all bins;
whether the majority bins foretell the rare ones shows in how close those lie to the dashed part of the line.
Filled marks are the bins that the line was fitted on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dirsweep.pictures.colours import COLOURS, LINE, MARKS
from dirsweep.pictures.finished import Finished, in_words, read_finished
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
from dirsweep.storage import Folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.8, 4.9


@dataclass(frozen=True)
class Panel:
    """One panel: the norms of a trial in a column of its bins; `key` names it inside the SVG."""

    key: str
    title: str
    trial: Finished
    column: str = "norm"


def draw_norms(trial: Finished, title: str) -> bytes:
    """Before and after stage 2, side by side on one scale; a single panel without a stage 2."""
    if trial.config.stage2 is None:
        panels = [Panel("end", "at the end of training", trial)]
    else:
        before = Panel("stage1", "after stage 1", trial, "norm_stage1")
        panels = [before, Panel("end", "after stage 2", trial)]
    return _picture(f"Feature norms: {title}", in_words(trial.config), panels, one_scale=True)


def norms_of_runs(runs: Mapping[str, Folder]) -> bytes:
    """The end of several finished trials side by side, by title, each on a scale of its own."""
    panels = [
        Panel(f"run{number}", title, read_finished(folder))
        for number, (title, folder) in enumerate(runs.items())
    ]
    return _picture("Feature norms at the end of training", "", panels, one_scale=False)


def _picture(title: str, below: str, panels: Sequence[Panel], *, one_scale: bool) -> bytes:
    width = max(6.2, WIDTH * len(panels))

    def draw(figure: "Figure") -> None:
        every = figure.subplots(1, len(panels), sharey=one_scale, squeeze=False)[0]
        limits = [_limits(panel) for panel in panels]
        if one_scale:
            limits = [(min(low for low, _ in limits), max(high for _, high in limits))] * len(panels)
        for axes, panel, (low, high) in zip(every, panels, limits, strict=True):
            _panel(axes, panel)
            style(axes, panel.trial.label, "mean feature norm of a bin" if axes is every[0] else "")
            axes.set_title(_headed(panel), size=10)
            ticks(axes.yaxis, low, high)
        legend(figure, _legend(panels))

    return svg(Sheet(title, below, (width, HEIGHT)), draw)


def _headed(panel: Panel) -> str:
    """The panel's title, with how far norms rise with the label."""
    stage = "stage1/" if panel.column == "norm_stage1" else ""
    rho = panel.trial.metrics.get(f"{stage}train/all/spearman", math.nan)
    return panel.title if math.isnan(rho) else f"{panel.title} (Spearman {rho:.2f})"


def _limits(panel: Panel) -> tuple[float, float]:
    """How far up and down the panel reaches: to its marks, and to the line unless that runs far away."""
    bins, fitted = panel.trial.bins, panel.trial.fitted
    marks = bins[panel.column].dropna()
    low, high = float(marks.min()), float(marks.max())
    if fitted is not None:
        span = high - low
        low = max(min(low, fitted.min()), low - span, 0.0)
        high = min(max(high, fitted.max()), high + span)
    pad = 0.06 * (high - low) or 0.06 * high or 1.0
    return low - pad, high + pad


def _panel(axes: "Axes", panel: Panel) -> None:
    bins = panel.trial.bins
    sampled = bins[bins["train_count"] > 0]
    around_full, around_hollow = (0.3, 1.1) if len(sampled) <= CROWD else (0.0, 0.5)
    _line(axes, panel)
    for shot in NAMES:
        own = sampled[sampled["shot"] == shot]
        if own.empty:
            continue
        filled = own["majority"] | (panel.trial.fitted is None)
        axes.scatter(
            own["centre"],
            own[panel.column],
            s=areas(own["train_count"], sampled["train_count"]),
            facecolors=[COLOURS[shot] if full else "white" for full in filled],
            edgecolors=["white" if full else COLOURS[shot] for full in filled],
            linewidths=[around_full if full else around_hollow for full in filled],
            marker=LETTERS[MARKS[shot]],
            rasterized=len(bins) > AS_SHAPES,
            gid=f"{panel.key}-norm-{shot}",
            zorder=3,
        )
    low, high = bins["centre"].min(), bins["centre"].max()
    if panel.trial.log_labels:
        ticks(axes.xaxis, low / 1.6, high * 1.6, log=True)
    else:
        pad = 0.03 * (high - low) or 1.0
        ticks(axes.xaxis, low - pad, high + pad)


def _line(axes: "Axes", panel: Panel) -> None:
    """The majority fit: solid from its first to its last bin, dashed where it extrapolates."""
    bins, fitted = panel.trial.bins, panel.trial.fitted
    if fitted is None:
        return
    x = bins["centre"].to_numpy()
    first, last = np.flatnonzero(bins["majority"])[[0, -1]]
    parts = {
        "line": (slice(first, last + 1), "-"),
        "extension-low": (slice(0, first + 1), "--"),
        "extension-high": (slice(last, None), "--"),
    }
    for name, (part, dashes) in parts.items():
        if len(x[part]) > 1:
            axes.plot(
                x[part],
                fitted[part],
                dashes,
                color=LINE,
                linewidth=1.2,
                gid=f"{panel.key}-{name}",
                zorder=4 if name == "line" else 2,
            )
    floored = bins[_floored(panel.trial)]
    if len(floored):
        axes.scatter(
            floored["centre"],
            floored["norm_target"],
            marker="_",
            s=36,
            color=LINE,
            linewidths=1.4,
            gid=f"{panel.key}-floored",
            zorder=2,
        )


def _floored(trial: Finished) -> Any:
    """(K,) bins that stage 2 pulls to another norm than the line's."""
    bins, fitted = trial.bins, trial.fitted
    if fitted is None:
        return np.zeros(len(bins), dtype=bool)
    sampled = ~bins["majority"].to_numpy() & (bins["train_count"].to_numpy() > 0)
    return sampled & ~np.isclose(bins["norm_target"], fitted, rtol=1e-3)


def _legend(panels: Sequence[Panel]) -> list[list[tuple[Any, str]]]:
    bins = panels[0].trial.bins
    sampled = bins[bins["train_count"] > 0]
    columns = [shot_handles([shot for shot in NAMES if (sampled["shot"] == shot).any()])]
    with_fit = [panel.trial for panel in panels if panel.trial.fitted is not None]
    if with_fit:
        lines = [(handle(line="-"), "line through the majority bins")]
        if not bins["majority"].iloc[[0, -1]].all():
            lines.append((handle(line="--"), "its extension to the rare ones"))
        if any(_floored(trial).any() for trial in with_fit):
            lines.append((handle("_", size=8), "target of stage 2 where the line is floored"))
        used = [(handle("circle"), "bin in the fit")]
        if not sampled["majority"].all():
            used.append((handle("circle", filled=False), "bin outside the fit"))
        columns += [lines, used]
    return [*columns, size_handles(sampled["train_count"], "training sample")]
