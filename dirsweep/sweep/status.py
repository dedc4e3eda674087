"""What becomes of a sweep, seen from another terminal: its status, a stop mark, the list of sweeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dirsweep import ledger
from dirsweep.ledger import Ledger, budget, of_drivers, trials
from dirsweep.search.spec import read_own_spec
from dirsweep.storage import Folder, Holder, Place, Record
from dirsweep.sweep import lock, stopping
from dirsweep.sweep.progress import Progress, Sums, progress


@dataclass(frozen=True)
class Status:
    """A sweep as its ledger and lock show it.

    state: "running", "stopping", or, without a driver, "finished", "stopped", "time", "trainer-seconds" or
        "interrupted" (the driver died); in a list also "damaged", with the reason in `progress.message`.
    driver: who runs it now.
    """

    folder: Folder
    state: str
    driver: Holder | None
    progress: Progress


def status(folder: Place) -> Status:
    """The status of the sweep in `folder`. ValueError if there is none."""
    folder = Folder(folder)
    book = Ledger.open(folder)
    records, driver = of_drivers(book.records), lock.holder(folder)
    known = trials(records)
    running = {
        record.trial: 0.0
        for record in known.values()
        if driver is not None and record.state == "OPEN" and record.attempts
    }
    shown = progress(
        Sums(read_own_spec(folder).metrics).plus(known.values()),
        budget(records),
        running=running,
        workers=max(1, len(running)),
        seconds=_elapsed(records),
    )
    if driver is not None:
        state = "stopping" if folder.exists(stopping.FILE) else "running"
    else:
        state = records[-1]["why"] if records[-1]["kind"] == "end" else "interrupted"
    return Status(folder, state, driver, shown)


def _elapsed(records: Sequence[Record]) -> float:
    """Wall seconds from a sweep's first record to its last, without the pauses from an end to a resume."""
    return sum(after["time"] - one["time"] for one, after in pairwise(records) if one["kind"] != "end")


def stop(folder: Place) -> str:
    """Ask the driver of the sweep in `folder` to stop; says what will happen. ValueError if none runs it."""
    folder = Folder(folder)
    found = status(folder)
    if found.driver is None:
        raise ValueError(
            f"{folder}: no driver runs this sweep (it is {found.state}); there is nothing to stop"
        )
    stopping.leave_mark(folder)
    return (
        f"{folder}: running trials save their state and end within {stopping.GRACE_SECONDS:.0f} seconds; "
        f"`dirsweep resume {folder}` goes on"
    )


def list_sweeps(storage: Place) -> list[Status]:
    """The sweeps in the folder `storage`, by name; one whose ledger cannot be read is "damaged"."""
    storage = Folder(storage)
    return [_status_of_any(folder) for folder in ledger.sweeps(storage)]


def _status_of_any(folder: Folder) -> Status:
    try:
        return status(folder)
    except ValueError as error:
        return Status(folder, "damaged", lock.holder(folder), Progress(0, message=str(error)))
