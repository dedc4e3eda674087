"""Run a sweep, or go on with one."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import yaml

from dirsweep import METHOD_VERSION, data, ledger, trainable
from dirsweep.ledger import Ledger, TrialRecord
from dirsweep.search.best import ranked
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import FILE, check_data, encoder_files, read_own_spec
from dirsweep.search.warm import Warm, gather
from dirsweep.storage import File, Folder, Place, Record
from dirsweep.sweep import lock, provenance, pruning, session, stopping, store, told
from dirsweep.sweep.progress import OnChange, Progress, Sums, progress
from dirsweep.sweep.session import Resources, ray_session

if TYPE_CHECKING:
    from dirsweep.tracking import Tracker

logger = logging.getLogger(__name__)

SPEC = FILE
BEST = "best.yaml"
TRACKING_SECONDS = 30.0
"""How long the end of a sweep waits for the tracker to deliver what is left."""
HURRIED_SECONDS = 3.0
"""The same where the sweep was stopped: who sent the signal may kill it 30 seconds later."""


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended.

    why: "finished", "stopped" (a signal or `dirsweep stop`; `resume` goes on) "time" (the budget's
        minutes are over; `resume` grants as many again) or "trainer-seconds" (the budget's are spent).
    best: the winner, None if no trial is complete and feasible.
    """

    folder: Folder
    why: str
    progress: Progress
    best: TrialRecord | None
    message: str


def run(
    spec: SweepSpec,
    folder: Place,
    *,
    resources: Resources | None = None,
    tracking_uri: str | None = None,
    tracking: bool = True,
    system_metrics: bool = False,
    on_change: OnChange = lambda progress: None,
    trial: Callable[[Any], None] = trainable.trial,
) -> Outcome:
    """Run a new sweep in `folder`.

    Args:
        resources: what a trial takes and how many run at once.
        tracking_uri: an MLflow store; by default the embedded one beside the folder.
        system_metrics: also record CPU, memory and GPUs of this machine there, on the sweep's parent run.
        on_change: is handed each change, and a sign of life every second.
        trial: what a worker runs; takes an `Assignment`.

    Raises:
        ValueError: the folder is taken or is a whole bucket, the data do not fit the spec, an earlier sweep
            to start warm from does not, there can be no store of stage 1s, RAY_ADDRESS names no Ray that
            serves, another driver took the sweep over.
        OSError: Ray cannot start, a disk takes no write, or an object store stays away.
    """
    folder = Folder(folder)
    storage = folder.parent
    content = yaml.safe_dump(spec.model_dump(mode="json", by_alias=True), sort_keys=False).encode()
    uri = _tracking_uri(folder, tracking_uri) if tracking else None
    resources = resources or Resources()
    # all that can refuse comes before the first file: a folder with a lock in it would take the name
    _check_free(folder, content)
    resources.check(spec.default_config())
    session.check(resources)
    check_data(spec)
    opening = provenance.opening(spec, data.load(spec.default_config().dataset), resources)
    warm = gather(spec, opening["data"])
    store.check_writable(storage)
    with lock.held(folder) as lost:
        _check_free(folder, content)  # of another driver, which was here in the meantime
        folder.put(SPEC, content)
        records = Ledger.create(folder, name=folder.absolute().name, **opening)
        _warm_up(records, warm, spec, on_change)
        return _drive(spec, folder, records, lost, resources, uri, system_metrics, on_change, trial)


def _check_free(folder: Folder, content: bytes) -> None:
    """Refuse a folder that holds more than this sweep's own spec, as a driver leaves it that died at once."""
    there = [name for name in folder.list() if name.split("/")[0] != lock.FILE]
    if there and (there != [SPEC] or folder.read(SPEC) != content):
        raise ValueError(
            f"{folder}: there is something already; `dirsweep resume {folder}` goes on with a sweep, "
            "another --name begins a new one"
        )


