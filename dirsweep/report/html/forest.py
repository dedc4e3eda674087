"""Differences to the controls as points with their intervals: a colour and a mark for each shot."""

import math
from collections.abc import Sequence

from dirsweep.pictures.colours import COLOURS, MARKS
from dirsweep.report.html.differences import Difference
from dirsweep.report.html.figure import Figure, axis, figure, text
from dirsweep.report.numbers import SHOTS
from dirsweep.report.verdict import Verdict
from dirsweep.report.words import percent

Line = tuple[str, str, float, float, float, str]
"""The control, the shot, the difference and the ends of its interval (in parts of its error), a note."""


def val_lines(found: Sequence[Difference]) -> list[Line]:
    """Differences on val."""
    lines: list[Line] = []
    for one in found:
        low, high = (one.interval.low, one.interval.high) if one.interval else (math.nan, math.nan)
        of = one.theirs or math.nan
        lines.append((one.control.trial, one.shot, one.share, low / of, high / of, ""))
    return lines


def test_lines(verdict: Verdict) -> list[Line]:
    """A verdict's, of its winner."""
    errors = {(one.name, one.shot): one.value for one in verdict.errors}
    return [
        (one.theirs, one.shot, one.difference / of, one.low / of, one.high / of, f"<br>{one.verdict}")
        for one in verdict.compared
        if one.ours == verdict.winner and (of := errors.get((one.theirs, one.shot)))
    ]


def differences_figure(lines: Sequence[Line], metric: str) -> Figure:
    """A point with its interval for each control and shot, a colour and a mark for each shot."""
    controls = list(dict.fromkeys(line[0] for line in lines))
    rows, places, ticks = {}, 0.0, []
    for control in controls:
        own = [line for line in lines if line[0] == control]
        ticks.append((places + (len(own) - 1) / 2, control))
        for line in own:
            rows[line[0], line[1]] = places
            places += 1
        places += 0.8
    traces = []
    for shot in SHOTS:
        own = [line for line in lines if line[1] == shot]
        if not own:
            continue
        ends = [(line[3], line[4]) if math.isfinite(line[3]) else (line[2], line[2]) for line in own]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": shot,
                "x": [100 * line[2] for line in own],
                "y": [rows[line[0], line[1]] for line in own],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [100 * (high - line[2]) for line, (_, high) in zip(own, ends, strict=True)],
                    "arrayminus": [100 * (line[2] - low) for line, (low, _) in zip(own, ends, strict=True)],
                    "thickness": 1.5,
                    "width": 4,
                },
                "marker": {
                    "size": 11 if shot == "few" else 9,
                    "color": COLOURS.get(shot, "@ink"),
                    "symbol": MARKS.get(shot, "diamond"),
                },
                "text": [_hover(line, low, high) for line, (low, high) in zip(own, ends, strict=True)],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return figure(
        traces,
        height(lines),
        xaxis=axis(
            f"change of {metric}, in %",
            zeroline=True,
            zerolinecolor="@ink",
            ticksuffix="%",
        ),
        yaxis={
            "autorange": "reversed",
            "tickvals": [place for place, _ in ticks],
            "ticktext": [text(name) for _, name in ticks],
            "showgrid": False,
            "zeroline": False,
        },
        margin={"l": 110, "r": 12, "t": 34, "b": 56},
    )


def height(lines: Sequence[Line]) -> int:
    """Of the figure, in CSS pixels."""
    return 110 + 22 * (len(lines) + len({line[0] for line in lines}))


def _hover(line: Line, low: float, high: float) -> str:
    ends = f" ({percent(low)} to {percent(high)})" if high > low else ""
    return f"{line[1]}, against {text(line[0])}<br>{percent(line[2])}{ends}{line[5]}"
