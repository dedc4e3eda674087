"""What can be said of a sweep and its trials, whoever carries it to MLflow and whenever.

A live sweep says it to a `Tracker`, which delivers in a thread of its own; `dirsweep sync` says the same,
with the ledger's times, to a `Writer`, which delivers at the end. So there is one way to write.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dirsweep.storage import File, Record
from dirsweep.tracking.owed import PARENT, Owed, Upload, points

STATUS = {
    "RUNNING": "RUNNING",
    "COMPLETE": "FINISHED",
    "PRUNED": "KILLED",
    "FAIL": "FAILED",
    # not RUNNING, for nothing works on it; not KILLED, which means pruned: `dirsweep resume` goes on with it
    "OPEN": "SCHEDULED",
}


class Calls(ABC):
    """The calls; `at` is in unix seconds, 0 for now. Trials go by their key, "7" or "5-mu0"."""

    def start_sweep(self, tags: dict[str, str], at: float = 0.0) -> None:
        """Begin, or go on with, the sweep's parent run."""
        self._say(PARENT, at, tags=tags, state="RUNNING")

    def start_trial(self, key: str, params: dict[str, Any], tags: dict[str, str], at: float = 0.0) -> None:
        """Begin, or go on with, a trial's run; `params` by dotted name."""
        written = {name: str(value) for name, value in params.items()}
        self._say(key, at, params=written, tags=tags, state="RUNNING")

    def log_epoch(
        self, key: str, metrics: dict[str, float], epoch: int, stage: str = "", at: float = 0.0
    ) -> None:
        """Give a trial's numbers of an epoch (1, 2, ... over the whole trial), once."""
        found = points(metrics, _milliseconds(at), epoch)
        self._say(key, at, points=found, tags={"stage": stage} if stage else {})

    def log_load(self, load: Mapping[str, float], step: int, at: float) -> None:
        """Give the sweep's run what its machine was busy with at a moment; that is no epoch of the run."""
        self._say(PARENT, at, points=points(load, _milliseconds(at), step=step))

    def log_past(self, key: str, reports: Sequence[Record]) -> None:
        """Give a trial's earlier epochs, as the ledger reports them; its run passes over those it has."""
        if reports:
            found = [
                point
                for report in reports
                for point in points(
                    {**report["metrics"], "seconds": report["seconds"]},
                    _milliseconds(report["time"]),
                    report["epoch"],
                )
            ]
            self._say(key, reports[0]["time"], points=found, tags={"stage": reports[-1]["stage"]})

    def name_trial(self, key: str, name: str, tags: dict[str, str]) -> None:
        """Tag a trial's run, and call it by another name than "trial 7" unless `name` is empty."""
        self._say(key, 0.0, name=name, tags=tags)

    def end_trial(
        self,
        key: str,
        state: str,
        metrics: Mapping[str, float],
        files: Sequence[File],
        reason: str = "",
        at: float = 0.0,
    ) -> None:
        """End a trial's run as COMPLETE, PRUNED, FAIL or OPEN, with its final numbers and files."""
        found, tags = points(metrics, _milliseconds(at)), {"reason": reason} if reason else {}
        self._say(key, at, points=found, files=[Upload(file) for file in files], tags=tags, state=state)

    def sum_up(
        self, params: dict[str, str], tags: dict[str, str], metrics: Mapping[str, float], at: float
    ) -> None:
        """Say what came out of the sweep, on its parent run."""
        found = points(metrics, _milliseconds(at))
        self._say(PARENT, 0.0, params=params, tags=tags, points=found)

    def add_files(self, key: str, files: Sequence[File], below: str = "") -> None:
        """Put files into the folder `below` of a run's artifacts, "" for the top."""
        self._say(key, 0.0, files=[Upload(file, below) for file in files])

    def end_sweep(
        self, state: str, summary: Mapping[str, float], files: Sequence[File], at: float = 0.0
    ) -> None:
        """End the parent run as COMPLETE, FAIL or OPEN."""
        found = points(summary, _milliseconds(at))
        self._say(PARENT, at, points=found, files=[Upload(file) for file in files], state=state)

    def _say(
        self,
        key: str,
        at: float,
        *,
        state: str = "",
        tags: dict[str, str] | None = None,
        told: Mapping[str, Callable[[], None]] | None = None,
        **fields: Any,
    ) -> None:
        when = _milliseconds(at)
        owed = Owed(when, 1, dict(tags or {}), told=dict(told or {}), **fields)
        if state:
            owed.tags["status"] = state
            owed.status, owed.at = STATUS[state], when
        self._add(key, owed)

    @abstractmethod
    def _add(self, key: str, owed: Owed) -> None:
        """Take in what a run is owed."""


def _milliseconds(at: float) -> int:
    return round((at or time.time()) * 1000)
