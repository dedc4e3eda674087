"""What becomes of a sweep, seen from another terminal: its status, a stop mark, the list of sweeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from dirsweep import ledger
from dirsweep.flock import Holder
from dirsweep.ledger import Ledger, budget, of_drivers, trials
from dirsweep.search.spec import read_spec
from dirsweep.storage import Folder, Record
from dirsweep.sweep import lock, stopping
from dirsweep.sweep.progress import Progress, progress


@dataclass(frozen=True)
class Status:
    """A sweep as its ledger and lock show it.

    state: "running", "stopping", or, without a driver, "finished", "stopped", "time", "trainer-seconds" or
        "interrupted" (the driver died); in a list also "damaged", with the reason in `progress.message`.
    driver: who runs it now.
    """

    folder: Path
    state: str
    driver: Holder | None
    progress: Progress


def status(folder: Path) -> Status:
    """The status of the sweep in `folder`. ValueError if there is none."""
    book = Ledger.open(Folder(folder))
    records, driver = of_drivers(book.records), lock.holder(folder)
    known = trials(records)
    running = {
        record.trial: 0.0
        for record in known.values()
        if driver is not None and record.state == "OPEN" and record.attempts
    }
    shown = progress(
        known.values(),
        budget(records),
        metrics=read_spec(folder / "spec.yaml").metrics,
        running=running,
        workers=max(1, len(running)),
        seconds=_elapsed(records),
    )
    if driver is not None:
        state = "stopping" if (folder / stopping.FILE).exists() else "running"
    else:
        state = records[-1]["why"] if records[-1]["kind"] == "end" else "interrupted"
    return Status(folder, state, driver, shown)


def _elapsed(records: Sequence[Record]) -> float:
    """Wall seconds from a sweep's first record to its last, without the pauses from an end to a resume."""
    return sum(after["time"] - one["time"] for one, after in pairwise(records) if one["kind"] != "end")


def stop(folder: Path) -> str:
    """Ask the driver of the sweep in `folder` to stop; says what will happen. ValueError if none runs it."""
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


def list_sweeps(storage: Path) -> list[Status]:
    """The sweeps in the folder `storage`, by name; one whose ledger cannot be read is "damaged"."""
    return [_status_of_any(file.parent) for file in sorted(storage.glob(f"*/{ledger.FILE}"))]


def _status_of_any(folder: Path) -> Status:
    try:
        return status(folder)
    except ValueError as error:
        return Status(folder, "damaged", lock.holder(folder), Progress(0, message=str(error)))
