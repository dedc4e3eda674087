"""Tables of bins of the winner and its controls, and the panels that stand side by side.

All panels of a kind have one scale, so that they can be compared at a glance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dirsweep.ledger import TrialRecord
from dirsweep.pictures.colours import COLOURS, MARKS
from dirsweep.report.files import csv, folder_of
from dirsweep.report.html.figure import drawn, text
from dirsweep.report.html.markup import Html, tag
from dirsweep.report.load import DEFAULT, SweepReport
from dirsweep.report.numbers import SHOTS
from dirsweep.tables import BINS

HEIGHT = 340


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
        table = csv(folder_of(report, trial), BINS) if trial.state == "COMPLETE" else None
        if table is not None:
            found.append(
                Table(
                    trial,
                    f"trial {trial.trial}, the winner" if trial.kind == "ask" else f"{trial.trial}, control",
                    table,
                )
            )
    return found


def nothing() -> Html:
    """Where there are no such files."""
    return tag("p", "No bins.csv of the winner or its controls in the sweep's folder.")


def panel(identity: str, title: str, said: str) -> Html:
    """The place of one trial's figure."""
    return tag(
        "div",
        tag("h3", title),
        drawn(identity, f"{title}: {said}", caption=said, height=HEIGHT),
        class_="panel",
    )


def shots(table: Table) -> list[str]:
    """The shots that have bins."""
    return [shot for shot in SHOTS[1:] if (table.bins["shot"] == shot).any()]


def of_bin(row: Any, target: str) -> str:
    """What a bin is, for a hover; `row` has the columns of bins.csv."""
    span = f"{text(target)} {row.low:g} to {row.high:g}"
    return f"{row.shot}-shot bin<br>{span}, {row.train_count:,} training samples"


def numbers(column: pd.Series) -> list[float | None]:
    """A column as JSON has it."""
    return [None if math.isnan(value) else float(value) for value in column]


def legend(found: Sequence[Table], notes: Sequence[str], keys: Sequence[tuple[str, str]]) -> Html:
    """What marks mean, once for all panels."""
    present = [shot for shot in SHOTS[1:] if any(shot in shots(table) for table in found)]
    items = [tag("li", _icon(shot), f"{shot}-shot bin") for shot in present]
    items += [tag("li", tag("span", class_=f"key {kind}", aria_hidden="true"), said) for kind, said in keys]
    items += [tag("li", said) for said in notes]
    return tag("ul", *items, class_="legend")


PATHS = {"circle": "M6 1a5 5 0 1 0 .01 0z", "square": "M1.5 1.5h9v9h-9z", "triangle-up": "M6 1l5.5 10h-11z"}


def _icon(shot: str) -> Html:
    path = tag("path", d=PATHS[MARKS[shot]], fill=COLOURS[shot])
    return tag("svg", path, viewBox="0 0 12 12", width=12, height=12, aria_hidden="true")
