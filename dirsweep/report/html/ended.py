"""Trials and controls without a result: failed, pruned or still open, and why."""

import math

from dirsweep.ledger import TrialRecord
from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.html.table import Cell, Column, Row, table
from dirsweep.report.load import SweepReport
from dirsweep.report.numbers import digits, shown, written
from dirsweep.report.words import ENDED

ORDER = ("FAIL", "PRUNED", "OPEN")


def ended(report: SweepReport) -> Html:
    """The section's content."""
    found = [trial for trial in report.trials.values() if trial.state != "COMPLETE"]
    if not found:
        return tag("p", "None: every trial and every control is complete.")
    found.sort(key=lambda trial: ORDER.index(trial.state))
    goal = report.spec.objectives[0]
    decimals = digits(trial.metrics.get(goal) for trial in found)
    columns = [
        Column("trial", numeric=False),
        Column("state", numeric=False),
        Column("reason", numeric=False, wide=True),
        Column("epochs"),
        Column(f"last {goal}"),
        Column("trainer seconds"),
        Column("configuration", numeric=False, wide=True),
    ]
    rows = [_row(trial, goal, decimals) for trial in found]
    counts = [(ENDED[state], sum(trial.state == state for trial in found)) for state in ORDER]
    said = ", ".join(f"{count} {word}" for word, count in counts if count)
    return joined(
        table("table-ended", f"Trials and controls without a result: {said}", columns, rows),
        tag("p", "A failed trial's folder below trials/ has its error in full.", class_="note")
        if any(trial.state == "FAIL" for trial in found)
        else None,
    )


def _row(trial: TrialRecord, goal: str, decimals: int) -> Row:
    value = trial.metrics.get(goal, math.nan)
    params = ", ".join(f"{name} = {shown(one)}" for name, one in trial.params.items())
    reason = trial.reason or ("running, or waiting to go on" if trial.state == "OPEN" else "")
    return Row(
        [
            Cell(trial.trial, int(trial.trial) if trial.kind == "ask" else trial.trial),
            Cell(ENDED[trial.state], ENDED[trial.state]),
            Cell(reason, reason),
            Cell(str(trial.epoch), trial.epoch),
            Cell(written(value, decimals), None if math.isnan(value) else value),
            Cell(written(trial.seconds or None, 1), trial.seconds or None),
            Cell(params, params),
        ],
        ENDED[trial.state],
    )
