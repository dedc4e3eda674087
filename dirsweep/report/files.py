"""What a report reads from the folders of trials: tables of bins, predictions on val, the target's name.

A control of a configuration that ran already has no folder of its own: its figures are that run's, and so are
its files.
"""

import json

import pandas as pd

from dirsweep import tables
from dirsweep.ledger import TrialRecord
from dirsweep.report.load import SweepReport
from dirsweep.storage import TRIALS, Folder
from dirsweep.sweep.controls import record_config, same_config

INPUTS = "inputs.json"


def folder_of(report: SweepReport, trial: TrialRecord) -> Folder:
    """The folder with a trial's files: its own, or, if it never ran, that of the same configuration."""
    own = report.folder / TRIALS / trial.trial
    if own.exists(tables.BINS) or trial.attempts or trial.state != "COMPLETE":
        return own
    others = [other for other in report.trials.values() if other.attempts]
    twin = same_config(report.spec, record_config(report.spec, trial), others)
    return own if twin is None else report.folder / TRIALS / twin.trial


def csv(folder: Folder, name: str, rows: float | None = None) -> pd.DataFrame | None:
    """A table of a trial, BINS or PREDICTIONS; None where there is none.

    Args:
        rows: how many there must be, where that is known.

    Raises:
        ValueError: it is no such table; names the file.
    """
    if not folder.exists(name):
        return None
    try:
        return tables.parse(folder.read(name), name, rows)
    except ValueError as error:
        raise ValueError(f"{folder}/{name}: {error}; restore the file, or remove it") from None


def target(report: SweepReport) -> str:
    """What the label is called: by the data, or by what the winner was trained on; "label" before that."""
    named = getattr(report.spec.default_config().dataset, "target", None)
    if named is not None:
        return str(named)
    for trial in report.ranked[:1]:
        folder = report.folder / TRIALS / trial.trial
        if folder.exists(INPUTS):
            return str(json.loads(folder.read(INPUTS)).get("target", "label"))
    return "label"


def label_axis(report: SweepReport) -> str:
    """What the label is, for an axis: with its unit where the data name one."""
    unit = report.spec.default_config().dataset.label_unit
    return f"{target(report)} ({unit})" if unit else target(report)
