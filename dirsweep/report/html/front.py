"""The Pareto front: what serving rare labels better costs over all labels, with the controls beside it.

The two axes are the spec's first two objectives. A sweep with one objective is shown over all labels against
the few-shot ones by the metric of the data's tables, and the page says that the second was not searched for.
"""

from collections.abc import Sequence
from typing import Any

from dirsweep.ledger import TrialRecord
from dirsweep.report.html.figure import Figures, configuration, drawn, figure, focused, outside, text
from dirsweep.report.html.markup import Html, tag
from dirsweep.report.load import DEFAULT, SweepReport
from dirsweep.report.numbers import unit, written

PLOT = "plot-pareto"
HEIGHT = 460


def front(report: SweepReport, figures: Figures) -> Html:
    """The section's content; its figure goes into `figures`."""
    first, second = axes(report)
    trials = [trial for trial in report.ranked if has(trial, first, second)]
    if not trials:
        return tag("p", f"No ranked trial has both {first} and {second}.")
    edge = undominated(trials, first, second)
    of = [DEFAULT] if report.best is None else [report.best.trial, DEFAULT]
    controls = [
        control
        for name in of
        for control in report.controls(name)
        if control.state == "COMPLETE" and has(control, first, second)
    ]
    best = report.best
    inner = [trial for trial in trials if trial not in edge and trial is not best]
    groups = [
        (
            f"trials ({len(inner)})",
            inner,
            {"color": "@muted", "symbol": "circle", "size": 7, "opacity": 0.75},
        ),
        (
            f"Pareto front ({len(edge)})",
            [trial for trial in edge if trial is not best],
            {"color": "#0072B2", "symbol": "diamond", "size": 11, "line": {"color": "@paper", "width": 1}},
        ),
        (
            "winner",
            [trial for trial in trials if trial is best],
            {"color": "#D55E00", "symbol": "star", "size": 17, "line": {"color": "@paper", "width": 1}},
        ),
    ]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "front line",
            "x": [trial.metrics[first] for trial in edge],
            "y": [trial.metrics[second] for trial in edge],
            "line": {"color": "#0072B2", "width": 1.5, "shape": "hv"},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]
    for name, own, marker in groups:
        if not own:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [trial.metrics[first] for trial in own],
                "y": [trial.metrics[second] for trial in own],
                "marker": marker,
                "text": [_hover(trial, first, second) for trial in own],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    traces += _controls(controls, first, second)
    kept = [*edge, *controls]
    scales = [
        focused(
            f"{name}, {unit(name, report.spec.label_unit)}",
            [trial.metrics[name] for trial in (*trials, *controls)],
            [trial.metrics[name] for trial in kept],
        )
        for name in (first, second)
    ]
    figures[PLOT] = figure(traces, HEIGHT, xaxis=scales[0], yaxis=scales[1], hovermode="closest")
    hidden = sum(is_beyond(scales, trial, (first, second)) for trial in trials)
    summary = _summary(report, edge, first, second) + outside(hidden)
    return drawn(PLOT, summary, height=HEIGHT)


def is_beyond(scales: Sequence[dict[str, Any]], trial: TrialRecord, names: Sequence[str]) -> bool:
    """Whether a trial lies outside what one of the axes shows."""
    return any(
        "range" in scale and trial.metrics[name] > scale["range"][1]
        for scale, name in zip(scales, names, strict=True)
    )


def _controls(controls: Sequence[TrialRecord], first: str, second: str) -> list[dict[str, Any]]:
    """A trace for each kind; controls at one place share a label."""
    traces = []
    for kind, symbol in (("plain", "x"), ("mu0", "square-open")):
        places: dict[tuple[float, float], list[TrialRecord]] = {}
        for control in controls:
            if control.control == kind:
                places.setdefault((control.metrics[first], control.metrics[second]), []).append(control)
        if places:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers+text",
                    "name": f"{kind} (control)",
                    "x": [x for x, _ in places],
                    "y": [y for _, y in places],
                    "marker": {"color": "@ink", "symbol": symbol, "size": 10, "line": {"width": 2}},
                    "text": [text(" = ".join(one.trial for one in own)) for own in places.values()],
                    "textposition": "top center" if kind == "plain" else "bottom center",
                    "textfont": {"size": 11},
                    "cliponaxis": False,
                    "customdata": [_hover(own[0], first, second) for own in places.values()],
                    "hovertemplate": "%{customdata}<extra></extra>",
                }
            )
    return traces


def axes(report: SweepReport) -> tuple[str, str]:
    """The two metrics of the picture."""
    goals = report.spec.objectives
    if len(goals) > 1:
        return goals[0], goals[1]
    _, shot, metric = goals[0].split("/")
    return goals[0], f"val/{'all' if shot == 'few' else 'few'}/{metric}"


def undominated(trials: Sequence[TrialRecord], first: str, second: str) -> list[TrialRecord]:
    """The trials that no other beats in these two, by the first rising."""
    found: list[TrialRecord] = []
    for trial in sorted(trials, key=lambda trial: (trial.metrics[first], trial.metrics[second])):
        if not found or trial.metrics[second] < found[-1].metrics[second]:
            found.append(trial)
    return found


def has(trial: TrialRecord, *names: str) -> bool:
    """Whether a trial has a number by each of these names."""
    values = [trial.metrics.get(name) for name in names]
    return all(value is not None and value == value for value in values)


def _hover(trial: TrialRecord, first: str, second: str) -> str:
    is_control = trial.kind == "control"
    head = f"<b>{text(trial.trial)}</b>" if is_control else f"<b>trial {text(trial.trial)}</b>"
    figures = f"{first} {written(trial.metrics[first])}<br>{second} {written(trial.metrics[second])}"
    return f"{head}<br>{figures}" if is_control else f"{head}<br>{figures}<br>{configuration(trial.params)}"


def _summary(report: SweepReport, edge: Sequence[TrialRecord], first: str, second: str) -> str:
    ends = [edge[0], *([edge[-1]] if len(edge) > 1 else [])]
    said = "; ".join(
        f"trial {trial.trial} with {written(trial.metrics[first])} and {written(trial.metrics[second])}"
        for trial in ends
    )
    count = f"{len(edge)} trial{'' if len(edge) == 1 else 's'} on the front"
    alone = "" if len(report.spec.objectives) > 1 else f" {second} was no objective of this sweep."
    more = " Further objectives are not in the picture." if len(report.spec.objectives) > 2 else ""
    return (
        f"{second} against {first}, both on val and better when smaller: {count}, from {said}. No trial lies "
        f"below and left of the line.{alone}{more} Point at a mark for its configuration."
    )
