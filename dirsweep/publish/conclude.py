"""The end of a sweep or a verdict, in its tracking store: bounded in time, and never a reason to fail.

What does not get there is told in one line; `dirsweep sync` brings it there later.
"""

import logging
import threading
from collections.abc import Mapping, Sequence

from dirsweep import report as reports
from dirsweep import tracking
from dirsweep.ledger import Ledger
from dirsweep.publish.present import Step, add_pictures, steps
from dirsweep.storage import File, Folder, Place
from dirsweep.sweep.place import own_store, run_ids, sweep_of
from dirsweep.tracking import MODE, Writer

logger = logging.getLogger(__name__)

SECONDS = 60.0
"""How long the end of a sweep may take for this, whatever its store does."""
HURRIED = 3.0
"""The same where the sweep was stopped: who sent the signal may kill it 30 seconds later."""
ALL = "the summary, the pictures and the model"


def conclude(folder: Place, uri: str | None = None, seconds: float = SECONDS) -> str:
    """Give the sweep's store its summary, the pictures and the model of what won; gives a line for people.

    Args:
        uri: the store, with credentials if it needs them; by default the one that the ledger names.
        seconds: what is not there by then is left to `dirsweep sync`.

    Returns:
        "" for an untracked sweep, and where all went well in a file.
    """
    folder = Folder(folder)
    try:
        ledger = Ledger.open(folder)
        uri = uri or own_store(folder, ledger.records)
    except ValueError as error:
        return _lacking(folder, [str(error)])
    if uri is None:
        return ""
    end = _End(folder, ledger, uri)
    try:
        end.thread.join(seconds)
        left = end.left()
    finally:
        end.over.set()
    if end.moved:
        return f"MLflow was left as it is; {end.moved}"
    return _lacking(folder, left) if left else end.page


class _End:
    """The work, in a thread that nobody has to wait for; after `over` it begins no further step."""

    def __init__(self, folder: Folder, ledger: Ledger, uri: str) -> None:
        self.folder, self.ledger, self.uri = folder, ledger, uri
        self.page, self.moved = "", ""
        self.over = threading.Event()
        self._failed: list[str] = []
        self._to_do: list[Step] | None = None  # with the one that is being done; None before they are known
        self.thread = threading.Thread(target=self._work, name="publish", daemon=True)
        self.thread.start()

    def left(self) -> list[str]:
        """What is not there, a sentence each."""
        if not self.thread.is_alive():
            return list(self._failed)
        waiting = ALL if self._to_do is None else ", ".join(step.what for step in self._to_do)
        return [*self._failed, *([f"time was up before {waiting}"] if waiting else [])]

    def _work(self) -> None:
        try:
            self._bring()
        except tracking.Moved as error:
            self.moved = str(error)
        except Exception as error:  # whatever a store, a picture or a model does: the sweep is done
            logger.debug("the end of a sweep, in its store", exc_info=True)
            self._failed.append(str(error) or type(error).__name__)

    def _bring(self) -> None:
        with _writer(self.folder, self.ledger, self.uri) as writer:
            if "" not in writer.ids:
                raise ValueError(f"{tracking.shown(self.uri)} has no run of this sweep yet")
            self._to_do = steps(writer, self.uri, reports.load(self.folder), self.ledger)
            while self._to_do and not self.over.is_set():
                self._failed += self._to_do[0].done()
                self._to_do = self._to_do[1:]
            if tracking.database_path(self.uri) is None:
                run = f"#/experiments/{writer.experiment}/runs/{writer.ids['']}{MODE}"
                self.page = f"in MLflow: {tracking.shown(self.uri).rstrip('/')}/{run}"
        self._failed += writer.lacking


def _writer(folder: Folder, ledger: Ledger, uri: str) -> Writer:
    """The way to a store that is there; only a sweep that runs and `sync` make one."""
    database = tracking.database_path(uri)
    if database is not None and not database.is_file():
        raise ValueError(f"{database}: there is no tracking store")
    return Writer(uri, sweep_of(folder, ledger), run_ids(ledger.records))


def _lacking(folder: Folder, left: Sequence[str]) -> str:
    return f"MLflow lacks something of this sweep ({'; '.join(left)}); `dirsweep sync {folder}` adds it"


def pictures(folder: Place, drawn: Mapping[str, Sequence[File]]) -> str:
    """Put pictures of trials beside their runs in the sweep's own store; gives a line for people.

    Args:
        drawn: the files by the trial's key.

    Returns:
        "" for an untracked sweep.
    """
    folder = Folder(folder)
    ledger = Ledger.open(folder)
    uri = own_store(folder, ledger.records)
    if uri is None:
        return ""
    try:
        with _writer(folder, ledger, uri) as writer:
            for key, files in drawn.items():
                add_pictures(writer, key, files)
            writer.flush()
        lacking = writer.lacking
    except tracking.Moved as error:
        return f"MLflow was left as it is; {error}"
    except ValueError as error:
        lacking = [str(error)]
    if lacking:
        return f"MLflow lacks them ({'; '.join(lacking)}); `dirsweep sync {folder}` adds them"
    return f"also in MLflow, beside the runs: dirsweep ui {folder}"