def resume(
    folder: Place,
    *,
    extra_trials: int = 0,
    resources: Resources | None = None,
    tracking_uri: str | None = None,
    tracking: bool = True,
    system_metrics: bool = False,
    on_change: OnChange = lambda progress: None,
    trial: Callable[[Any], None] = trainable.trial,
) -> Outcome:
    """Go on with the sweep in `folder`, with `extra_trials` more than it was to have; else as `run`.

    Raises:
        ValueError: there is no sweep, another driver runs it, it was begun with another spec, other data
            or another version of the method; or as `run`.
    """
    folder = Folder(folder)
    if not folder.has_records(ledger.FILE):
        raise ValueError(f"{folder}: holds no sweep (no {ledger.FILE}); `dirsweep list` shows what there is")
    with lock.held(folder) as lost:
        stopping.remove_mark(folder)  # first, so that a `dirsweep stop` from here on is heard
        spec = read_own_spec(folder)
        records = Ledger.open(folder)
        check_data(spec)
        _check_same(folder, spec, records.opening)
        store.check_writable(folder.parent)
        uri = _tracking_uri(folder, tracking_uri, records.records) if tracking else None
        if spec.warm_start and not any(record["kind"] == "warm" for record in records.records):
            if any(record["kind"] == "ask" for record in records.records):
                raise ValueError(
                    f"{folder}/{SPEC}: warm_start was added after the sweep began; take it out again, or "
                    "begin a new sweep"
                )
            # its first driver died before it wrote what it took
            _warm_up(records, gather(spec, records.opening["data"]), spec, on_change)
        resources = resources or Resources()
        resources.check(spec.default_config())
        session.check(resources)
        if extra_trials:
            records.write("budget", trials=extra_trials)
        return _drive(spec, folder, records, lost, resources, uri, system_metrics, on_change, trial)


def _warm_up(records: Ledger, warm: Warm, spec: SweepSpec, on_change: OnChange) -> None:
    """Enter what was taken from earlier sweeps, if anything, and say so."""
    if warm.trials:
        records.write("warm", trials=warm.trials, notes=warm.notes)
    for note in warm.notes:
        on_change(progress(Sums(), spec.budget.trials, message=note))


def _check_same(folder: Folder, spec: SweepSpec, opening: Mapping[str, Any]) -> None:
    """Refuse to go on under other conditions: the numbers would not be comparable."""
    here = {
        "spec": (spec.hash, f"{folder}/{SPEC} was changed, or dirsweep was; put it back"),
        "data": (data.load(spec.default_config().dataset).hash, "the data were changed; put them back"),
        "encoder": (encoder_files(spec), "files that encoders read were changed; put them back"),
        "method_version": (METHOD_VERSION, "dirsweep was changed; install the version that began it"),
    }
    for name, (found, remedy) in here.items():
        if opening.get(name, "") != found:
            raise ValueError(
                f"{folder}/{ledger.FILE}: the sweep was begun with {name} {opening.get(name, '')}, but here "
                f"it is {found}: {remedy}, or begin a new sweep"
            )


