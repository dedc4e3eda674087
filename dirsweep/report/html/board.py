"""The leaderboard of the page: every ranked trial and the controls, with what was searched."""

import math
from collections.abc import Sequence

from dirsweep.intervals import Interval
from dirsweep.ledger import TrialRecord
from dirsweep.report.html.differences import intervals
from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.html.table import Cell, Column, Row, number, table
from dirsweep.report.load import DEFAULT, SweepReport
from dirsweep.report.numbers import SHOTS, digits, headed, shown
from dirsweep.report.words import change, measured, percent

REFERENCE = f"{DEFAULT}-plain"
MOST, LEAST, SAMPLES = 50, 5, 150_000
"""Trials, the best first, that have an interval: `MOST` of them, or as many as have `SAMPLES` val samples in
all but at least `LEAST`. That is about 3 seconds of CPU."""


def leaderboard(report: SweepReport) -> Html:
    """Trials best first, each control where its first objective would rank it, the unranked last."""
    spec = report.spec
    usual = [f"val/{shot}/{metric}" for metric in spec.metrics for shot in SHOTS]
    further = [name for name in _judged(report) if name not in usual]
    names = [*usual, *further]
    listed = _listed(report)
    if not listed:
        return tag("p", "No trial is complete yet.")
    decimals = {name: digits(trial.metrics.get(name) for _, trial in listed) for name in names}
    reference = report.trials.get(REFERENCE)
    known = reference if reference is not None and reference.state == "COMPLETE" else None
    against = [f"val/{shot}/{spec.metrics[0]}" for shot in AGAINST] if known else []
    held = _held(report, [trial for _, trial in listed], known)
    ranges = intervals(report, held, known, AGAINST) if known else {}
    repeats = any(trial.is_repeat for trial in report.trials.values())
    knobs = list(spec.searched)
    columns = [
        Column("trial", numeric=False),
        Column("place"),
        *(Column(_counted(report, name), group=headed(name.rpartition("/")[2])) for name in usual),
        *(Column(name, group="judged too") for name in further),
        *(
            Column(head, group=f"against {REFERENCE}")
            for name in against
            for shot in [name.split("/")[1]]
            for head in ([shot, f"{shot}, 95% interval"] if ranges else [shot])
        ),
        *([Column("seeds")] if repeats else []),
        Column("trainer seconds"),
        *(Column(name, group="searched", numeric=_is_numeric(report, name)) for name in knobs),
    ]
    rows = []
    for place, trial in listed:
        cells = [_name(report, trial), _place(report, trial, place)]
        cells += [number(trial.metrics.get(name), decimals[name]) for name in names]
        first = report.trials[trial.trial]  # of the first seed, as the control is
        if known is not None:
            for name in against:
                cells.append(_change(first, known, name))
                if ranges:
                    of = known.metrics.get(name)
                    cells.append(_range(ranges.get((trial.trial, name.split("/")[1])), of))
        if repeats:
            count = len(report.seeds(trial)) if trial.kind == "ask" else 1
            cells.append(Cell(str(count), count))
        cells.append(number(trial.seconds or None, 1))
        cells += [_value(trial, name) for name in knobs]
        is_control = trial.kind == "control"
        is_best = report.best is not None and trial.trial == report.best.trial
        kind = (
            "control"
            if is_control
            else "best"
            if is_best
            else "pareto"
            if trial.trial in report.pareto
            else ""
        )
        rows.append(Row(cells, kind, pinned=is_control or is_best))
    return joined(
        table("table-leaderboard", _caption(report), columns, rows, sorted_by=1),
        _note(report, sum(one.kind == "ask" for one in held) if ranges else 0),
    )


def _judged(report: SweepReport) -> list[str]:
    """Metrics that decide: objectives and constraints."""
    return list(dict.fromkeys([*report.spec.objectives, *(one.metric for one in report.spec.constraints)]))


def _listed(report: SweepReport) -> list[tuple[float, TrialRecord]]:
    """Complete trials and controls with a sort key: whole for a place, between two for a control."""
    goal = report.spec.objectives[0]
    ranked = [(float(place), trial) for place, trial in enumerate(report.ranked, 1)]
    names = {trial.trial for trial in report.ranked}
    values = [trial.metrics[goal] for trial in report.ranked]
    of = {report.best.trial, DEFAULT} if report.best is not None else {DEFAULT}
    controls = [
        (sum(value < trial.metrics[goal] for value in values) + 0.5, trial)
        for trial in report.trials.values()
        if trial.kind == "control" and not trial.is_repeat and trial.of in of and goal in trial.metrics
        if trial.state == "COMPLETE"
    ]
    others = [trial for trial in report.asked if trial.state == "COMPLETE" and trial.trial not in names]
    others.sort(key=lambda trial: trial.metrics[goal])
    last = [(len(ranked) + 1.0 + place, trial) for place, trial in enumerate(others)]
    return sorted([*ranked, *controls, *last], key=lambda pair: pair[0])


