"""A sweep as pandas DataFrames, for a notebook to go on from: `load_sweep`.

All three say what the sweep's folder says and nothing is averaged: with `repeats`, the metrics of a trial
are those of its own seed, while `rank` goes by the means over its seeds, as the leaderboard does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dirsweep.ledger import TrialRecord
from dirsweep.report.files import csv, folder_of
from dirsweep.report.load import SweepReport, load
from dirsweep.search.distribution import Choice, Distribution, Int
from dirsweep.search.model import SweepSpec
from dirsweep.search.reach import below
from dirsweep.storage import Folder, Place, Record
from dirsweep.sweep.controls import record_config, trial_config
from dirsweep.tables import BINS

KINDS = ("trial", "control", "repeat")
STATES = ("COMPLETE", "PRUNED", "FAIL", "OPEN")
SHOTS = ("many", "median", "few")

TRIAL = {
    "trial": "string",
    "kind": pd.CategoricalDtype(KINDS),
    "of": "string",
    "control": "string",
    "seed": "Int64",
    "state": pd.CategoricalDtype(STATES),
    "reason": "string",
    "attempts": "int64",
    "epochs": "int64",
    "seconds": "float64",
    "reused_seconds": "float64",
    "rank": "Int64",
    "is_best": "bool",
    "is_pareto": "bool",
}
EPOCH = {
    "trial": "string",
    "epoch": "int64",
    "of": "int64",
    "stage": "category",
    "reused": "bool",
    "seconds": "float64",
}
BIN = {
    "trial": "string",
    "bin": "int64",
    "low": "float64",
    "high": "float64",
    "centre": "float64",
    "train_count": "int64",
    "shot": pd.CategoricalDtype(SHOTS, ordered=True),
    "norm_stage1": "float64",
    "majority": "bool",
    "norm_line": "float64",
    "norm_target": "float64",
    "norm": "float64",
    "train_mae_stage1": "float64",
    "train_mae": "float64",
    "val_mae_stage1": "float64",
    "val_mae": "float64",
}
OWN_COLUMN = frozenset({"epochs", "seconds", "reused_seconds"})
"""Final metrics that are columns of their own already."""


@dataclass(frozen=True)
class SweepFrames:
    """What `load_sweep` gives: the sweep's `folder`, its `spec`, and its `trials`, `epochs` and `bins`."""

    folder: Folder
    spec: SweepSpec = field(repr=False)
    trials: pd.DataFrame = field(repr=False)
    epochs: pd.DataFrame = field(repr=False)
    bins: pd.DataFrame = field(repr=False)


def load_sweep(path: Place) -> SweepFrames:
    """A sweep as pandas DataFrames, finished or not.

    `trials`: a row for each trial, control and repeat, in the order in which they were asked.

    - `trial`: its name, also that of its folder below `trials/`: "7", "7-plain", "default-mu0", "7-seed2".
    - `kind`: trial, control, or repeat (a trial again with another seed).
    - `of`, `control`: of a control or repeat, the trial it belongs to (or "default"), and which one it is.
    - `seed`; `state` (COMPLETE, PRUNED, FAIL, OPEN); `reason` (why it failed, was pruned, or did not run: a
      control that is the same configuration as another has that one's numbers); `attempts` (0: did not run).
    - `epochs` (the last that it came to), `seconds` (trainer-seconds), `reused_seconds` (those that it saved
      by going on from a stage 1 that was trained before; known once it is complete).
    - `rank` (1 is the winner; missing for controls, and for what is not complete or over a constraint),
      `is_best`, `is_pareto` (where there are several objectives).
    - a column per searched knob, by dotted name, in the order of the spec: the value that it ran with, so a
      control without the norm term says 0. Missing where its configuration has no such knob.
    - a column per metric, by name ("val/few/mae", in label units): the final ones of a complete trial, of any
      other those of its last reported epoch, which are fewer. `epoch` is the one whose weights were kept.

    `epochs`: a row for each trial and epoch, from the trial's own records where there are any, else from
    the sweep's ledger, which keeps fewer metrics.

    - `trial`; `epoch` (from 1 on) and `of` (epochs in all); `stage`.
    - `reused`: whether another trial trained it, from whose stage 1 this one went on.
    - `seconds` (trainer-seconds so far); a column per metric.

    `bins`: a row for each finished trial and bin of the label range: the trials' `bins.csv`.

    - `trial`; `bin`; `low`, `high`, `centre` (label units); `train_count`; `shot` (many, median, few).
    - `norm_stage1`, `norm`: mean feature norm over the bin's training samples, after stage 1 and at the end.
    - `majority` (whether the line rests on the bin), `norm_line`, `norm_target` (what stage 2 aims at).
    - `train_mae_stage1`, `train_mae`, `val_mae_stage1`, `val_mae`: label units.

    Numbers that may be missing are float64 with NaN, or Int64; text is pandas' string type.

    Args:
        path: the sweep's folder, such as sweeps/all-1.

    Raises:
        ValueError: the folder holds no sweep, or one of its files is damaged; the message names it.
    """
    report = load(Folder(path))
    return SweepFrames(report.folder, report.spec, _trials(report), _epochs(report), _bins(report))


