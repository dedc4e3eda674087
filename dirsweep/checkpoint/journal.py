"""What one attempt at a trial leaves behind: epoch records first, then checkpoints.

Records are the truth about epochs: of one epoch the higher attempt's counts. A checkpoint only
saves work; it may lag behind the records, and the epochs between are trained again.
"""

import time
from collections.abc import Callable
from typing import Any

from dirsweep.checkpoint.files import Checkpoint, check_current, latest, save
from dirsweep.checkpoint.state import Notes, Tensors
from dirsweep.group import ALONE, Group
from dirsweep.storage import Folder, Needed, Record, misfit

RECORDS = "records.jsonl"
NEEDED: Needed = {"epoch": int, "attempt": int, "seconds": float}
"""What this module and every reader look for in a record of an epoch."""
BETWEEN_EPOCHS = 3.0
"""Seconds that pass between two checkpoints at the end of epochs."""
WITHIN_EPOCH = 300.0
"""Seconds after which a long epoch is saved in its middle."""
BETWEEN_LOOKS = 1.0
"""Seconds between two looks for a stop mark."""


class Stopped(Exception):
    """The trial was asked to stop; it has saved its state and goes on when it is started again."""


class Journal:
    """The records, checkpoints and clock of an attempt that was claimed.

    Of several processes that train the trial the first one writes and hands on; the others keep time alone.
    """

    def __init__(
        self,
        folder: Folder,
        attempt: int,
        emit: Callable[[Record], None],
        emitted: int,
        should_stop: Callable[[], bool],
        group: Group = ALONE,
    ) -> None:
        self.folder = folder
        self.attempt = attempt
        self.checkpoint: Checkpoint | None = latest(folder)
        self._emit = emit
        self._emitted = emitted
        self._should_stop = should_stop
        self._group = group
        records = read_records(folder)
        saved = self.checkpoint.notes.get("seconds", 0.0) if self.checkpoint else 0.0
        self._spent = max([saved, *(record["seconds"] for record in records)])
        self._begun: float | None = None
        self._saved = self._looked = time.monotonic()
        trained = self.checkpoint.epoch if self.checkpoint else 0
        for record in records:
            if record["epoch"] <= trained:
                self._pass_on(record)

    def start_clock(self) -> None:
        """The first training step begins (METHOD section 1, trainer-seconds)."""
        if self._begun is None:
            self._begun = self._saved = time.monotonic()

    @property
    def stage(self) -> str | None:
        """The stage that the checkpoint lies in; None without one."""
        return None if self.checkpoint is None else self.checkpoint.notes["stage"]

    def check_current(self) -> None:
        """Raise Superseded if a later attempt has begun."""
        check_current(self.folder, self.attempt)

    @property
    def seconds(self) -> float:
        """Trainer-seconds of all attempts so far; of a killed one, up to its last record or checkpoint."""
        return self._spent + (0.0 if self._begun is None else time.monotonic() - self._begun)

    def record(self, epoch: int, fields: dict[str, Any]) -> None:
        """Keep the record of one epoch of the trial, then hand it on."""
        if not self._group.leads:
            return
        self.check_current()
        record = {"epoch": epoch, "attempt": self.attempt, "seconds": self.seconds, **fields}
        self.folder.append(RECORDS, record)
        self._pass_on(record)

    def _pass_on(self, record: Record) -> None:
        if self._group.leads and record["epoch"] > self._emitted:
            self._emit(record)

    def keep(self, epoch: int, step: int, state: Callable[[], tuple[Tensors, Notes]]) -> None:
        """Save the state if it is time to, or if the trial shall stop; then raise Stopped."""
        now = time.monotonic()
        leads = self._group.leads
        stop = self._group.agreed(leads and now - self._looked >= BETWEEN_LOOKS and self._look(now))
        due = stop or now - self._saved >= (WITHIN_EPOCH if step else BETWEEN_EPOCHS)
        if leads and due:
            tensors, notes = state()
            save(self.folder, self.attempt, epoch, step, tensors, {**notes, "seconds": self.seconds})
            self._saved = time.monotonic()
        if stop:
            raise Stopped

    def _look(self, now: float) -> bool:
        self._looked = now
        return self._should_stop()


def read_records(folder: Folder) -> list[Record]:
    """One record per epoch, in order; of several the one of the highest attempt.

    Raises:
        ValueError: a whole record is none that a trial writes.
    """
    found: dict[int, Record] = {}
    for number, record in enumerate(folder.records(RECORDS)[0]):
        wrong = misfit(record, NEEDED)
        if wrong:
            raise ValueError(
                f"{folder}/{RECORDS}: record {number} is none that a trial writes: {wrong}. Restore the file "
                "from a copy, or train the trial in another folder"
            )
        known = found.get(record["epoch"])
        if known is None or record["attempt"] >= known["attempt"]:
            found[record["epoch"]] = record
    return [found[epoch] for epoch in sorted(found)]
