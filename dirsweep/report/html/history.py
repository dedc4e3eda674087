"""How the search went: every trial in the order asked, the best so far, and which were pruned or failed."""

import math
from typing import Any

from dirsweep.ledger import TrialRecord
from dirsweep.report.html.figure import Figures, axis, drawn, figure, focused, text, upper
from dirsweep.report.html.markup import Html, tag
from dirsweep.report.load import DEFAULT, SweepReport
from dirsweep.report.numbers import unit, written
from dirsweep.report.words import first_seeds, is_repeated

PLOT = "plot-history"
PANEL = 260
STRIP = 46


def history(report: SweepReport, figures: Figures) -> Html:
    """The section's content, a panel for each objective; its figure goes into `figures`."""
    goals = report.spec.objectives
    if not report.asked:
        return tag("p", "No trial has been asked yet.")
    ended = [trial for trial in report.asked if trial.state == "FAIL"]
    strip = STRIP if ended else 0
    height = 90 + PANEL * len(goals) + strip
    inner, traces, layout = height - 90, list[dict[str, Any]](), dict[str, Any]()
    hidden = 0
    for place, goal in enumerate(goals):
        suffix = "" if place == 0 else str(place + 1)
        top = 1 - place * PANEL / inner
        traces += _panel(report, goal, f"y{suffix}", is_first=place == 0)
        values = [trial.metrics[goal] for trial in report.asked if _shown(trial, goal)]
        domain = [top - (PANEL - 30) / inner, top]
        layout[f"yaxis{suffix}"] = focused(goal, values, _needed(report, goal), domain=domain)
        hidden += sum(value > upper(values, _needed(report, goal)) for value in values)
    if ended:
        traces.append(_failed(ended, f"y{len(goals) + 1}"))
        layout[f"yaxis{len(goals) + 1}"] = {
            "domain": [0, (strip - 20) / inner],
            "range": [-1, 1],
            "tickvals": [0],
            "ticktext": ["failed"],
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
        }
    lowest = f"y{len(goals) + 1}" if ended else f"y{len(goals)}" if len(goals) > 1 else "y"
    layout["xaxis"] = axis("trial, by the order asked", anchor=lowest, zeroline=False)
    figures[PLOT] = figure(traces, height, hovermode="closest", **layout)
    said = f" {hidden} larger values lie outside the picture; a double click shows all." if hidden else ""
    return drawn(PLOT, _summary(report) + said, height=height)


def _panel(report: SweepReport, goal: str, y: str, *, is_first: bool) -> list[dict[str, Any]]:
    ranked = {trial.trial for trial in report.ranked}
    complete = [trial for trial in report.asked if trial.state == "COMPLETE"]
    able = [trial for trial in complete if trial.trial in ranked]
    over = [trial for trial in complete if trial.trial not in ranked]
    pruned = [trial for trial in report.asked if trial.state == "PRUNED" and _figure(trial, goal)]
    common = {"type": "scatter", "yaxis": y, "showlegend": is_first}
    traces = []
    for name, own, marker in (
        ("complete", able, {"color": "#0072B2", "symbol": "circle", "size": 7, "opacity": 0.75}),
        ("complete, not ranked", over, {"color": "@muted", "symbol": "circle-open", "size": 8}),
        (
            "pruned, at its last epoch",
            pruned,
            {"color": "#E69F00", "symbol": "x-thin", "size": 8, "line": {"color": "#E69F00", "width": 2}},
        ),
    ):
        if own:
            traces.append(
                {
                    **common,
                    "mode": "markers",
                    "name": name,
                    "legendgroup": name,
                    "x": [int(trial.trial) for trial in own],
                    "y": [trial.metrics[goal] for trial in own],
                    "marker": marker,
                    "text": [_hover(trial, goal) for trial in own],
                    "hovertemplate": "%{text}<extra></extra>",
                }
            )
    x, best = list[int](), list[float]()
    for trial in able:
        if _figure(trial, goal):
            x.append(int(trial.trial))
            best.append(min([*best[-1:], trial.metrics[goal]]))
    if x:
        x.append(max(int(trial.trial) for trial in report.asked))
        best.append(best[-1])
        line = {"color": "#D55E00", "width": 2, "shape": "hv"}
        traces.append(
            {
                **common,
                "mode": "lines",
                "name": "best so far",
                "legendgroup": "best",
                "x": x,
                "y": best,
                "line": line,
                "hovertemplate": "best so far %{y}<extra></extra>",
            }
        )
    traces += _reference(report, goal, common)
    return traces


def _reference(report: SweepReport, goal: str, common: dict[str, Any]) -> list[dict[str, Any]]:
    """A line at the default's plain control."""
    control = report.trials.get(f"{DEFAULT}-plain")
    if control is None or control.state != "COMPLETE" or not _figure(control, goal):
        return []
    last = max(int(trial.trial) for trial in report.asked)
    return [
        {
            **common,
            "mode": "lines",
            "name": control.trial,
            "legendgroup": control.trial,
            "x": [0, last],
            "y": [control.metrics[goal]] * 2,
            "line": {"color": "@ink", "width": 1.5, "dash": "dash"},
            "hovertemplate": f"{control.trial} %{{y}}<extra></extra>",
        }
    ]


def _shown(trial: TrialRecord, goal: str) -> bool:
    """Whether a trial has a mark: it is complete, or was pruned after an epoch that was measured."""
    return trial.state in ("COMPLETE", "PRUNED") and _figure(trial, goal)


def _needed(report: SweepReport, goal: str) -> list[float]:
    """What must be in view: the best and the reference."""
    own = None if report.best is None else report.trials[report.best.trial]
    known = [report.trials.get(f"{DEFAULT}-plain"), own]
    return [one.metrics[goal] for one in known if one is not None and _shown(one, goal)]


def _failed(trials: list[TrialRecord], y: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "failed",
        "yaxis": y,
        "x": [int(trial.trial) for trial in trials],
        "y": [0] * len(trials),
        "marker": {"color": "#D55E00", "symbol": "triangle-down", "size": 9},
        "text": [f"trial {text(trial.trial)} failed: {text(trial.reason[:80])}" for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _figure(trial: TrialRecord, goal: str) -> bool:
    return math.isfinite(trial.metrics.get(goal, math.nan))


def _hover(trial: TrialRecord, goal: str) -> str:
    return f"trial {text(trial.trial)}<br>{goal} {written(trial.metrics[goal])}"


def _summary(report: SweepReport) -> str:
    goal, counts = report.spec.objectives[0], report.states
    found, seeds = report.best, first_seeds(report)
    if found is None:
        best = ": no trial leads yet"
    elif is_repeated(report, found):  # `seeds` tells of its mean
        best = ""
    else:
        best = f": trial {found.trial} leads with {goal} {written(found.metrics[goal])}"
    pruned = counts["PRUNED"]
    said = f"{pruned} pruned, {counts['FAIL']} failed, {counts['OPEN']} open"
    measured = unit(goal, report.spec.label_unit)
    return f"Each trial's val error in the order asked, {measured}, and the best so far{best}; {said}.{seeds}"
