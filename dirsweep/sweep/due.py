"""Let controls wait for a worker as they become due: the default's first, the best trial's last."""

from collections.abc import Sequence

from dirsweep.search.best import promising, ranked
from dirsweep.sweep import controls
from dirsweep.sweep.book import Book
from dirsweep.sweep.waiting import Waiting


class Due:
    """The controls of one sweep; those that are due go to the end of the queue."""

    def __init__(self, book: Book, waiting: Waiting) -> None:
        self._book, self._waiting = book, waiting

    def of_default(self) -> None:
        """Queue the default configuration's."""
        self._queue(controls.due(controls.DEFAULT, {}, self._book.records))

    def once_all_is_told(self) -> None:
        """Queue the next that are due when no trial is open: seeds of the promising ones, then the best's."""
        self.of_default()
        spec, records = self._book.spec, self._book.records
        if not self._waiting:
            for trial in promising(spec, records):
                self._queue(controls.repeats(trial, spec.repeats.seeds, records))
        best = ranked(spec, records)
        if best and not self._waiting:
            self._queue(controls.due(best[0].trial, best[0].params, records))

    def take_up(self, key: str) -> None:
        """Queue a control that is in the ledger; one whose very configuration was run takes its numbers."""
        twin = controls.same_config(self._book.spec, self._book.config(key), self._book.records.values())
        if twin is None:
            self._waiting.append(key)
        else:
            reason = f"same configuration as {twin.trial}"
            self._book.tell(key, "COMPLETE", reason, metrics=twin.metrics, epoch=twin.epoch)

    def _queue(self, due: Sequence[controls.Control]) -> None:
        spec, records = self._book.spec, self._book.records
        for control in due:
            config = controls.trial_config(spec, control.of, control.control, control.params)
            open_now = [record.trial for record in records.values() if record.state == "OPEN"]
            if any(self._book.config(key) == config for key in open_now):
                continue  # its numbers are on their way: it comes up again when nothing is open
            self._book.add_control(control)
            self.take_up(control.key)
