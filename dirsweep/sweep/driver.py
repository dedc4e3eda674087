"""What a sweep does next: which trial a worker gets, and what follows from what trials say.

Knows nothing of Ray (`tune` calls it from Tune's loop, in one thread). Everything here follows from
the ledger, so a new driver goes on where a dead one stopped. Order of work: the default
configuration's controls, trials that were left open, new trials while the budget lasts, and when all
of them are told, further seeds of the promising ones and then the best trial's controls.
"""

import math
import time
from collections.abc import Mapping
from threading import Event
from typing import Any

from dirsweep import leftover
from dirsweep.ledger import TrialRecord
from dirsweep.storage import refusal
from dirsweep.sweep import stopping
from dirsweep.sweep.book import Book
from dirsweep.sweep.due import Due
from dirsweep.sweep.progress import OnChange, Progress, outcome, progress, titled
from dirsweep.sweep.pruning import Pruning, Rule
from dirsweep.sweep.silence import Silence
from dirsweep.sweep.waiting import Waiting
from dirsweep.trainable import ALIVE, ERROR_FILE, REFUSED, Assignment

ATTEMPTS = 3
"""A trial that fails this often in one driver's life has failed."""
AHEAD = 8
"""For so many workers one trial is asked ahead of time; one in any case."""
SAMPLER_SECONDS = 0.2
"""How long a suggestion may hold up the trials that run; long enough for TPE."""
POLL_SECONDS = 1.0
"""Between two looks for a stop mark, and between two signs of life."""


