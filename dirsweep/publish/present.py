"""Present what won: the model of the winner, the summary, pictures of the winner and its controls."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

from dirsweep import tracking
from dirsweep.ledger import Ledger, TrialRecord, of_drivers
from dirsweep.publish.summary import sum_up
from dirsweep.report import SweepReport
from dirsweep.report.drawing import draw_trial, trained
from dirsweep.sweep.book import TRIALS
from dirsweep.sweep.told import PICTURES
from dirsweep.tracking import Writer


def present(
    writer: Writer, uri: str, report: SweepReport, ledger: Ledger, deadline: float = math.inf
) -> list[str]:
    """Bring it there; gives what could not be, a sentence each.

    Args:
        uri: of the store, with credentials if it needs them.
        deadline: by `time.monotonic`; what has not begun by then is left out.

    Raises:
        ValueError: the store fails.
    """
    left, model = [], ""
    last = of_drivers(ledger.records)[-1]
    over = last["kind"] == "end" and last["why"] != "stopped"
    if over and report.best is not None:
        try:
            model = _registered(writer, uri, report, report.best)
        except ValueError as error:
            left.append(f"the model of trial {report.best.trial} is not registered: {error}")
    sum_up(writer, report, ledger, model)
    for trial in winner_and_controls(report):
        if time.monotonic() > deadline:
            left.append(f"time was up before the pictures of {trial.trial}")
            continue
        drawn = trained(report, trial)  # another, where that has the same configuration
        try:
            files = _drawn(report, drawn, last["time"])
            for key in dict.fromkeys((drawn.trial, trial.trial)):
                add_pictures(writer, key, files)
        except ValueError as error:
            left.append(f"pictures of {trial.trial}: {error}")
    return left


def _drawn(report: SweepReport, trial: TrialRecord, since: float) -> list[Path]:
    """A trial's pictures, drawn anew if the sweep went on since, for titles say who is best."""
    there = sorted((report.folder / TRIALS / trial.trial / PICTURES).glob("*.svg"))
    if there and min(file.stat().st_mtime for file in there) >= since:
        return there
    return draw_trial(report, trial)


def add_pictures(writer: Writer, key: str, files: Sequence[Path]) -> None:
    """Put a trial's pictures beside its run. ValueError if the store has no run of it, or fails."""
    if key not in writer.ids:
        raise ValueError(f"there is no run of {key} yet")
    writer.add_files(key, files, PICTURES)
    writer.flush()


def winner_and_controls(report: SweepReport) -> list[TrialRecord]:
    """The complete ones among them; none without a winner."""
    if report.best is None:
        return []
    found = [report.trials[report.best.trial], *report.controls(report.best.trial)]
    return [trial for trial in found if trial.state == "COMPLETE"]


def _registered(writer: Writer, uri: str, report: SweepReport, best: TrialRecord) -> str:
    """Register the winner's model under the sweep's name, unless it is; gives the registry's name for it."""
    if best.trial not in writer.ids:
        raise ValueError(f"there is no run of {best.trial} yet")
    folder = report.folder / TRIALS / best.trial
    tracking.register_model(uri, writer.ids[best.trial], folder, writer.title)
    return tracking.registered_name(writer.title)
