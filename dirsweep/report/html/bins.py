"""Norms over labels and errors per bin, for the winner and its controls side by side.

All panels of a kind have one scale, so that they can be compared at a glance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dirsweep.ledger import TrialRecord
from dirsweep.pictures.colours import COLOURS, MARKS
from dirsweep.report.files import BINS, csv, folder_of
from dirsweep.report.html.figure import Figure, Figures, axis, drawn, figure, text
from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.load import DEFAULT, SweepReport
from dirsweep.report.numbers import SHOTS, written

HEIGHT = 340
NEEDED = {
    *("centre", "low", "high", "train_count", "shot", "norm_stage1", "majority", "norm_line", "norm"),
    *("val_mae_stage1", "val_mae"),
}


@dataclass(frozen=True)
class Table:
    """The bins of one trial or control; title: what its panel is called."""

    trial: TrialRecord
    title: str
    bins: pd.DataFrame


def tables(report: SweepReport, best: TrialRecord) -> list[Table]:
    """Those of the winner and its complete controls, as far as their files are there.

    Where the winner has no control yet, those of the default configuration.
    """
    own = report.controls(best.trial) or report.controls(DEFAULT)
    found = []
    for trial in (report.trials[best.trial], *own):
        table = csv(folder_of(report, trial), BINS, NEEDED) if trial.state == "COMPLETE" else None
        if table is not None:
            found.append(
                Table(
                    trial,
                    f"trial {trial.trial}, the winner" if trial.kind == "ask" else f"{trial.trial}, control",
                    table,
                )
            )
    return found


def norms(found: Sequence[Table], target: str, figures: Figures) -> Html:
    """The section on norms; its figures go into `figures`."""
    if not found:
        return _nothing()
    values = np.concatenate([table.bins[name] for table in found for name in ("norm", "norm_stage1")])
    top = float(np.nanmax(values)) * 1.08
    panels = []
    for place, table in enumerate(found):
        identity = f"plot-norms-{place}"
        figures[identity] = _norms(table, target, top)
        panels.append(_panel(identity, table.title, _order(table)))
    return joined(
        _legend(
            found,
            ["after stage 1: hollow; at the end: filled", "larger mark: more training samples"],
            [
                ("line", "majority line, fitted on the majority bins"),
                ("dashed", "its extension to the rare bins"),
            ],
        ),
        tag("div", *panels, class_="panels", id="plot-norms"),
    )


def errors(found: Sequence[Table], target: str, figures: Figures) -> Html:
    """The section on errors per bin over the training histogram; its figures go into `figures`."""
    if not found:
        return _nothing()
    top = float(np.nanmax(np.concatenate([table.bins["val_mae"] for table in found]))) * 1.08
    panels = []
    for place, table in enumerate(found):
        identity = f"plot-errors-{place}"
        figures[identity] = _errors(table, target, top)
        panels.append(_panel(identity, table.title, _worst(table)))
    return joined(
        _legend(
            found,
            ["val MAE of a bin, at the end"],
            [("bar", "training samples of a bin (right axis, log scale)")],
        ),
        tag("div", *panels, class_="panels", id="plot-errors"),
    )


def _nothing() -> Html:
    return tag("p", "No bins.csv of the winner or its controls in the sweep's folder.")


def _panel(identity: str, title: str, said: str) -> Html:
    return tag(
        "div",
        tag("h3", title),
        drawn(identity, f"{title}: {said}", caption=said, height=HEIGHT),
        class_="panel",
    )


def _shots(table: Table) -> list[str]:
    return [shot for shot in SHOTS[1:] if (table.bins["shot"] == shot).any()]


def _norms(table: Table, target: str, top: float) -> Figure:
    traces: list[dict[str, Any]] = []
    bins = table.bins[table.bins["train_count"] > 0]
    largest = float(bins["train_count"].max())
    has_stage2 = bool(table.bins["norm_line"].notna().any())
    for shot in _shots(table):
        own = bins[bins["shot"] == shot]
        size = (7 + 11 * np.sqrt(own["train_count"] / largest)).round(1).tolist()
        if has_stage2:
            hollow = f"{MARKS[shot]}-open"
            traces.append(
                _marks(own, "norm_stage1", COLOURS[shot], hollow, size, "after stage 1", 0.55, target)
            )
        traces.append(_marks(own, "norm", COLOURS[shot], MARKS[shot], size, "at the end", 0.9, target))
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
    own: pd.DataFrame,
    column: str,
    colour: str,
    symbol: str,
    size: list[float],
    when: str,
    opacity: float,
    target: str,
) -> dict[str, Any]:
    said = [
        f"{_of_bin(row, target, f', {when}')}<br>norm {written(getattr(row, column))}"
        for row in own.itertuples()
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": own["centre"].tolist(),
        "y": _numbers(own[column]),
        "marker": {"color": colour, "symbol": symbol, "size": size, "opacity": opacity, "line": {"width": 1}},
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
                    "y": _numbers(part["norm_line"]),
                    "line": {"color": "@ink", "width": 1.6, "dash": dash},
                    "hovertemplate": "majority line %{y:.3g}<extra></extra>",
                }
            )
    return traces


def _errors(table: Table, target: str, top: float) -> Figure:
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
    for shot in _shots(table):
        own = bins[(bins["shot"] == shot) & bins["val_mae"].notna()]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": own["centre"].tolist(),
                "y": _numbers(own["val_mae"]),
                "marker": {
                    "color": COLOURS[shot],
                    "symbol": MARKS[shot],
                    "size": 10 if shot == "few" else 8,
                    "line": {"width": 1, "color": "@paper"},
                },
                "text": [
                    f"{_of_bin(row, target)}<br>val MAE {written(row.val_mae)}" for row in own.itertuples()
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
            "val MAE of the bin, in label units",
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


def _of_bin(row: Any, target: str, more: str = "") -> str:
    """What a bin is, for a hover; `row` has the columns of bins.csv."""
    span = f"{text(target)} {row.low:g} to {row.high:g}"
    return f"{row.shot}-shot bin{more}<br>{span}, {row.train_count:,} training samples"


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


def _worst(table: Table) -> str:
    """The errors of the shots, and the worst bin."""
    metrics, bins = table.trial.metrics, table.bins[table.bins["val_mae"].notna()]
    said = ", ".join(f"{shot} {written(metrics.get(f'val/{shot}/mae'))}" for shot in SHOTS)
    if bins.empty:
        return f"val MAE {said}."
    worst = bins.loc[bins["val_mae"].idxmax()]
    largest = f"{worst['low']:g} to {worst['high']:g}: {written(worst['val_mae'])}"
    return f"val MAE {said}; largest in the bin {largest}."


def _legend(found: Sequence[Table], notes: Sequence[str], keys: Sequence[tuple[str, str]]) -> Html:
    """What marks mean, once for all panels."""
    present = [shot for shot in SHOTS[1:] if any(shot in _shots(table) for table in found)]
    items = [tag("li", _icon(shot), f"{shot}-shot bin") for shot in present]
    items += [tag("li", tag("span", class_=f"key {kind}", aria_hidden="true"), said) for kind, said in keys]
    items += [tag("li", said) for said in notes]
    return tag("ul", *items, class_="legend")


PATHS = {"circle": "M6 1a5 5 0 1 0 .01 0z", "square": "M1.5 1.5h9v9h-9z", "triangle-up": "M6 1l5.5 10h-11z"}


def _icon(shot: str) -> Html:
    path = tag("path", d=PATHS[MARKS[shot]], fill=COLOURS[shot])
    return tag("svg", path, viewBox="0 0 12 12", width=12, height=12, aria_hidden="true")


def _numbers(column: pd.Series) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in column]
