"""Rebuild a sweep in any tracking store from its ledger and its trials' folders, without duplicates.

Run twice it leaves what it left once: runs are found again by the sweep's identity and their tag `trial`,
points carry the ledger's times, an epoch that a run has is passed over, and files replace themselves.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from dirsweep import report as reports
from dirsweep import tracking
from dirsweep.ledger import Ledger
from dirsweep.publish.place import same_store
from dirsweep.publish.present import present
from dirsweep.publish.summary import ended
from dirsweep.report import SweepReport
from dirsweep.storage import TRIALS, Folder, Holder, Place
from dirsweep.sweep import lock, provenance, told
from dirsweep.sweep.place import beside, own_store, run_ids, sweep_of
from dirsweep.tracking import MODE, Writer

LOCK = "sync.lock"


@dataclass(frozen=True)
class Synced:
    """What a store has of a sweep now.

    uri: the store, without credentials.
    trials: runs below the parent run, `open_trials` of them of trials that have not ended.
    running: whether a driver runs the sweep, so that there will be more.
    address: of the parent run in the UI, after the server's own address.
    left: what could not be brought there, a sentence each.
    """

    uri: str
    trials: int
    open_trials: int
    running: bool
    address: str
    left: list[str]


def sync(folder: Place, to: str | None, told_of: Callable[[str], None] = lambda line: None) -> Synced:
    """Bring the sweep in `folder` into the store `to`; by default its own, else the embedded one beside it.

    Args:
        told_of: is handed a line now and then on how far it is.

    Raises:
        ValueError: there is no sweep, its ledger is damaged, the store cannot be reached or refuses, or a
            driver runs the sweep and writes to that very store, or another sync of it is under way.
    """
    folder = Folder(folder)
    ledger = Ledger.open(folder)
    report = reports.load(folder)
    own = own_store(folder, ledger.records)
    driver = lock.holder(folder)
    uri = to or own or beside(folder)
    if uri is None:
        raise ValueError(f"{folder}: an object store holds no MLflow file; name a server with --to")
    tracking.check(uri, "--to")
    if driver is not None and same_store(uri, own):
        raise ValueError(
            f"{folder}: its driver runs ({driver}) and writes to {tracking.shown(uri)} by itself; wait until "
            "it ends, or name another store with --to"
        )
    known = run_ids(ledger.records) if same_store(uri, own) else {}
    with (
        _alone(folder, with_driver=not same_store(uri, own)),
        Writer(uri, sweep_of(folder, ledger), known) as writer,
    ):
        count, still_open = _tell_all(writer, report, ledger, told_of)
        left = present(writer, uri, report, ledger)
        state, at = ended(ledger)
        writer.end_sweep(state, told.summary(report.spec, report.best), [], at)
    address = f"#/experiments/{writer.experiment}/runs/{writer.ids['']}{MODE}"
    left += writer.lacking
    return Synced(tracking.shown(uri), count, still_open, driver is not None, address, left)


@contextmanager
def _alone(folder: Folder, with_driver: bool) -> Iterator[None]:
    """Keep other syncs of the sweep away, which would make each run once more; and its driver, if need be."""

    def refusal(other: Holder) -> str:
        return f"{folder}: is being synced already ({other}); wait until that ends"

    with folder.lock(LOCK, refusal), nullcontext() if with_driver else lock.held(folder):
        yield


def _tell_all(
    writer: Writer, report: SweepReport, ledger: Ledger, told_of: Callable[[str], None]
) -> tuple[int, int]:
    """Tell of the sweep and of every trial that was taken up; gives how many, and how many are open."""
    name, opening = report.folder.absolute().name, ledger.opening
    writer.start_sweep(provenance.tags(report.spec, opening, name), opening["time"])
    begun = [trial for trial in report.trials.values() if trial.attempts or trial.state != "OPEN"]
    for number, trial in enumerate(begun, 1):
        told.begin(writer, report.spec, opening, name, trial)
        told.end(writer, report.spec, report.folder / TRIALS / trial.trial, trial)
        if number % 50 == 0:
            told_of(f"{number} of {len(begun)} trials")
    return len(begun), sum(trial.state == "OPEN" for trial in begun)
