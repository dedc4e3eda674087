"""The val error of each bin, over the histogram of the training labels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dirsweep.pictures.colours import COLOURS, MARKS
from dirsweep.report.html.bins import HEIGHT, Table, legend, nothing, numbers, of_bin, panel, shots
from dirsweep.report.html.figure import Figure, Figures, axis, figure
from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.numbers import SHOTS, written


def errors(found: Sequence[Table], target: str, unit: str, figures: Figures) -> Html:
    """The section on errors per bin over the training histogram; its figures go into `figures`."""
    if not found:
        return nothing()
    top = float(np.nanmax(np.concatenate([table.bins["val_mae"] for table in found]))) * 1.08
    panels = []
    for place, table in enumerate(found):
        identity = f"plot-errors-{place}"
        figures[identity] = _errors(table, target, unit, top)
        panels.append(panel(identity, table.title, _worst(table)))
    return joined(
        legend(
            found,
            ["val MAE of a bin, at the end"],
            [("bar", "training samples of a bin (right axis, log scale)")],
        ),
        tag("div", *panels, class_="panels", id="plot-errors"),
    )


def _errors(table: Table, target: str, unit: str, top: float) -> Figure:
    bins = table.bins
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "x": bins["centre"].tolist(),
            "y": bins["train_count"].tolist(),
            "width": (bins["high"] - bins["low"]).tolist(),
            "yaxis": "y2",
            "marker": {"color": "@bar", "line": {"width": 0}},
            "text": [
                f"{row.low:g} to {row.high:g}: {row.train_count:,} training samples"
                for row in bins.itertuples()
            ],
            "textposition": "none",
            "hovertemplate": "%{text}<extra></extra>",
        }
    ]
    for shot in shots(table):
        own = bins[(bins["shot"] == shot) & bins["val_mae"].notna()]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": own["centre"].tolist(),
                "y": numbers(own["val_mae"]),
                "marker": {
                    "color": COLOURS[shot],
                    "symbol": MARKS[shot],
                    "size": 10 if shot == "few" else 8,
                    "line": {"width": 1, "color": "@paper"},
                },
                "text": [
                    f"{of_bin(row, target)}<br>val MAE {written(row.val_mae)}" for row in own.itertuples()
                ],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    most = max(1, int(bins["train_count"].max()))
    return figure(
        traces,
        HEIGHT,
        xaxis=axis(f"{target}, bin centre", zeroline=False),
        yaxis=axis(
            f"val MAE of the bin, in {unit}",
            range=[0, top],
            overlaying="y2",
            side="left",
            tickmode="auto",
        ),
        yaxis2=axis(
            "training samples",
            type="log",
            range=[math.log10(0.8), math.log10(most) * 1.9 + 0.1],
            side="right",
            showgrid=False,
            tickvals=[10.0**power for power in range(math.floor(math.log10(most)) + 1)],
            ticktext=[f"{10**power:,}" for power in range(math.floor(math.log10(most)) + 1)],
        ),
        bargap=0,
        showlegend=False,
        hovermode="closest",
        margin={"l": 60, "r": 54, "t": 8, "b": 44},
    )


def _worst(table: Table) -> str:
    """The errors of the shots, and the worst bin."""
    metrics, bins = table.trial.metrics, table.bins[table.bins["val_mae"].notna()]
    said = ", ".join(f"{shot} {written(metrics.get(f'val/{shot}/mae'))}" for shot in SHOTS)
    if bins.empty:
        return f"val MAE {said}."
    worst = bins.loc[bins["val_mae"].idxmax()]
    largest = f"{worst['low']:g} to {worst['high']:g}: {written(worst['val_mae'])}"
    return f"val MAE {said}; largest in the bin {largest}."