def _name(report: SweepReport, trial: TrialRecord) -> Cell:
    key: float | str = int(trial.trial) if trial.kind == "ask" else trial.trial
    if trial.kind == "control":
        return Cell(f"{trial.trial} (control)", key)
    marks = []
    if report.best is not None and trial.trial == report.best.trial:
        marks.append("best")
    if trial.trial in report.pareto:
        marks.append("pareto")
    return Cell(f"{trial.trial} ({', '.join(marks)})" if marks else trial.trial, key)


def _place(report: SweepReport, trial: TrialRecord, place: float) -> Cell:
    if trial.kind == "control":
        return Cell("-", place)
    is_ranked = place <= len(report.ranked)
    return Cell(f"{place:.0f}" if is_ranked else "unranked", place)


def _change(trial: TrialRecord, reference: TrialRecord, name: str) -> Cell:
    share = change(trial, reference, name)
    return Cell(percent(share), None if math.isnan(share) else 100 * share)


AGAINST = ("all", "few")
"""Shots whose change against the reference is shown."""


def _held(report: SweepReport, listed: Sequence[TrialRecord], known: TrialRecord | None) -> list[TrialRecord]:
    """The best trials, and the controls but for the reference itself: those that are given an interval."""
    samples = known.metrics.get("val/all/count", 0.0) if known is not None else 0.0
    most = MOST if not samples else max(LEAST, min(MOST, int(SAMPLES / samples)))
    controls = [trial for trial in listed if trial.kind == "control" and trial.trial != REFERENCE]
    return [*report.ranked[:most], *controls]


def _range(found: Interval | None, of: float | None) -> Cell:
    """An interval in % of the control's error; sorted by its upper end."""
    if found is None or not of or not math.isfinite(found.high - found.low):
        return Cell("-")
    return Cell(f"{percent(found.low / of)} to {percent(found.high / of)}", 100 * found.high / of)


def _value(trial: TrialRecord, name: str) -> Cell:
    """A searched value; of a control that of the configuration it belongs to, which it may not use."""
    if name not in trial.params or trial.kind == "control":
        return Cell("-")
    value = trial.params[name]
    key = value if isinstance(value, int | float) and not isinstance(value, bool) else shown(value)
    return Cell(shown(value), key)


def _is_numeric(report: SweepReport, name: str) -> bool:
    return type(report.spec.searched[name]).__name__ != "Choice"


def _counted(report: SweepReport, name: str) -> str:
    """A shot with its number of val samples."""
    shot = name.split("/")[1]
    first = next((trial for trial in report.trials.values() if trial.state == "COMPLETE"), None)
    count = None if first is None else first.metrics.get(f"val/{shot}/count")
    return shot if count is None else f"{shot} ({count:,.0f})"


def _caption(report: SweepReport) -> str:
    return f"Leaderboard: {len(report.ranked):,} ranked trials and the controls, on val"


def _note(report: SweepReport, held: int) -> Html:
    units = measured(report.spec.metrics, report.spec.label_unit)
    said: Sequence[str] = [
        f"Errors on val, {units} Beside each shot is its number of samples; minimised: "
        f"{', '.join(report.spec.objectives)}. plain: without norm ordinality and stage 2; mu0: stage 2 "
        f"without its norm term; {DEFAULT}: the space's fixed part. A dash under a searched name: that trial "
        "was not asked for it.",
        f"Figures of a trial with several seeds are means over them; the controls, and so the change against "
        f"{REFERENCE}, are of the first seed."
        if any(trial.is_repeat for trial in report.trials.values())
        else "",
        f"95% intervals of the change against {REFERENCE} are paired by val sample, for these trained "
        "models: not over new seeds, nor adjusted for their number or for what was chosen on this same val. "
        f"They sort by their upper end. The best {held} trials and the controls have one, as far as their "
        "files are there."
        if held
        else "",
        report.spec.default_config().dataset.shot_note,
    ]
    return tag("p", " ".join(filter(None, said)), class_="note")