class Driver:
    """One driver's life on one sweep."""

    def __init__(self, book: Book, rule: Rule | None, workers: int, on_change: OnChange, lost: Event) -> None:
        """Go on from the ledger; `lost` is set once another driver has taken the sweep over."""
        self.failure: Exception | None = None
        """What ends the sweep early; raised once Tune has let go."""
        self.stop = stopping.Stop(book.folder)
        self.workers = workers
        """Trials that run at once."""
        self.processes = book.spec.default_config().processes
        """Of each trial."""
        self._book, self._on_change, self._lost = book, on_change, lost
        self._pruning = Pruning(book.spec, rule, book.config)
        self._begun = self._looked = time.monotonic()
        budget = book.spec.budget
        self._deadline = self._begun + budget.minutes * 60 if budget.minutes else math.inf
        self._handed: dict[str, float] = {}
        """Trials that Tune has, with the share of their epochs that is done."""
        self._silence = Silence(budget.silent_minutes)
        """Of those of them that a worker has."""
        self._failures: dict[str, int] = {}
        self._news = 0
        self._waiting = Waiting(book.config)
        self._due = Due(book, self._waiting)
        self._exhausted = False
        self._heard = self._alive = False
        """Whether any trial reported, and whether any said that it lives."""
        self._resume()

    # ---- what a worker gets

    @property
    def over(self) -> bool:
        """Whether nothing more is handed out: all is done, or the sweep ends early."""
        return self._exhausted or self.stop.begun or self.failure is not None

    def next(self) -> Assignment | None:
        """The next trial for a worker; None if there is none now, or if the sweep is `over`."""
        while not self.over and self._has_room:
            self._settle()
            key = self._waiting.pick({key: self._book.records[key].epoch for key in self._handed})
            if key is not None:
                assignment = self._hand_out(key)
                if assignment:
                    return assignment
            elif len(self._waiting) < self.workers and self._may_ask():
                key = self._book.ask(SAMPLER_SECONDS if self._handed else POLL_SECONDS)
                if key is None:
                    return None
                self._waiting.append(key)
            elif self._handed:
                return None
            else:
                self._settle(wait=True)
                self._due.once_all_is_told()
                self._settle(wait=True)
                self._exhausted = not self._waiting
        return None

    @property
    def _has_room(self) -> bool:
        """Whether one more trial may wait for its worker: one for each that is free, else a few ahead.

        So workers start side by side; and one that becomes free goes on at once with a trial that waits. Of
        two that become free while none waits Tune ends one's process, and starts another.
        """
        running = len(self._silence.running)
        waiting, free = len(self._handed) - running, self.workers - running
        return waiting < max(1, free, self.workers // AHEAD)

    def _may_ask(self) -> bool:
        if self._book.asking:  # it will be in the ledger, so it is to be run
            return True
        if not self._book.may_ask or self._book.overspent or time.monotonic() > self._deadline:
            return False
        relative = any(constraint.of is not None for constraint in self._book.spec.constraints)
        return not (relative and self._book.records["default-plain"].state == "OPEN")

    def _hand_out(self, key: str) -> Assignment | None:
        try:
            assignment = self._book.assignment(key)
        except ValueError as error:  # searched values that do not go together
            self._book.tell(key, "FAIL", str(error))
            return None
        self._handed[key] = 0.0
        if self._silence.alive_every is not None:
            assignment["alive_every"] = self._silence.alive_every
        return assignment

    # ---- what trials say

    def started(self, key: str) -> None:
        """A worker has taken up the trial."""
        self._book.start(key)
        self._silence.began(key)
        record = self._book.records[key]
        self._changed(f"{titled(record)} {'goes on' if record.epoch else 'starts'}")

    def reported(self, key: str, result: Mapping[str, Any]) -> bool:
        """Take in what a trial said; whether it should end now."""
        self._silence.heard(key)
        if result == ALIVE:
            self._alive = True
            return key not in self._handed
        self._heard = True
        if key not in self._handed:
            return True
        for text in result.get("notes", ()):
            self._book.note(key, text)
            self._news += 1
            self._changed(f"{titled(self._book.records[key])}: {text}")
        metrics = result["metrics"]
        if result.get("final"):
            self._finish(key, result["state"], metrics, result["reason"])
            return True
        if not self._book.report(key, result, metrics):
            return False
        self._handed[key] = result["fraction"]
        record = self._book.records[key]
        if self._pruning.stops(record, record.reports[-1]):
            self._prune(record)
            return True
        self._changed("")
        return False

    def ended(self, key: str) -> None:
        """Tune has let go of the trial; without a final report it was stopped, or its worker misbehaved."""
        if key in self._handed:
            self.failed(key, "the trial ended without a result")

    def hangs(self, key: str) -> bool:
        """Whether the trial's worker has been silent for so long that it is to be ended."""
        return self._silence.hangs(key)

    def failed(self, key: str, error: str, *, died: bool = False) -> None:
        """An attempt at the trial failed; it is handed out again unless that was the last one.

        One at which its worker found itself unfit (`leftover`) does not count: the trial had not begun.

        died: its process was lost, and nothing was raised in it. Once it lived that is no sign of workers
        that cannot train at all.
        """
        error = f"{error}\n{self._silence.reason(key)}"
        self._release(key)
        self._look_for_stop(at_once=True)  # a trial may have seen the mark first
        if self.over:
            return
        reason = next(
            (line.strip() for line in reversed(error.splitlines()) if line.strip()), "no reason given"
        )
        if said := leftover.told(reason):
            self._again(key, f"a worker was given up before it began ({said}), another takes the trial")
            return
        self._failures[key] = self._failures.get(key, 0) + 1
        self._book.trial_folder(key).put(ERROR_FILE, error.encode())
        if self._failures[key] >= ATTEMPTS and not (self._heard or (died and self._alive)):
            self.failure = ValueError(
                f"no worker gets as far as a trial's first report: {reason} (all of it is in "
                f"{self._book.trial_folder(key)}/{ERROR_FILE}). Mend the workers' installation, then "
                f"`dirsweep resume {self._book.folder}`: nothing is lost"
            )
        elif self._failures[key] < ATTEMPTS:
            attempt = f"attempt {self._failures[key]} of {ATTEMPTS}"
            self._again(key, f"{attempt} failed ({reason}), trying again")
        else:
            self._book.tell(key, "FAIL", reason)

    def _again(self, key: str, why: str) -> None:
        """Hand the trial out again, before all others."""
        self._waiting.appendleft(key)
        self._news += 1
        self._changed(f"{titled(self._book.records[key])}: {why}")

    def _finish(self, key: str, state: str, metrics: dict[str, float], reason: str) -> None:
        self._release(key)
        if state in ("OPEN", REFUSED):  # the data changed or the disk is full, which is no trial's fault
            error = refusal.Refused if state == REFUSED else ValueError
            self.failure = error(f"{reason}, then `dirsweep resume {self._book.folder}`: nothing is lost")
        elif state == "COMPLETE":
            epoch, seconds = int(metrics["epoch"]), metrics["seconds"]
            self._book.tell(key, "COMPLETE", metrics=metrics, epoch=epoch, seconds=seconds)
        else:
            self._book.tell(key, "FAIL", reason)

    def _prune(self, record: TrialRecord) -> None:
        self._release(record.trial)
        self._book.tell(record.trial, "PRUNED", f"behind at epoch {record.epoch}")

    def _release(self, key: str) -> None:
        self._handed.pop(key, None)
        self._silence.ended(key)

    # ---- the sweep's life

    def step(self) -> None:
        """Once in a while: take in tells, look for another driver and a stop mark, give a sign of life."""
        self._silence.look()
        self._settle()
        if self._lost.is_set() and self.failure is None:
            self.failure = ValueError(
                f"{self._book.folder}: another driver took this sweep over while this one was cut off; this "
                "one ends, and nothing is lost"
            )
        self._look_for_stop()
        if time.monotonic() - self._looked >= POLL_SECONDS:
            self._changed("")

    def _look_for_stop(self, *, at_once: bool = False) -> None:
        if self.stop.look(at_once=at_once):
            self._changed("stopping: running trials save their state")

    @property
    def gives_up(self) -> bool:
        """Whether trials are to be ended as they are."""
        return self.failure is not None or self.stop.overdue

    @property
    def why(self) -> str:
        """Why the sweep ends: stopped, finished, or which budget ended before that of trials."""
        if not self._exhausted:
            return "stopped"
        if not self._book.may_ask:
            return "finished"
        return "trainer-seconds" if self._book.overspent else "time"

    def _settle(self, *, wait: bool = False) -> None:
        for record in self._book.settle(wait=wait):
            self._changed(f"{titled(record)} {outcome(record, self._book.spec.objectives)}")

    def progress(self, message: str = "") -> Progress:
        """Where the sweep is now."""
        return progress(
            self._book.sums,
            self._book.total,
            running={key: self._handed[key] for key in self._silence.running},
            workers=self.workers,
            seconds=time.monotonic() - self._begun,
            news=self._news,
            message=message,
        )

    def _changed(self, message: str) -> None:
        self._looked = time.monotonic()
        self._on_change(self.progress(message))

    def _resume(self) -> None:
        """Rebuild the pruning rule and the queue from the ledger."""
        records = self._book.records
        behind = self._pruning.replay(self._book.ledger.records, records)
        self._due.of_default()
        for record in list(records.values()):
            if record.state == "OPEN" and record.trial not in self._waiting:
                if record.trial in behind:  # the driver died between the decision and the tell
                    self._prune(record)
                elif record.kind == "control" and not record.attempts:  # or it died before it copied a twin's
                    self._due.take_up(record.trial)
                else:
                    self._waiting.append(record.trial)
