"""By how much the winner differs from its controls on val, with intervals where its files allow one.

One seed of each side: the interval covers new samples (subjects, where they are known), for these two trained
models. It says nothing of other seeds, which is what `dirsweep finalize` is for.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dirsweep.intervals import Interval, Statistic, difference_interval, error_interval
from dirsweep.ledger import TrialRecord
from dirsweep.report.files import csv, folder_of
from dirsweep.report.load import DEFAULT, SweepReport
from dirsweep.report.numbers import SHOTS
from dirsweep.report.words import part
from dirsweep.tables import PREDICTIONS


@dataclass(frozen=True)
class Difference:
    """A trial's error on val against a control's, in one shot.

    ours, theirs: as the ledger has them, of the first seed.
    interval: of ours minus theirs over val samples; None where predictions are missing.
    grouped: whether samples of one subject count as one there; older trials' files do not tell.
    """

    control: TrialRecord
    shot: str
    samples: int
    ours: float
    theirs: float
    interval: Interval | None
    grouped: bool

    @property
    def share(self) -> float:
        """The difference as a part of the control's error; NaN if that is 0."""
        return part(self.ours, self.theirs)


@dataclass(frozen=True)
class Repeated:
    """A trial that ran with several seeds, in one shot.

    error: of its mean over seeds; None where predictions are missing.
    behind: that error minus the winner's over the seeds that both have; None for the winner itself.
    """

    trial: TrialRecord
    shot: str
    seeds: int
    mean: float
    error: Interval | None
    behind: Interval | None


def compared(report: SweepReport, best: TrialRecord) -> list[TrialRecord]:
    """The complete controls of the winner, then the default configuration's; of twins the first alone."""
    controls = [*report.controls(best.trial), *report.controls(DEFAULT)]
    found: dict[str, TrialRecord] = {}
    for control in controls:
        if control.state == "COMPLETE":
            found.setdefault(str(folder_of(report, control)), control)
    return list(found.values())


def differences(report: SweepReport, best: TrialRecord) -> list[Difference]:
    """The winner against each control in each shot that val has samples of."""
    ours, name = report.trials[best.trial], report.spec.metrics[0]
    found = []
    for control in compared(report, best):
        both = _paired([_predictions(report, ours)], [_predictions(report, control)])
        for shot in SHOTS:
            samples = int(ours.metrics.get(f"val/{shot}/count", 0))
            values = [trial.metrics.get(f"val/{shot}/{name}") for trial in (ours, control)]
            if not samples or None in values:
                continue
            first, second = (float(value) for value in values if value is not None)
            interval, grouped = _difference(both, shot, name), both is not None and both.group is not None
            found.append(Difference(control, shot, samples, first, second, interval, grouped))
    return found


def intervals(
    report: SweepReport, trials: Iterable[TrialRecord], control: TrialRecord, shots: Iterable[str]
) -> dict[tuple[str, str], Interval]:
    """Those of first seeds' errors minus a control's, by trial and shot; without those that lack files.

    One takes about 20 us of CPU for each val sample.
    """
    theirs, name, wanted = _predictions(report, control), report.spec.metrics[0], list(shots)
    found = {}
    for trial in trials if theirs is not None else ():
        both = _paired([_predictions(report, report.trials[trial.trial])], [theirs])
        for shot in wanted:
            interval = _difference(both, shot, name)
            if interval is not None:
                found[trial.trial, shot] = interval
    return found


def repeated(report: SweepReport) -> list[Repeated]:
    """The ranked trials that have several complete seeds, the winner first, in each shot."""
    name, found = report.spec.metrics[0], []
    again = {trial.of for trial in report.trials.values() if trial.is_repeat}
    several = [trial for trial in report.ranked if trial.trial in again and len(report.seeds(trial)) > 1]
    tables = {trial.trial: _of_seeds(report, trial) for trial in several}
    for trial in several:
        own, first = tables[trial.trial], tables[several[0].trial]
        common = [seed for seed in own if seed in first]
        both = _paired([own[seed] for seed in common], [first[seed] for seed in common])
        alone = _paired(list(own.values()), [])
        for shot in SHOTS:
            if not trial.metrics.get(f"val/{shot}/count"):
                continue
            error = _error(alone, shot, name)
            behind = None if trial is several[0] else _difference(both, shot, name)
            mean = trial.metrics.get(f"val/{shot}/{name}", float("nan"))
            found.append(Repeated(trial, shot, len(own), mean, error, behind))
    return found


@dataclass(frozen=True)
class _Paired:
    """Signed errors on the same samples: ours and theirs (S, N), shot (N,), groups (N,) where known."""

    ours: NDArray[np.float64]
    theirs: NDArray[np.float64] | None
    shot: NDArray[np.str_]
    group: NDArray[np.int64] | None


def _of_seeds(report: SweepReport, trial: TrialRecord) -> dict[str, pd.DataFrame | None]:
    """The predictions of each seed by its name; the first is called ""."""
    return {one.control: _predictions(report, one) for one in report.seeds(trial)}


def _predictions(report: SweepReport, trial: TrialRecord) -> pd.DataFrame | None:
    return csv(folder_of(report, trial), PREDICTIONS, trial.metrics.get("val/all/count"))


def _paired(ours: Iterable[pd.DataFrame | None], theirs: Iterable[pd.DataFrame | None]) -> _Paired | None:
    """Errors side by side; None where a table is missing or they are of other samples."""
    rows, others = list(ours), list(theirs)
    tables = [table for table in (*rows, *others) if table is not None]
    if not rows or len(tables) < len(rows) + len(others):
        return None
    first = tables[0]
    if any(not np.array_equal(table["sample"], first["sample"]) for table in tables[1:]):
        return None
    errors = np.stack([(table["prediction"] - table["target"]).to_numpy(np.float64) for table in tables])
    group = first["group"].to_numpy() if "group" in first else None
    return _Paired(
        errors[: len(rows)], errors[len(rows) :] if others else None, first["shot"].to_numpy(str), group
    )


def _inside(found: _Paired, shot: str) -> NDArray[np.bool_]:
    return np.ones(len(found.shot), dtype=bool) if shot == "all" else found.shot == shot


def _difference(found: _Paired | None, shot: str, name: str) -> Interval | None:
    if found is None or found.theirs is None or not (mask := _inside(found, shot)).any():
        return None
    group = None if found.group is None else found.group[mask]
    return difference_interval(
        found.ours[:, mask], found.theirs[:, mask], cast(Statistic, name), clusters=group
    )


def _error(found: _Paired | None, shot: str, name: str) -> Interval | None:
    if found is None or not (mask := _inside(found, shot)).any():
        return None
    group = None if found.group is None else found.group[mask]
    return error_interval(found.ours[:, mask], cast(Statistic, name), clusters=group)