def _drive(
    spec: SweepSpec,
    folder: Folder,
    records: Ledger,
    lost: Event,
    resources: Resources,
    uri: str | None,
    system_metrics: bool,
    on_change: OnChange,
    trial: Callable[[Any], None],
) -> Outcome:
    """One driver's life, from Ray's start to its end."""
    from dirsweep.sweep.book import Book  # these bring Optuna, which `status` and `stop` do without
    from dirsweep.sweep.driver import Driver

    tracker = _tracker(uri, spec, folder, records) if uri else None
    patience = HURRIED_SECONDS
    try:
        book = Book(spec, folder, records, tracker, told.kept(spec))
        on_change(progress(book.sums, book.total, message="Ray and its workers start"))
        with _watched(tracker, records, system_metrics), ray_session(resources) as workers:
            from dirsweep.sweep.tune import drive  # Ray, which reads its settings when it is imported

            driver = Driver(book, pruning.rule(spec), workers, on_change, lost)
            try:
                with driver.stop.on_signals():
                    drive(driver, trial, resources)
            finally:
                book.close()
        best = _winner(spec, book.records)
        if best is not None:
            config = spec.config(best.params).model_dump(mode="json")
            folder.put(BEST, yaml.safe_dump(config, sort_keys=False).encode())
        records.write("end", why=driver.why)
        records.pack()
        if tracker:
            files = [File(folder, name) for name in (SPEC, BEST) if folder.exists(name)]
            state = "COMPLETE" if driver.why == "finished" else "OPEN"
            tracker.end_sweep(state, told.summary(spec, best), files)
        if driver.why != "stopped":
            patience = TRACKING_SECONDS
    except BaseException:  # a failure, or a second Ctrl-C
        if tracker:
            tracker.end_sweep("OPEN", {}, [])
        raise
    finally:
        if tracker:
            tracker.close(patience)
    return Outcome(folder, driver.why, driver.progress(), best, _parting(folder, driver.why))


def _tracking_uri(folder: Folder, given: str | None, records: Sequence[Record] = ()) -> str:
    """The store to track in. One that does not answer now may later: no work waits for it."""
    from dirsweep import tracking
    from dirsweep.sweep import place

    uri = given or tracking.default_uri(folder.parent)
    if uri is None:
        raise ValueError(
            f"{folder.parent}: an object store holds no MLflow file; name a server with --tracking-uri, or "
            "record nothing with --no-tracking"
        )
    try:
        tracking.check(uri)
    except tracking.Unreachable as error:
        if not place.names(records, place.entry(folder, uri)):  # of one that did the tracker says enough
            logger.warning(
                "%s. The sweep goes on: what the server is to be told is kept, and `dirsweep sync %s` brings "
                "it what it missed",
                error,
                folder,
            )
    return uri


def _tracker(uri: str, spec: SweepSpec, folder: Folder, records: Ledger) -> "Tracker":
    from dirsweep.sweep import place
    from dirsweep.tracking import Tracker

    own = place.entry(folder, uri)
    if not place.names(records.records, own):  # now, for the store may never answer
        records.write("run", trial="", id="", **own)

    def on_run(key: str, run: str) -> None:
        if key:
            records.write("run", trial=key, id=run)
        elif not place.names(records.records, {"id": run, **own}):
            records.write("run", trial="", id=run, **own)

    sweep = place.sweep_of(folder, records)
    tracker = Tracker(uri, sweep, place.run_ids(records.records), on_run)
    tracker.start_sweep(provenance.tags(spec, records.opening, sweep.name), records.opening["time"])
    return tracker


def _watched(tracker: "Tracker | None", records: Ledger, wanted: bool) -> AbstractContextManager[None]:
    """Record this machine's load inside the block, if that is wanted."""
    if tracker is None or not wanted:
        return nullcontext()
    from dirsweep.tracking import watched

    return watched(tracker, records.opening["time"])


def _winner(spec: SweepSpec, records: Mapping[str, TrialRecord]) -> TrialRecord | None:
    try:
        return next(iter(ranked(spec, records)), None)
    except ValueError:  # stopped before the control that a constraint is relative to was complete
        return None


def _parting(folder: Folder, why: str) -> str:
    match why:
        case "stopped":
            return f"stopped; `dirsweep resume {folder}` goes on where it was"
        case "trainer-seconds":
            return (
                f"the budget's trainer-seconds are spent; raise trainer_seconds in {folder}/{SPEC}, then "
                f"`dirsweep resume {folder}` goes on"
            )
        case "time":
            return f"the budget's minutes are over; `dirsweep resume {folder}` grants as many again"
        case _:
            return f"finished; `dirsweep resume {folder} --trials +N` adds trials"
