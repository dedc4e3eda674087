"""Learning curves: the error on val per shot over the epochs of all phases.

What a stage hands on need not be its last epoch: the epoch that the trial's result comes from is marked, and
so is the one that stage 2 went on from.
"""

import math
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from dirsweep.pictures.colours import ALL, COLOURS, LINE, MARKS, QUIET
from dirsweep.pictures.finished import Finished, in_words
from dirsweep.pictures.sheet import LETTERS, Sheet, handle, legend, style, svg, ticks
from dirsweep.shots import NAMES
from dirsweep.storage import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW_EPOCHS = 40
"""Up to so many, each epoch has a mark of its own."""
STYLES = {"all": (ALL, "."), **{shot: (COLOURS[shot], LETTERS[MARKS[shot]]) for shot in NAMES}}


def draw_curves(trial: Finished, title: str) -> bytes:
    """A curve for each shot that val has samples of, and one over all labels."""
    epochs = [record["epoch"] for record in trial.records]
    curves = {
        shot: np.array([record["metrics"].get(f"val/{shot}/mae", math.nan) for record in trial.records])
        for shot in STYLES
    }
    curves = {shot: values for shot, values in curves.items() if np.isfinite(values).any()}
    handed = _handed_on(trial)
    marked = len(epochs) <= FEW_EPOCHS

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for shot, values in curves.items():
            colour, mark = STYLES[shot]
            axes.plot(
                epochs,
                values,
                color=colour,
                marker=mark if marked else "",
                markersize=4,
                linewidth=1.8 if shot == "all" else 1.3,
                gid=f"mae-{shot}",
            )
            axes.scatter(
                handed,
                [values[epoch - 1] for epoch in handed],
                s=90,
                facecolors="none",
                edgecolors=colour,
                linewidths=1.4,
                gid=f"handed-on-{shot}",
                zorder=4,
                clip_on=False,
            )
        style(axes, "epoch", f"MAE on val ({trial.unit})")
        every = np.concatenate(list(curves.values()))
        low, high = float(np.nanmin(every)), float(np.nanmax(every))
        if low > 0 and high > 100 * low:
            ticks(axes.yaxis, low / 1.2, high * 1.6, log=True)
        else:
            ticks(axes.yaxis, 0.0, 1.15 * high or 1.0)
        ticks(axes.xaxis, 0.5, epochs[-1] + 0.5, whole=True)
        _phases(axes, trial.records)
        shots = [
            (handle(STYLES[shot][1] if marked else "", STYLES[shot][0], line="-", size=4), _named(shot))
            for shot in curves
        ]
        ring = (handle("circle", LINE, filled=False, size=8), _ring(handed))
        legend(figure, [shots[:2], shots[2:], [ring]])

    return svg(Sheet(f"Learning curves: {title}", in_words(trial.config), (7.6, 4.8)), draw)


def _named(shot: str) -> str:
    return "all labels" if shot == "all" else f"{shot}-shot"


def _ring(handed: list[int]) -> str:
    if len(handed) == 1:
        return f"the result: epoch {handed[0]}"
    return f"stage 2 goes on from epoch {handed[0]},\nthe result is epoch {handed[1]}"


def _handed_on(trial: Finished) -> list[int]:
    """The epoch that the result comes from, and before it the one that stage 2 went on from."""
    result = int(trial.metrics["epoch"])
    second = [record for record in trial.records if record["stage"] == "stage2"]
    if not second:
        return [result]
    last = [list(phase) for _, phase in groupby(trial.records, lambda record: record["stage"])][-2]
    select = trial.config.stage1.select
    chosen = last[-1] if select == "last" else min(last, key=lambda record: record["metrics"][select])
    return [int(chosen["epoch"]), result]


def _phases(axes: "Axes", records: list[Record]) -> None:
    """A line where a phase begins, and its name at the top; in three rows where there are several."""
    phases = [(stage, len(list(own))) for stage, own in groupby(records, lambda record: str(record["stage"]))]
    several = any("then" in stage for stage, _ in phases)
    first = 0
    for number, (stage, epochs) in enumerate(phases):
        if first:
            axes.axvline(first + 0.5, color=QUIET, linewidth=1.0, linestyle=":", gid=f"begin-{stage}")
        axes.annotate(
            _phase_name(stage, several=several),
            (first + (epochs + 1) / 2, 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, -3 - 12 * (number % 3 if several else 0)),
            textcoords="offset points",
            ha="center",
            va="top",
            color=QUIET,
        )
        first += epochs


def _phase_name(stage: str, *, several: bool) -> str:
    if stage == "stage2":
        return "stage 2"
    number = 1 if stage == "stage1" else int(stage.rpartition(".")[2]) + 2
    if number > 1:
        return f"phase {number}"
    return "stage 1, phase 1" if several else "stage 1"
