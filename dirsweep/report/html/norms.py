"""Norms over labels: each bin's mean feature norm at the end, the majority line and its extension.

Marks are those of `pictures.norms`: filled where a bin is in the fit, hollow outside.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dirsweep.pictures.colours import COLOURS, MARKS
from dirsweep.report.html.bins import HEIGHT, Table, legend, nothing, numbers, of_bin, panel, shots
from dirsweep.report.html.figure import Figure, Figures, axis, figure
from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.numbers import written


def norms(found: Sequence[Table], target: str, figures: Figures) -> Html:
    """The section on norms; its figures go into `figures`."""
    if not found:
        return nothing()
    top = float(np.nanmax(np.concatenate([table.bins["norm"] for table in found]))) * 1.08
    panels = []
    for place, table in enumerate(found):
        identity = f"plot-norms-{place}"
        figures[identity] = _norms(table, target, top)
        panels.append(panel(identity, table.title, _order(table)))
    return joined(
        legend(
            found,
            [
                "filled: bin in the fit (all, where there is none); hollow: outside",
                "larger: more training samples",
            ],
            [
                ("line", "majority line, fitted on the majority bins"),
                ("dashed", "its extension to the rare bins"),
            ],
        ),
        tag("div", *panels, class_="panels", id="plot-norms"),
    )


def _norms(table: Table, target: str, top: float) -> Figure:
    traces: list[dict[str, Any]] = []
    bins = table.bins[table.bins["train_count"] > 0]
    largest = float(bins["train_count"].max())
    has_stage2 = bool(table.bins["norm_line"].notna().any())
    for shot in shots(table):
        own = bins[bins["shot"] == shot]
        size = 7 + 11 * np.sqrt(own["train_count"] / largest)
        filled = own["majority"] | (not has_stage2)
        symbols = np.where(filled, MARKS[shot], f"{MARKS[shot]}-open")
        traces.append(_marks(own, COLOURS[shot], symbols.tolist(), size.round(1).tolist(), target))
    if has_stage2:
        traces += _line(table.bins)
    return figure(
        traces,
        HEIGHT,
        xaxis=axis(f"{target}, bin centre", zeroline=False),
        yaxis=axis("mean feature norm of the bin", range=[0, top]),
        showlegend=False,
        hovermode="closest",
        margin={"l": 52, "r": 8, "t": 8, "b": 44},
    )


def _marks(
    own: pd.DataFrame, colour: str, symbols: list[str], sizes: list[float], target: str
) -> dict[str, Any]:
    said = [
        f"{of_bin(row, target)}<br>norm {written(row.norm)} (after stage 1 {written(row.norm_stage1)})"
        for row in own.itertuples()
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": own["centre"].tolist(),
        "y": numbers(own["norm"]),
        "marker": {"color": colour, "symbol": symbols, "size": sizes, "line": {"width": 1}},
        "text": said,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _line(bins: pd.DataFrame) -> list[dict[str, Any]]:
    """The majority line where it was fitted, and its extension on both sides."""
    majority = np.flatnonzero(bins["majority"])
    first, last = (int(majority[0]), int(majority[-1])) if len(majority) else (0, len(bins) - 1)
    pieces = [(0, first, "dash"), (first, last, "solid"), (last, len(bins) - 1, "dash")]
    traces = []
    for low, high, dash in pieces:
        part = bins.iloc[low : high + 1]
        if len(part) > 1:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": part["centre"].tolist(),
                    "y": numbers(part["norm_line"]),
                    "line": {"color": "@ink", "width": 1.6, "dash": dash},
                    "hovertemplate": "majority line %{y:.3g}<extra></extra>",
                }
            )
    return traces


def _order(table: Table) -> str:
    """Whether norms rise with the label, in a sentence."""
    metrics = table.trial.metrics
    said = ", ".join(
        f"{shot} Spearman {written(metrics.get(f'train/{shot}/spearman'), 2)}" for shot in ("all", "few")
    )
    fit = (
        f"; majority line R2 {written(metrics['fit/r2'], 2)}"
        if "fit/r2" in metrics
        else "; no stage 2, so no line"
    )
    return f"norms against labels, by training bin: {said}{fit}."
