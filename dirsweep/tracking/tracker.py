"""Carry a sweep's numbers to MLflow without ever holding the sweep up.

A call adds to what its run is still owed and returns; one daemon thread owns MLflow's client, takes the run
that has waited longest and delivers all that it is owed at once: one `log_batch` an epoch while the store
keeps up, fewer when it lags, the same curves either way.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dirsweep.storage import Record
from dirsweep.tracking import store
from dirsweep.tracking.runs import PARENT, Owed, Point, Runs

logger = logging.getLogger(__name__)

LIMIT = 10_000  # items that wait at most (about 50 MB); epochs beyond are dropped and counted
SHARE = 0.25
"""Of its time the thread works at most this: MLflow and Tune share one interpreter, and trials come first."""
FIRST_RETRY, LONGEST_RETRY = 0.5, 30.0  # seconds; doubled from the one to the other

STATUS = {
    "RUNNING": "RUNNING",
    "COMPLETE": "FINISHED",
    "PRUNED": "KILLED",
    "FAIL": "FAILED",
    # not RUNNING, for nothing works on it; not KILLED, which means pruned: `dirsweep resume` goes on with it
    "OPEN": "SCHEDULED",
}
HOPELESS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}
"""MLflow's codes of errors that would come again; everything else may pass and is retried."""


