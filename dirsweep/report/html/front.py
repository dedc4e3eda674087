"""The Pareto front: what serving rare labels better costs over all labels, with the controls beside it.

The two axes are the spec's first two objectives. A trial that ran with several seeds lies at its means. As in
the ranking no figure of one seed is held against these, so the front is of such trials alone; and beside the
controls, of one seed each, lies the winner's first seed. A sweep with one objective is shown over all labels
against the few-shot ones by the metric of the data's tables, and the page says that the second was not
searched for.
"""

from collections.abc import Sequence
from typing import Any

from dirsweep.ledger import TrialRecord
from dirsweep.report.html.figure import Figures, configuration, drawn, figure, focused, outside, text
from dirsweep.report.html.markup import Html, tag
from dirsweep.report.load import DEFAULT, SweepReport
from dirsweep.report.numbers import unit, written
from dirsweep.report.words import is_repeated
from dirsweep.search.best import pool, undominated

PLOT = "plot-pareto"
HEIGHT = 460


def front(report: SweepReport, figures: Figures) -> Html:
    """The section's content; its figure goes into `figures`."""
    first, second = axes(report)
    trials = [trial for trial in report.ranked if has(trial, first, second)]
    if not trials:
        return tag("p", f"No ranked trial has both {first} and {second}.")
    edge = edge_of(report, trials, first, second)
    of = [DEFAULT] if report.best is None else [report.best.trial, DEFAULT]
    controls = [
        control
        for name in of
        for control in report.controls(name)
        if control.state == "COMPLETE" and has(control, first, second)
    ]
    best = report.best
    inner = [trial for trial in trials if trial not in edge and trial is not best]
    repeated = {trial.trial for trial in trials if is_repeated(report, trial)}
    single = [trial for trial in inner if repeated and trial.trial not in repeated]
    inner = [trial for trial in inner if not repeated or trial.trial in repeated]
    own_first = [report.trials[best.trial]] if best is not None and best.trial in repeated else []
    groups = [
        (
            f"trials, one seed ({len(single)})",
            single,
            {"color": "@muted", "symbol": "circle-open", "size": 7, "opacity": 0.75},
        ),
        (
            f"trials, means over seeds ({len(inner)})" if repeated else f"trials ({len(inner)})",
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
        ("winner, first seed", own_first, {"color": "#D55E00", "symbol": "star-open", "size": 13}),
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
    traces += _controls(controls, first, second, "control, one seed" if repeated else "control")
    kept = [*edge, *controls, *own_first]
    scales = [
        focused(
            f"{name}, {unit(name, report.spec.label_unit)}",
            [trial.metrics[name] for trial in (*trials, *controls, *own_first)],
            [trial.metrics[name] for trial in kept],
        )
        for name in (first, second)
    ]
    figures[PLOT] = figure(traces, HEIGHT, xaxis=scales[0], yaxis=scales[1], hovermode="closest")
    hidden = sum(is_beyond(scales, trial, (first, second)) for trial in trials)
    summary = _summary(report, edge, first, second) + means_note(report) + outside(hidden)
    return drawn(PLOT, summary, height=HEIGHT)


def is_beyond(scales: Sequence[dict[str, Any]], trial: TrialRecord, names: Sequence[str]) -> bool:
    """Whether a trial lies outside what one of the axes shows."""
    return any(
        "range" in scale and trial.metrics[name] > scale["range"][1]
        for scale, name in zip(scales, names, strict=True)
    )


def _controls(controls: Sequence[TrialRecord], first: str, second: str, called: str) -> list[dict[str, Any]]:
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
                    "name": f"{kind} ({called})",
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


def edge_of(report: SweepReport, trials: Sequence[TrialRecord], first: str, second: str) -> list[TrialRecord]:
    """The ranked trials that no other beats in these two, by the first rising, of the Pareto set's pool."""
    able = pool(report.spec, trials, report.trials)
    return sorted(
        undominated((first, second), able), key=lambda trial: (trial.metrics[first], trial.metrics[second])
    )


def means_note(report: SweepReport) -> str:
    """Which marks are means over seeds and which are of one seed; "" where all are of one."""
    if not any(is_repeated(report, trial) for trial in report.ranked):
        return ""
    said = " Trials that ran with several seeds lie at their means, the others at the figures of one seed"
    if is_whole(report):
        return f"{said}."
    return (
        f"{said}, which may have been lucky: the front is of trials with {report.spec.repeats.seeds} seeds."
    )


def is_whole(report: SweepReport) -> bool:
    """Whether every ranked trial may be on the front: none is left out for having fewer seeds."""
    return len(pool(report.spec, report.ranked, report.trials)) == len(report.ranked)


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
    best = report.best
    seeds = (
        f" The controls are of one seed, as is the open star: trial {best.trial} with its first seed."
        if best is not None and is_repeated(report, best)
        else ""
    )
    if is_whole(report):
        seeds = f" No trial lies below and left of the line.{seeds}"
    return (
        f"{second} against {first}, both on val and better when smaller: {count}, from {said}."
        f"{seeds}{alone}{more} Point at a mark for its configuration."
    )
