"""The end of a sweep or a verdict, in its tracking store: bounded in time, and never a reason to fail.

What does not get there is told in one line; `dirsweep sync` brings it there later.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dirsweep import report as reports
from dirsweep import tracking
from dirsweep.ledger import Ledger
from dirsweep.publish.present import add_pictures, present
from dirsweep.storage import Folder
from dirsweep.sweep.place import own_store, run_ids, sweep_of
from dirsweep.tracking import MODE, Writer

SECONDS = 60.0
"""How long an end may take for this, and one step more; a request takes `store.TIMEOUT` at most."""


def conclude(folder: Path, uri: str | None = None, seconds: float = SECONDS) -> str:
    """Give the sweep's store its summary, the pictures and the model of what won; gives a line for people.

    Args:
        uri: the store, with credentials if it needs them; by default the one that the ledger names.
        seconds: what has not begun by then is left to `dirsweep sync`.

    Returns:
        "" for an untracked sweep, and where all went well in a file.
    """
    deadline = time.monotonic() + seconds
    try:
        ledger = Ledger.open(Folder(folder))
        uri = uri or own_store(folder, ledger.records)
        if uri is None:
            return ""
        left, page = _presented(folder, ledger, uri, deadline)
    except tracking.Moved as error:
        return f"MLflow was left as it is; {error}"
    except Exception as error:  # whatever a store, a picture or a model does: the sweep is done
        left, page = [str(error) or type(error).__name__], ""
    if left:
        return f"MLflow lacks something of this sweep ({'; '.join(left)}); `dirsweep sync {folder}` adds it"
    return page


def _presented(folder: Path, ledger: Ledger, uri: str, deadline: float) -> tuple[list[str], str]:
    """What could not be brought to the store, and where a server shows the rest; "" for a file's."""
    with Writer(uri, sweep_of(folder, ledger), run_ids(ledger.records)) as writer:
        if "" not in writer.ids:
            raise ValueError(f"{tracking.shown(uri)} has no run of this sweep yet")
        left = present(writer, uri, reports.load(folder), ledger, deadline)
        page = (
            f"{tracking.shown(uri).rstrip('/')}/#/experiments/{writer.experiment}/runs/{writer.ids['']}{MODE}"
        )
    return left, f"in MLflow: {page}" if tracking.database_path(uri) is None else ""


def pictures(folder: Path, drawn: Mapping[str, Sequence[Path]]) -> str:
    """Put pictures of trials beside their runs in the sweep's own store; gives a line for people.

    Args:
        drawn: the files by the trial's key.

    Returns:
        "" for an untracked sweep.
    """
    ledger = Ledger.open(Folder(folder))
    uri = own_store(folder, ledger.records)
    if uri is None:
        return ""
    try:
        with Writer(uri, sweep_of(folder, ledger), run_ids(ledger.records)) as writer:
            for key, files in drawn.items():
                add_pictures(writer, key, files)
    except tracking.Moved as error:
        return f"MLflow was left as it is; {error}"
    except ValueError as error:
        return f"MLflow lacks them ({error}); `dirsweep sync {folder}` adds them"
    return f"also in MLflow, beside the runs: dirsweep ui {folder}"
