"""The books of a sweep: what is asked, started, reported and told, in the ledger and at the tracker.

Each entry is in the ledger before anything follows from it. Trials are asked and told in the search
thread, so a slow sampler never stalls the trials that run; everything else happens in the caller's.
"""

import math
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from dirsweep.config import TrialConfig
from dirsweep.kinds import State
from dirsweep.ledger import Ledger, TrialRecord, budget
from dirsweep.search.core import Search
from dirsweep.search.known import known_trials
from dirsweep.search.model import SweepSpec
from dirsweep.storage import TRIALS, Folder
from dirsweep.sweep import told
from dirsweep.sweep.controls import Control, record_config
from dirsweep.sweep.progress import Sums
from dirsweep.sweep.store import store_of
from dirsweep.trainable import Assignment

if TYPE_CHECKING:
    from dirsweep.tracking import Tracker


class Book:
    """The books of one sweep, open for one driver's life."""

    def __init__(
        self,
        spec: SweepSpec,
        folder: Folder,
        ledger: Ledger,
        tracker: "Tracker | None",
        logged: tuple[str, ...],
    ) -> None:
        """Open the books.

        Args:
            logged: metrics of an epoch that are kept; the rest is in the trial's own records.
        """
        self.spec, self.folder, self.ledger = spec, folder, ledger
        self.records = known_trials(spec, ledger, folder)
        self.total = budget(ledger.records)
        self._search = Search(spec, ledger)
        self._tracker = tracker
        self._tracked: set[str] = set()
        self._logged = logged
        self._settled = Sums(spec.metrics)
        self._unsettled: dict[str, TrialRecord] = {}
        """Trials and controls that are open, or whose tell is not written yet."""
        for record in self.records.values():
            self._enter(record)
        self._ask: Future[tuple[int, dict[str, Any]]] | None = None
        self._tells: list[tuple[TrialRecord, Future[tuple[State, str]]]] = []
        if tracker:
            ended = [record for record in self.records.values() if record.state != "OPEN"]
            tracker.catch_up({record.trial: partial(self._track_end, record) for record in ended})

    def config(self, key: str) -> TrialConfig:
        """The configuration of a trial or control. ValueError if its values do not go together."""
        return record_config(self.spec, self.records[key])

    def assignment(self, key: str) -> Assignment:
        """What a worker needs to run a trial or control, or to go on with it. ValueError as `config`."""
        return Assignment(
            key=key,
            config=self.config(key).model_dump_json(),
            folder=str(self.trial_folder(key).absolute()),
            emitted=self.records[key].epoch,
            data=self.ledger.opening["data"],
            store=str(self.store.absolute()),
            sweep=str(self.folder.absolute()),
        )

    def trial_folder(self, key: str) -> Folder:
        """The folder that the trial owns."""
        return self.folder / TRIALS / key

    @property
    def store(self) -> Folder:
        """The folder of stage 1s that this sweep shares with those beside it."""
        return store_of(self.folder.parent)

    @property
    def may_ask(self) -> bool:
        """Whether the budget allows another trial, or one is being asked already."""
        return self._ask is not None or self._search.asked < self.total

    @property
    def asking(self) -> bool:
        """Whether a trial is being asked."""
        return self._ask is not None

    @property
    def overspent(self) -> bool:
        """Whether the asked trials have used up the budget's trainer-seconds, those that run included."""
        limit = self.spec.budget.trainer_seconds
        return limit is not None and self.sums.seconds.get("ask", 0.0) >= limit

    @property
    def sums(self) -> Sums:
        """What all trials and controls come to so far."""
        return self._settled.plus(self._unsettled.values())

    def _enter(self, record: TrialRecord) -> None:
        self.records[record.trial] = record
        if record.state == "OPEN":
            self._unsettled[record.trial] = record
        else:
            self._settled.add(record)

    def ask(self, seconds: float) -> str | None:
        """The key of a new trial; None if the sampler takes longer than `seconds` (then call again)."""
        self._ask = self._ask or self._search.submit_ask()
        try:
            number, params = self._ask.result(timeout=seconds)
        except TimeoutError:
            return None
        self._ask = None
        key = str(number)
        self._enter(TrialRecord(key, "ask", params))
        return key

    def add_control(self, control: Control) -> None:
        """Enter a control."""
        fields = {"of": control.of, "control": control.control, "params": control.params}
        self.ledger.write("control", trial=control.key, **fields)
        self._enter(TrialRecord(control.key, "control", control.params, control.of, control.control))

    def start(self, key: str) -> None:
        """A worker has taken up the trial."""
        record = self.records[key]
        record.attempts += 1
        written = self.ledger.write("start", trial=key, attempt=record.attempts)
        record.begun = record.begun or written["time"]
        self._track(record)

    def report(self, key: str, result: Mapping[str, Any], metrics: Mapping[str, float]) -> bool:
        """Enter the report of an epoch; False, and nothing entered, if the ledger has that epoch."""
        record = self.records[key]
        if result["epoch"] <= record.epoch:
            return False
        kept = {name: metrics[name] for name in self._logged if name in metrics}
        fields = {name: result[name] for name in ("epoch", "of", "stage", "seconds")}
        fields |= {name: result[name] for name in ("reused", "forked_from", "forked_at") if result.get(name)}
        written = self.ledger.write("report", trial=key, **fields, metrics=kept)
        record.reports.append(written)
        record.epoch, record.seconds, record.metrics = result["epoch"], result["seconds"], kept
        if self._tracker:
            numbers = {**kept, "seconds": record.seconds}
            self._tracker.log_epoch(key, numbers, record.epoch, result["stage"], written["time"])
            if not record.forked_from and written.get("forked_from"):
                record.forked_from, record.forked_at = written["forked_from"], written.get("forked_at", 0.0)
                told.forked(self._tracker, self.ledger.opening, self.folder.name, record)
        return True

    def note(self, key: str, text: str) -> None:
        """Enter what a trial warned of: a damaged checkpoint that it passed over, a store that was away."""
        self.ledger.write("note", trial=key, text=text)
        self.records[key].notes.append(text)

    def tell(
        self,
        key: str,
        state: State,
        reason: str = "",
        *,
        metrics: Mapping[str, float] | None = None,
        epoch: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Say how a trial ended; what is left out stays as the last report has it.

        A control is no trial of the sampler's, so it is told to the ledger alone.
        """
        record = self.records[key]
        record.state, record.reason = state, reason
        record.metrics = record.metrics if metrics is None else dict(metrics)
        record.epoch = record.epoch if epoch is None else epoch
        record.seconds = record.seconds if seconds is None else seconds
        if state != "COMPLETE" and record.attempts:  # first, for nobody looks again at a trial that was told
            self._discard_checkpoints(key)
        entered: Future[tuple[State, str]]
        if record.kind == "ask":
            entered = self._search.submit_tell(
                int(key), state, record.metrics, epoch=record.epoch, seconds=record.seconds, reason=reason
            )
        else:
            entered = Future()
            entered.set_result(self._tell_control(record))
        self._tells.append((record, entered))

    def _tell_control(self, record: TrialRecord) -> tuple[State, str]:
        lacking = [
            name for name in self.spec.objectives if not math.isfinite(record.metrics.get(name, math.nan))
        ]
        if record.state == "COMPLETE" and lacking:
            record.state, record.reason = "FAIL", f"no finite result: {', '.join(lacking)}"
        fields = {name: getattr(record, name) for name in ("state", "epoch", "seconds", "metrics", "reason")}
        self.ledger.write("tell", trial=record.trial, **fields)
        return record.state, record.reason

    def settle(self, *, wait: bool = False) -> list[TrialRecord]:
        """Trials whose tell is written by now; what went wrong in the search thread is raised here."""
        settled = []
        while self._tells and (wait or self._tells[0][1].done()):
            record, entered = self._tells.pop(0)
            record.state, record.reason = entered.result()
            self._settled.add(self._unsettled.pop(record.trial))
            self._track_end(record)
            settled.append(record)
        return settled

    def close(self) -> None:
        """Wait for the search thread to write what it was given, and take in those last tells."""
        self._search.close()
        self.settle()

    def _track(self, record: TrialRecord) -> None:
        """Begin the trial's run, with the epochs that an earlier driver may have died before delivering."""
        if self._tracker is None or record.trial in self._tracked:
            return
        self._tracked.add(record.trial)
        told.begin(self._tracker, self.spec, self.ledger.opening, self.folder.name, record)

    def _track_end(self, record: TrialRecord) -> None:
        if self._tracker is None:
            return
        self._track(record)
        told.end(self._tracker, self.spec, self.trial_folder(record.trial), record)

    def _discard_checkpoints(self, key: str) -> None:
        from dirsweep import checkpoint  # torch, which a sweep of trials that all finish does without

        checkpoint.discard(self.trial_folder(key))