class Tracker:
    """A sweep's way to MLflow. No call waits for MLflow, none raises because of it.

    Args:
        uri: the store, as `store.check` accepts it.
        sweep: the sweep's name; a new experiment takes it (with -2, -3 ... if another sweep has the name).
        known: trial key -> run id, from the ledger; "" is the sweep's parent run. A parent that the store
            has is continued with all its trials; one that it has not (another store, deleted) starts anew.
        on_run: told the key and id of each run that is made, in the tracker's thread.
    """

    def __init__(
        self, uri: str, sweep: str, known: dict[str, str], on_run: Callable[[str, str], None]
    ) -> None:
        self._open_runs = lambda: Runs(uri, sweep, known, on_run)
        self._uri = uri
        self._changed = threading.Condition()
        self._owed: dict[str, Owed] = {}  # the run that has waited longest first
        self._waiting = 0  # items in it
        self._in_hand = 0  # items that the thread is delivering
        self._lost = 0  # items given up
        self._failures = 0  # in a row
        self._closing = False
        self._abandoned = False
        self._running: set[str] = set()  # trials that were started and have not ended
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def start_sweep(self, tags: dict[str, str]) -> None:
        """Begin, or go on with, the sweep's parent run."""
        self._add(PARENT, tags=tags, state="RUNNING")

    def catch_up(self, told: Mapping[str, Callable[[], None]]) -> None:
        """Tell again of the trials, among those that ended before, whose run has not: a driver died too soon.

        Args:
            told: by trial key, what makes the calls of that trial again. Called in the tracker's thread.
        """
        self._add(PARENT, told={key: partial(self._all_at_once, calls) for key, calls in told.items()})

    def _all_at_once(self, calls: Callable[[], None]) -> None:
        """Make several calls that `end_sweep` does not come between."""
        with self._changed:
            calls()

    def start_trial(self, key: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        """Begin, or go on with, a trial's run; `params` by dotted name."""
        self._running.add(key)
        self._add(
            key, params={name: str(value) for name, value in params.items()}, tags=tags, state="RUNNING"
        )

    def log_epoch(self, key: str, metrics: dict[str, float], epoch: int, stage: str = "") -> None:
        """Give a trial's numbers of an epoch (1, 2, ... over the whole trial), once."""
        points = _points(metrics, int(time.time() * 1000), epoch)
        self._add(key, points=points, tags={"stage": stage} if stage else {})

    def log_past(self, key: str, reports: Sequence[Record]) -> None:
        """Give a trial's earlier epochs, as the ledger reports them; its run passes over those it has."""
        points: list[Point] = []
        for report in reports:
            numbers = {**report["metrics"], "seconds": report["seconds"]}
            points += _points(numbers, int(report["time"] * 1000), report["epoch"])
        if reports:
            self._add(key, points=points, tags={"stage": reports[-1]["stage"]})

    def end_trial(
        self, key: str, state: str, metrics: dict[str, float], files: list[Path], reason: str = ""
    ) -> None:
        """End a trial's run as COMPLETE, PRUNED, FAIL or OPEN, with its final numbers and files."""
        self._running.discard(key)
        points = _points(metrics, int(time.time() * 1000))
        self._add(key, points=points, files=files, tags={"reason": reason} if reason else {}, state=state)

    def end_sweep(self, state: str, summary: dict[str, float], files: list[Path]) -> None:
        """End the parent run as COMPLETE, FAIL or OPEN; trials that have not ended are left OPEN."""
        with self._changed:
            for key in sorted(self._running):
                self.end_trial(key, "OPEN", {}, [])
        self._add(PARENT, points=_points(summary, int(time.time() * 1000)), files=files, state=state)

    def close(self, timeout: float) -> int:
        """Deliver what waits, for at most `timeout` seconds; the number of items that did not arrive."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
            missing = self._lost + self._in_hand + self._waiting
        if missing:
            logger.warning("tracking: %d items did not reach %s", missing, store.shown(self._uri))
        return missing

    def _add(
        self,
        key: str,
        *,
        tags: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        points: list[Point] | None = None,
        files: list[Path] | None = None,
        state: str = "",
        told: Mapping[str, Callable[[], None]] | None = None,
    ) -> None:
        now = int(time.time() * 1000)
        later = Owed(
            now, 1, dict(tags or {}), params or {}, points or [], list(files or []), dict(told or {})
        )
        if state:
            later.tags["status"] = state
            later.status, later.at = STATUS[state], now
        with self._changed:
            if not state and self._waiting >= LIMIT:
                self._lose(1, f"more than {LIMIT} items wait")
                return
            self._owed.setdefault(key, Owed(now)).add(later)
            self._waiting += 1
            self._changed.notify_all()

    def _work(self) -> None:
        runs: Runs | None = None
        while (taken := self._take()) is not None:
            key, owed = taken
            begun = time.monotonic()
            try:
                runs = runs or self._open_runs()
                gone = runs.deliver(key, owed)
            except Exception as error:  # whatever MLflow raises must not end the thread
                self._failed(key, owed, error)
            else:
                self._delivered(gone)
                self._rest((time.monotonic() - begun) * (1 / SHARE - 1))

    def _rest(self, seconds: float) -> None:
        """Leave the interpreter to the sweep for a while; what comes in meanwhile goes out together."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._abandoned, seconds)

    def _take(self) -> tuple[str, Owed] | None:
        """The run that has waited longest, after a pause if the last one failed; None ends the thread."""
        with self._changed:
            if self._failures:
                closing = self._closing
                doubled = FIRST_RETRY * 2 ** min(self._failures - 1, 10)
                delay = FIRST_RETRY if closing else min(LONGEST_RETRY, doubled)
                self._changed.wait_for(lambda: self._abandoned or self._closing != closing, delay)
            self._changed.wait_for(lambda: self._owed or self._closing)
            if self._abandoned or not self._owed:
                return None
            key = next(iter(self._owed))
            owed = self._owed.pop(key)
            self._in_hand = owed.items
            self._waiting -= owed.items
            return key, owed

    def _delivered(self, gone: list[Path]) -> None:
        with self._changed:
            self._in_hand = 0
            if self._failures:
                logger.warning("tracking: %s works again", store.shown(self._uri))
            self._failures = 0
            for file in gone:
                self._lose(1, f"the file {file} is gone")

    def _failed(self, key: str, owed: Owed, error: Exception) -> None:
        reason = store.brief(error, self._uri)
        with self._changed:
            self._in_hand = 0
            if getattr(error, "error_code", "") in HOPELESS:
                self._lose(owed.items, f"trial {key}: {reason}" if key else reason)
                return
            self._waiting += owed.items
            if key in self._owed:
                owed.add(self._owed.pop(key))
            self._owed = {key: owed} | self._owed
            self._failures += 1
            if self._failures == 1:
                kept = "the sweep goes on, what is missing there is kept and retried"
                logger.warning("tracking: %s fails (%s); %s", store.shown(self._uri), reason, kept)

    def _lose(self, items: int, reason: str) -> None:
        with self._changed:
            if not self._lost:
                where = store.shown(self._uri)
                logger.warning("tracking: not in %s (%s); more of these are only counted", where, reason)
            self._lost += items


def _points(metrics: Mapping[str, float], milliseconds: int, epoch: int | None = None) -> list[Point]:
    return [
        Point(name, float(value), milliseconds, epoch)
        for name, value in metrics.items()
        if math.isfinite(value)  # an empty shot has no error, and MLflow's charts draw NaN as 0
    ]