def _trials(report: SweepReport) -> pd.DataFrame:
    """A row per trial and control."""
    records = list(report.trials.values())
    ranks = {trial.trial: place for place, trial in enumerate(report.ranked, 1)}
    whole_first = sorted(records, key=lambda record: record.state != "COMPLETE")
    names = _metric_names([record.metrics for record in whole_first])
    knobs = {name: _dtype(distribution) for name, distribution in report.spec.searched.items()}
    rows = []
    for record in records:
        seed, values = _configured(report.spec, record)
        rank = ranks.get(record.trial)
        row = {
            "trial": record.trial,
            "kind": _kind(record),
            "of": record.of or None,
            "control": record.control or None,
            "seed": seed,
            "state": record.state,
            "reason": record.reason or None,
            "attempts": record.attempts,
            "epochs": record.epoch,
            "seconds": record.seconds,
            "reused_seconds": record.metrics.get("reused_seconds"),
            "rank": rank,
            "is_best": rank == 1,
            "is_pareto": record.trial in report.pareto,
        }
        rows.append(row | values | {name: record.metrics.get(name) for name in names})
    return _frame(rows, TRIAL | knobs | dict.fromkeys(names, "float64"))


def _kind(record: TrialRecord) -> str:
    if record.is_repeat:
        return "repeat"
    return "trial" if record.kind == "ask" else "control"


def _configured(spec: SweepSpec, record: TrialRecord) -> tuple[int | None, dict[str, Any]]:
    """The seed of a trial and the values of the searched knobs that it ran with."""
    try:
        config = record_config(spec, record)
        asked = trial_config(spec, record.of or record.trial, None, record.params).model_dump(mode="json")
    except ValueError:  # its values do not go together, so it failed before it had a configuration
        return None, {name: record.params.get(name) for name in spec.searched}
    ran, values = config.model_dump(mode="json"), {}
    for name in spec.searched:
        kept = name in record.params and below(ran, name) == below(asked, name)
        values[name] = record.params[name] if kept else below(ran, name)  # what a control changed
    return config.seed, values


def _dtype(distribution: Distribution) -> str:
    """The type of a searched knob's column; of a choice, by its values."""
    if isinstance(distribution, Int):
        return "Int64"
    if not isinstance(distribution, Choice):
        return "float64"
    kinds = {type(value) for value in distribution.values} - {type(None)}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "Int64"
    if kinds <= {int, float}:
        return "float64"
    return "string" if kinds == {str} else "object"


def _epochs(report: SweepReport) -> pd.DataFrame:
    """A row per trial and epoch."""
    rows: list[Record] = []
    found = [(name, record) for name, trial in report.trials.items() for record in _reported(report, trial)]
    names = _metric_names([record["metrics"] for _, record in found])
    for trial, record in found:
        row = {name: record.get(name) for name in EPOCH}
        row |= {"trial": trial, "reused": bool(record.get("reused", False))}
        rows.append(row | {name: record["metrics"].get(name) for name in names})
    return _frame(rows, EPOCH | dict.fromkeys(names, "float64"))


def _reported(report: SweepReport, trial: TrialRecord) -> list[Record]:
    """A trial's own record of each epoch, else what it reported to the sweep."""
    from dirsweep.checkpoint import read_records  # PyTorch comes with it, which a report does without

    return read_records(folder_of(report, trial)) or trial.reports


def _bins(report: SweepReport) -> pd.DataFrame:
    """A row per finished trial and bin."""
    found = {name: csv(folder_of(report, trial), BINS) for name, trial in report.trials.items()}
    tables = [
        table.assign(trial=name)[list(BIN)].astype(BIN) for name, table in found.items() if table is not None
    ]
    return pd.concat([_frame([], BIN), *tables], ignore_index=True)


def _metric_names(found: Sequence[dict[str, float]]) -> list[str]:
    """The metrics' names, each where it comes up first."""
    return [name for name in dict.fromkeys(name for one in found for name in one) if name not in OWN_COLUMN]


def _frame(rows: list[dict[str, Any]], types: dict[str, Any]) -> pd.DataFrame:
    """Rows as columns of these types, in this order; without rows too."""
    columns = {name: pd.Series([row[name] for row in rows], dtype=dtype) for name, dtype in types.items()}
    return pd.DataFrame(columns)
