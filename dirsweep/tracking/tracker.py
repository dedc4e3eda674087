"""Carry a sweep's numbers to MLflow without ever holding the sweep up.

A call adds to what its run is still owed and returns; one daemon thread owns MLflow's client, takes the run
that has waited longest and delivers all that it is owed at once: one `log_batch` an epoch while the store
keeps up, fewer when it lags, the same curves either way.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from dirsweep.storage import File
from dirsweep.tracking import store
from dirsweep.tracking.calls import Calls
from dirsweep.tracking.owed import PARENT, Owed
from dirsweep.tracking.runs import Runs, Sweep

logger = logging.getLogger(__name__)

LIMIT = 10_000  # items that wait at most (about 50 MB); epochs beyond are dropped and counted
SHARE = 0.25
"""Of a processor's time the thread takes at most this: MLflow and Tune share one interpreter, and trials come
first. What it waits for a slow server does not count."""
FIRST_RETRY, LONGEST_RETRY = 0.5, 30.0  # seconds; doubled from the one to the other

HOPELESS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}
"""MLflow's codes of errors that would come again; everything else may pass and is retried."""


class Tracker(Calls):
    """A sweep's way to MLflow. No call waits for MLflow, none raises because of it.

    Args:
        uri: the store, as `store.check` accepts it.
        sweep: which sweep it is.
        known: trial key -> run id, from the ledger; "" is the sweep's parent run. A parent that the store
            has is continued with all its trials; one that it has not (another store, deleted) starts anew.
        on_run: told the key and id of the parent run and of each run that `known` does not name so, in the
            tracker's thread.
    """

    def __init__(
        self, uri: str, sweep: Sweep, known: dict[str, str], on_run: Callable[[str, str], None]
    ) -> None:
        self._runs_of = lambda: Runs(uri, sweep, known, on_run)
        self._uri = uri
        self._changed = threading.Condition()
        self._owed: dict[str, Owed] = {}  # the run that has waited longest first
        self._waiting = 0  # items in it
        self._in_hand = 0  # items that the thread is delivering
        self._lost = 0  # items given up
        self._failures = 0  # in a row
        self._refused = ""  # why nothing can ever be written there
        self._closing = False
        self._abandoned = False
        self._running: set[str] = set()  # what was started and has not ended
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def catch_up(self, told: Mapping[str, Callable[[], None]]) -> None:
        """Tell again of the trials, among those that ended before, whose run has not: a driver died too soon.

        Args:
            told: by trial key, what makes the calls of that trial again. Called in the tracker's thread.
        """
        again = {key: partial(self._all_at_once, calls) for key, calls in told.items()}
        self._say(PARENT, 0.0, told=again)

    def _all_at_once(self, calls: Callable[[], None]) -> None:
        """Make several calls that `end_sweep` does not come between."""
        with self._changed:
            calls()

    def end_sweep(
        self, state: str, summary: Mapping[str, float], files: Sequence[File], at: float = 0.0
    ) -> None:
        """As said in `Calls`; trials that have not ended are left OPEN."""
        with self._changed:
            for key in sorted(self._running - {PARENT}):
                self.end_trial(key, "OPEN", {}, [])
        super().end_sweep(state, summary, files, at)

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

    def _add(self, key: str, owed: Owed) -> None:
        with self._changed:
            if self._refused:
                self._lost += owed.items
                return
            if owed.status == "RUNNING":
                self._running.add(key)
            elif owed.status:
                self._running.discard(key)
            elif self._waiting >= LIMIT:
                self._lose(1, f"more than {LIMIT} items wait")
                return
            if key in self._owed:
                self._owed[key].add(owed)
            else:
                self._owed[key] = owed
            self._waiting += 1
            self._changed.notify_all()

    def _work(self) -> None:
        runs: Runs | None = None
        while (taken := self._take()) is not None:
            key, owed = taken
            begun = time.thread_time()
            try:
                runs = runs or self._open_runs()
                gone = runs.deliver(key, owed)
            except store.Moved as error:
                self._refuse(owed, str(error))
                return
            except Exception as error:  # whatever MLflow raises must not end the thread
                self._failed(key, owed, error)
            else:
                self._delivered(gone)
                self._rest((time.thread_time() - begun) * (1 / SHARE - 1))

    def _open_runs(self) -> Runs:
        runs = self._runs_of()
        runs.check_place()
        return runs

    def _refuse(self, owed: Owed, reason: str) -> None:
        """Say once that nothing gets there; from now on calls are only counted."""
        with self._changed:
            logger.warning("tracking: nothing is written there, the sweep goes on; %s", reason)
            self._refused, self._in_hand = reason, 0
            self._lost += owed.items + self._waiting
            self._owed, self._waiting = {}, 0

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

    def _delivered(self, gone: list[File]) -> None:
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
