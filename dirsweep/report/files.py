"""What a report reads from the folders of trials: tables of bins, predictions on val, the target's name.

A control of a configuration that ran already has no folder of its own: its figures are that run's, and so are
its files.
"""

import io
import json

import pandas as pd

from dirsweep.ledger import TrialRecord
from dirsweep.report.load import SweepReport
from dirsweep.storage import Folder
from dirsweep.sweep.controls import record_config, same_config

PREDICTIONS, BINS, INPUTS = "val_predictions.csv", "bins.csv", "inputs.json"


def folder_of(report: SweepReport, trial: TrialRecord) -> Folder:
    """The folder with a trial's files: its own, or, if it never ran, that of the same configuration."""
    own = Folder(report.folder / "trials" / trial.trial)
    if own.exists(BINS) or trial.attempts or trial.state != "COMPLETE":
        return own
    others = [other for other in report.trials.values() if other.attempts]
    twin = same_config(report.spec, record_config(report.spec, trial), others)
    return own if twin is None else Folder(report.folder / "trials" / twin.trial)


def csv(folder: Folder, name: str, columns: set[str]) -> pd.DataFrame | None:
    """A table of a trial; None where there is none.

    Raises:
        ValueError: it is no such table.
    """
    if not folder.exists(name):
        return None
    try:
        found = pd.read_csv(io.BytesIO(folder.read(name)))
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder.path / name}: {error}; restore the file, or remove it") from None
    if lacking := columns - set(found):
        raise ValueError(
            f"{folder.path / name}: no column {', '.join(sorted(lacking))}; restore the file, or remove it"
        )
    return found


def target(report: SweepReport) -> str:
    """What the label is called: by the data, or by what the winner was trained on; "label" before that."""
    named = getattr(report.spec.default_config().dataset, "target", None)
    if named is not None:
        return str(named)
    for trial in report.ranked[:1]:
        folder = Folder(report.folder / "trials" / trial.trial)
        if folder.exists(INPUTS):
            return str(json.loads(folder.read(INPUTS)).get("target", "label"))
    return "label"


def label_axis(report: SweepReport) -> str:
    """What the label is, for an axis: with its unit where the data name one."""
    unit = report.spec.default_config().dataset.label_unit
    return f"{target(report)} ({unit})" if unit else target(report)
