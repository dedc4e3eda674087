"""Parallel coordinates: a line for each complete trial over the searched names, coloured by its error.

A name with a condition is not asked of every trial. Such a line goes through the band under the axis ("not
asked"), never through a value that the trial did not have.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dirsweep.ledger import TrialRecord
from dirsweep.report.html.figure import Figures, drawn, figure, text
from dirsweep.report.html.markup import Html, tag
from dirsweep.report.load import SweepReport
from dirsweep.report.numbers import shown, unit, written
from dirsweep.report.words import first_seeds
from dirsweep.search.distribution import Choice, Distribution, Int, Log, encoded

PLOT = "plot-parallel"
HEIGHT = 480
ABSENT = -0.14
FIFTHS, FEWER_BEST = (20, 40, 60, 80, 100), (5, 20, 40, 70, 100)
"""Percent of the trials, best first, at which the colour changes."""
MANY = 200
"""Trials from which a fifth of them would be too many lines to follow."""
SHADES = ("#009E73", "#56B4E9", "#999999", "#E69F00", "#CC79A7")
WIDTHS = (2.4, 1.6, 1.2, 1.0, 0.8)


@dataclass(frozen=True)
class Axis:
    """One searched name. ticks: heights and texts; absent: whether some trial lacks the name."""

    name: str
    low: float
    high: float
    is_log: bool
    values: tuple[str, ...]
    absent: bool

    def height(self, value: Any) -> float:
        """Where a value lies, 0 to 1."""
        if self.values:
            place = self.values.index(encoded(value))
            return place / (len(self.values) - 1) if len(self.values) > 1 else 0.5
        if self.high == self.low:
            return 0.5
        number, low, high = float(value), self.low, self.high
        if self.is_log:
            number, low, high = math.log(number), math.log(low), math.log(high)
        return (number - low) / (high - low)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Heights of ticks and what stands beside them."""
        if self.values:
            return [(self.height(_decoded(value)), shown(_decoded(value))) for value in self.values]
        if self.is_log:
            decades = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            found = [10.0**power for power in decades]
            ends = [
                value
                for value in (self.low, self.high)
                if all(abs(self._gap(value, one)) > 0.06 for one in found)
            ]
            return [(self.height(value), f"{value:.4g}") for value in (*ends, *found)]
        middle = (self.low + self.high) / 2
        return [(self.height(value), f"{value:.4g}") for value in (self.low, middle, self.high)]

    def _gap(self, one: float, other: float) -> float:
        return self.height(one) - self.height(other)


def parallel(report: SweepReport, figures: Figures) -> Html:
    """The section's content; its figure goes into `figures`."""
    goal = report.spec.objectives[0]
    trials = sorted(
        (trial for trial in report.asked if trial.state == "COMPLETE"), key=lambda trial: trial.metrics[goal]
    )
    if not trials:
        return tag("p", "No trial is complete yet.")
    axes = [_axis(name, one, trials) for name, one in report.spec.searched.items()]
    values = [trial.metrics[goal] for trial in trials]
    axes.append(
        Axis(goal, min(values), max(values), min(values) > 0 and max(values) > 4 * min(values), (), False)
    )
    classes = _classes(trials)
    thin = 1.0 if len(trials) < MANY else 0.6
    steps = (len(SHADES) - 1) / max(1, len(classes) - 1)
    traces = [
        _lines(axes, own, goal, f"{name}: {_span(own, goal)}", SHADES[shade], thin * WIDTHS[shade])
        for place, (name, own) in reversed(list(enumerate(classes)))
        for shade in [round(place * steps)]
    ]
    best = report.best
    if best is not None:
        winner = [trial for trial in trials if trial.trial == best.trial]
        traces.append(_lines(axes, winner, goal, f"winner, trial {best.trial}", "@ink", 3.0))
    has_absent = any(axis.absent for axis in axes)
    figures[PLOT] = figure(
        traces,
        HEIGHT,
        xaxis={
            "range": [-0.35, len(axes) - 0.35],
            "showgrid": False,
            "zeroline": False,
            "showticklabels": False,
            "showline": False,
            "fixedrange": True,
        },
        yaxis={
            "range": [ABSENT - 0.08 if has_absent else -0.05, 1.05],
            "showgrid": False,
            "zeroline": False,
            "showticklabels": False,
            "showline": False,
            "fixedrange": True,
        },
        shapes=[_upright(place) for place in range(len(axes))],
        annotations=[note for place, one in enumerate(axes) for note in _labels(place, one)],
        margin={"l": 12, "r": 12, "t": 124, "b": 12},
        legend={"orientation": "h", "x": 0, "y": 1.22, "yanchor": "bottom", "traceorder": "reversed"},
        hovermode="closest",
    )
    return drawn(
        PLOT,
        _summary(axes, trials, goal, unit(goal, report.spec.label_unit)) + first_seeds(report),
        height=HEIGHT,
        least=40 + 104 * len(axes),
    )


