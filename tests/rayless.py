"""A sweep without Ray in a process of its own, to be killed: one worker, which runs its trials itself.

The loop stands where Tune does: a trial is asked ahead while another runs, each report goes to the driver,
and a trial that it ends is let go of in the middle.
"""

import multiprocessing
import os
import resource
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from dirsweep import data, pipeline, sweep
from dirsweep.checkpoint import Store, journal
from dirsweep.config import TrialConfig
from dirsweep.ledger import Ledger
from dirsweep.search.spec import read_own_spec
from dirsweep.storage import Folder, Record
from dirsweep.sweep import lock, pruning, told
from dirsweep.sweep.book import Book
from dirsweep.sweep.driver import Driver
from dirsweep.trainable import Assignment, listening

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["dirsweep.pipeline", "dirsweep.sweep.book"])  # torch and Optuna take seconds


@dataclass(frozen=True)
class Death:
    """When a driver dies by its own hand.

    place, count: as it comes to a place of its loop for the count-th time: "begun", "asked", "started",
        "reported", "ended" or "over".
    size: in the middle of the first write that makes a file longer than so many bytes: the kernel takes what
        still fits, and ends the process.
    """

    place: str = ""
    count: int = 1
    size: int | None = None


class Pruned(Exception):
    """The driver ends the trial early."""


def run(folder: Path, death: Death) -> None:
    """Begin the sweep in `folder`, or go on with it, to its end or to the driver's death."""
    journal.BETWEEN_EPOCHS = 0.0  # a checkpoint after each epoch
    if death.size is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (death.size, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    seen: Counter[str] = Counter()

    def at(place: str) -> None:
        seen[place] += 1
        if (place, seen[place]) == (death.place, death.count):
            os.kill(os.getpid(), signal.SIGKILL)

    with lock.held(folder) as lost:
        at("begun")
        _drive(Folder(folder), lost, at)


def _drive(folder: Folder, lost: Event, at: Callable[[str], None]) -> None:
    spec = read_own_spec(folder)
    if sweep.is_there(folder):
        ledger = Ledger.open(folder)
    else:
        dataset = data.load(spec.default_config().dataset)
        ledger = Ledger.create(folder, spec=spec.hash, data=dataset.hash, trials=spec.budget.trials)
    book = Book(spec, folder, ledger, None, told.kept(spec))
    driver = Driver(book, pruning.rule(spec), 1, lambda progress: None, lost)
    ahead: Assignment | None = None
    while not driver.over:
        assignment, ahead = ahead or driver.next(), None
        if assignment is None:
            continue
        at("asked")
        driver.started(assignment["key"])
        at("started")
        ahead = driver.next()
        _train(driver, assignment, at)
    at("over")
    book.close()
    ledger.write("end", why=driver.why)


def _train(driver: Driver, assignment: Assignment, at: Callable[[str], None]) -> None:
    """Run a trial and hand on what it says, as `trainable.trial` does."""
    with listening() as notes:

        def emit(record: Record) -> None:
            said = {**record, "fraction": record["epoch"] / record["of"], "notes": notes.take()}
            ends = driver.reported(assignment["key"], said)
            at("reported")
            if ends:
                raise Pruned

        try:
            metrics = pipeline.run_trial(
                TrialConfig.model_validate_json(assignment["config"]),
                Folder(assignment["folder"]),
                emit,
                emitted=assignment["emitted"],
                store=Store(Folder(assignment["store"])),
            )
        except Pruned:
            return
        at("ended")
        final = {"final": True, "state": "COMPLETE", "reason": "", "metrics": metrics, "notes": notes.take()}
        driver.reported(assignment["key"], final)


def start(folder: Path, death: Death | None = None) -> "multiprocessing.process.BaseProcess":
    """The driver in a process of its own, which has begun."""
    process = CONTEXT.Process(target=run, args=(folder, death or Death()), daemon=True)
    process.start()
    return process


def die(folder: Path, death: Death) -> None:
    """A driver's life that ends as planned; AssertionError if it ends otherwise."""
    process = start(folder, death)
    process.join(60)
    wanted = signal.SIGKILL if death.size is None else signal.SIGXFSZ
    assert process.exitcode == -wanted, f"{death}: ended with {process.exitcode}"


def finish(folder: Path) -> None:
    """A driver's life to the end of the sweep."""
    process = start(folder)
    process.join(60)
    assert process.exitcode == 0, f"ended with {process.exitcode}"