def _axis(name: str, asked: Distribution, trials: Sequence[TrialRecord]) -> Axis:
    """The axis over all that may be asked and all that was run with."""
    seen = [trial.params[name] for trial in trials if name in trial.params]
    absent = len(seen) < len(trials)
    if isinstance(asked, Choice) or not all(_is_number(value) for value in seen):
        offered = asked.values if isinstance(asked, Choice) else ()
        values = tuple(dict.fromkeys(map(encoded, (*offered, *seen))))
        return Axis(name, 0, 1, False, values, absent)
    numbers = [*map(float, asked.ends), *map(float, seen)]
    is_log = (isinstance(asked, Log) or (isinstance(asked, Int) and asked.log)) and min(numbers) > 0
    return Axis(name, min(numbers), max(numbers), is_log, (), absent)


def _classes(trials: Sequence[TrialRecord]) -> list[tuple[str, Sequence[TrialRecord]]]:
    """The trials, best first, in at most five groups, each with its name."""
    if len(trials) < len(FIFTHS):
        return [(f"{place} of {len(trials)}", [trial]) for place, trial in enumerate(trials, 1)]
    cuts = FIFTHS if len(trials) < MANY else FEWER_BEST
    ends = [0, *(round(len(trials) * cut / 100) for cut in cuts)]
    return [
        (f"best {high}%" if low == 0 else f"{low} to {high}%", trials[first:last])
        for (low, high), (first, last) in zip(pairwise((0, *cuts)), pairwise(ends), strict=True)
    ]


def _span(trials: Sequence[TrialRecord], goal: str) -> str:
    low, high = written(trials[0].metrics[goal]), written(trials[-1].metrics[goal])
    return low if low == high else f"{low} to {high}"


def _lines(
    axes: Sequence[Axis], trials: Sequence[TrialRecord], goal: str, name: str, colour: str, width: float
) -> dict[str, Any]:
    """One trace with a line for each trial, parted by gaps."""
    x: list[float | None] = []
    y: list[float | None] = []
    said: list[str] = []
    for trial in trials:
        value = written(trial.metrics[goal])
        for place, one in enumerate(axes):
            own = trial.metrics[goal] if one.name == goal else trial.params.get(one.name)
            is_absent = one.name != goal and one.name not in trial.params
            x.append(place)
            y.append(ABSENT if is_absent else round(one.height(own), 4))
            knob = "not asked" if is_absent else shown(own)
            said.append(f"trial {text(trial.trial)}: {value}<br>{text(one.name)} {text(knob)}")
        x.append(None)
        y.append(None)
        said.append("")
    return {
        "type": "scatter",
        "mode": "lines",
        "name": text(name),
        "x": x,
        "y": y,
        "text": said,
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"color": colour, "width": width},
        "opacity": 0.85 if len(trials) < 40 else 0.55,
    }


def _upright(place: int) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": place,
        "x1": place,
        "y0": 0,
        "y1": 1,
        "line": {"color": "@ink", "width": 1},
        "layer": "above",
    }


def _labels(place: int, one: Axis) -> list[dict[str, Any]]:
    ticks = [*one.ticks, *([(ABSENT, "not asked")] if one.absent else [])]
    notes = [
        {
            "x": place,
            "y": height,
            "text": text(said if len(said) <= 18 else f"{said[:17]}…"),
            "xanchor": "left",
            "xshift": 4,
            "showarrow": False,
            "bgcolor": "@veil",
            "borderpad": 1,
            "font": {"size": 11, "color": "@ink"},
        }
        for height, said in ticks
    ]
    log = "<br>(log)" if one.is_log else ""
    title = {
        "x": place,
        "y": 1.0,
        "yref": "paper",
        "yanchor": "bottom",
        "text": f"{text(one.name).replace('.', '.<br>').replace('/', '/<br>')}{log}",
        "showarrow": False,
        "font": {"size": 11, "color": "@ink"},
    }
    return [*notes, title]


def _summary(axes: Sequence[Axis], trials: Sequence[TrialRecord], goal: str, measured: str) -> str:
    absent = [one.name for one in axes if one.absent]
    some = (
        f" Not asked of every trial: {', '.join(absent)}; those lines run through the band below."
        if absent
        else ""
    )
    return (
        f"A line for each of {len(trials):,} complete trials over the {len(axes) - 1} searched names; the "
        f"last axis is {goal}, {measured}, lowest is best. Colours by rank, the best are thickest "
        f"and on top.{some}"
    )


def _decoded(value: str) -> Any:
    return json.loads(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
