"""The append-only record of a sweep, and its replay.

Everything that decides what a sweep does next (asks, reports, tells, budgets), and every opening of
test, is one numbered, checksummed record in `ledger.jsonl`; nothing else is a source of truth, so a sweep
that died anywhere goes on from this file. A record that was being written when the driver died is cut short
and passed over: what it said is asked or reported again. A record that is missing in the middle is
damage, and refused.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from dirsweep.kinds import Kind, State, first_problem
from dirsweep.storage import Folder, Record, refusal

FILE = "ledger.jsonl"

SEED = "seed"
"""How the control of a repeat begins; then comes the number of the seed, from 2 on."""

PACK = 200
"""Records that an object store hands out in one piece; fewer in the last."""
DURABLE = frozenset({"open", "warm", "ask", "control", "tell", "budget", "opening"})
"""Kinds that wait for the disk. A lost report is made again from the trial's own records; a lost tell
would let later asks rest on a result that is gone."""


class Ledger:
    """The ledger of one sweep, open for reading and writing.

    `write` may be called from several threads. One process at a time may write (the driver's lock
    sees to that); any number may read.
    """

    def __init__(self, folder: Folder, records: list[Record], dropped: int = 0) -> None:
        self._folder = folder
        self._records = records
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        last = records[-1].get("time", 0.0) if records else 0.0
        self._began = max(time.time(), last) - time.clock_gettime(time.CLOCK_BOOTTIME)
        self.dropped = dropped
        """Records that were cut short while being written and are passed over."""

    @classmethod
    def create(cls, folder: Folder, **fields: Any) -> "Ledger":
        """Begin the ledger of a new sweep with its `open` record.

        Args:
            folder: the sweep's folder.
            fields: spec, method_version, data, encoder, constraints, git (hashes), versions, trials (the
                budget), resources.

        Raises:
            ValueError: there is a ledger already.
        """
        if folder.has_records(FILE):
            raise ValueError(f"{folder}/{FILE}: there is a sweep already; resume it or choose another name")
        ledger = cls(folder, [])
        ledger.write("open", **fields)
        return ledger

    @classmethod
    def open(cls, folder: Folder) -> "Ledger":
        """Read the ledger of a sweep that was begun before.

        Raises:
            ValueError: there is none, it does not begin with `open`, or a record is missing or none of ours.
        """
        path = f"{folder}/{FILE}"
        if not folder.has_records(FILE):
            raise ValueError(f"{path}: no such file; {folder} holds no sweep (`dirsweep list` shows them)")
        records, dropped = folder.records(FILE)
        for expected, record in enumerate(records):
            if record.get("n") != expected:
                raise ValueError(_gap(folder, expected, record.get("n")))
        if not records or records[0].get("kind") != "open":
            found = f"begins with {records[0].get('kind')!r}" if records else "holds no whole record"
            raise ValueError(
                f"{path}: {found}, but record 0 must be 'open'; the sweep never began, so delete its folder "
                "and run it anew"
            )
        wrong = first_problem(records)
        if wrong:
            raise ValueError(f"{path}: {wrong}; restore the file from a copy")
        return cls(folder, records, dropped)

    @property
    def records(self) -> list[Record]:
        """All records so far, oldest first (a copy of the list)."""
        with self._lock:
            return list(self._records)

    def since(self, number: int) -> list[Record]:
        """The records from that number on, oldest first."""
        with self._lock:
            return self._records[number:]

    @property
    def opening(self) -> Record:
        """The first record: what the sweep was begun with."""
        return self._records[0]

    def write(self, kind: Kind, **fields: Any) -> Record:
        """Append one record and return it.

        Raises:
            ValueError: another driver took the sweep over.
            OSError: the disk is full, or an object store stayed away. Every later write is refused as the one
                that failed, since what that left behind is known only after the ledger has been read again.
        """
        with self._lock:
            if self._failure:
                raise self._failure
            record = {"n": len(self._records), "time": self._now(), "kind": kind, **fields}
            try:
                if record["n"] % PACK == 0:
                    self._pack()  # before the next is written, so that a driver that dies owes no pack
                self._folder.append(FILE, record, number=record["n"], durable=kind in DURABLE)
            except FileExistsError as error:
                self._failure = ValueError(
                    f"{self._folder}/{FILE}: record {record['n']} is there already: another driver took this "
                    "sweep over while this one was cut off; this one ends, and nothing is lost"
                )
                raise self._failure from error
            except OSError as error:
                self._failure = self._refused(record["n"], error)
                raise self._failure from error
            self._records.append(record)
            return record

    def _now(self) -> float:
        """Unix seconds: by the machine's clock as the ledger was opened, and no less than its last record's.

        From then on by a clock that nobody sets. However the machine's is set, while a driver lives or
        between two, no record is earlier than the one before it, and one driver's are as far apart as they
        say.
        """
        return round(self._began + time.clock_gettime(time.CLOCK_BOOTTIME), 3)

    def _refused(self, number: int, error: OSError) -> OSError:
        said = f"{self._folder}/{FILE}: record {number} could not be written: {error.strerror or error}"
        if self._folder.path is None:  # an outage: the same again, later, may do
            return OSError(f"{said}; nothing before it is lost")
        remedy = refusal.remedy(error) or "see to the disk"
        return refusal.Refused(
            f"{said}; {remedy}, then `dirsweep resume {self._folder}`: nothing before this record is lost"
        )

    def pack(self) -> None:
        """Let an object store hand out the last records in one piece too, at the end of a driver's life."""
        with self._lock:
            self._pack()

    def _pack(self) -> None:
        first = max(0, len(self._records) - 1) // PACK * PACK
        if self._records:
            self._folder.pack(FILE, first, self._records[first:])


def _gap(folder: Folder, expected: int, found: Any) -> str:
    path = f"{folder}/{FILE}"
    if folder.path is None:
        return (
            f"{path}: record {expected} is damaged or missing (then comes {found!r}). If a pack in "
            f"{path}/packs/ holds it, delete that pack: its records are there one by one too. Else restore "
            f"{expected:08d} from a copy; or keep a copy, delete it, all objects after it and the packs that "
            "hold them, then resume"
        )
    if isinstance(found, int) and found < expected:
        return (
            f"{path}: record {found} is there twice, the second time after record {expected - 1}; two "
            f"drivers wrote at once. Keep a copy, delete all lines from the second record {found} on, resume"
        )
    return (
        f"{path}: record {expected} is damaged or missing (then comes {found!r}). Restore the file "
        f"from a copy; or keep a copy, delete all lines after record {expected - 1}, then resume from there"
    )


@dataclass
class TrialRecord:
    """What the ledger knows of one trial or control."""

    trial: str
    """Its number as text, or a control's name; also the name of its folder below `trials/`."""
    kind: Literal["ask", "control"]
    params: dict[str, Any]
    """Searched values by dotted name."""
    of: str = ""
    """For a control: the trial it belongs to, or "default"."""
    control: str = ""
    """For a control: which one, "plain" or "mu0"; "seed2", "seed3" ... for a repeat of the trial `of`."""
    attrs: dict[str, Any] = field(default_factory=dict)
    """What the sampler wants back at replay."""
    attempts: int = 0
    """How often it was handed out."""
    epoch: int = 0
    """The last epoch that was reported or told; 0 before the first."""
    reports: list[Record] = field(default_factory=list)
    """One record for each reported epoch, in order."""
    state: State = "OPEN"
    metrics: dict[str, float] = field(default_factory=dict)
    """The final metrics once told, before that those of the last report."""
    seconds: float = 0.0
    """Trainer-seconds."""
    reason: str = ""
    """Why it failed or was pruned."""
    notes: list[str] = field(default_factory=list)
    """What its attempts warned of, as a damaged checkpoint that was passed over."""
    run_id: str = ""
    """Its id at the tracking server."""
    begun: float = 0.0
    """Unix seconds at which a worker first took it up; 0 before that."""
    ended: float = 0.0
    """Unix seconds at which it was told; 0 before that."""
    forked_from: str = ""
    """The trial whose stored stage 1 it went on from, as "all-1/3", by what its sweep was called then."""
    forked_at: float = 0.0
    """Unix seconds at which that stage 1 was stored; 0 where earlier versions did not say."""

    @property
    def is_repeat(self) -> bool:
        """Whether it is a trial's configuration with another seed."""
        return self.control.startswith(SEED)


def trials(records: Iterable[Record]) -> dict[str, TrialRecord]:
    """Fold records into one `TrialRecord` per trial and control, in the order they were asked.

    The first word counts: a report of an epoch that was reported already, a report after the tell
    and a second tell are ignored. (A worker may outlive its driver by seconds, so they can come.)
    `Ledger.open` has seen to it that every trial was asked.
    """
    found: dict[str, TrialRecord] = {}
    fold(found, records)
    return found


def fold(found: dict[str, TrialRecord], records: Iterable[Record]) -> None:
    """Let records that follow change what `trials` found in those before them."""
    for record in records:
        _fold(found, record)


def _fold(found: dict[str, TrialRecord], record: Record) -> None:
    kind, name = record["kind"], record.get("trial", "")
    if kind in ("open", "warm", "budget", "end", "opening") or (kind == "run" and not name):
        return
    if kind in ("ask", "control"):
        fresh = TrialRecord(
            name,
            kind,
            record["params"],
            record.get("of", ""),
            record.get("control", ""),
            record.get("attrs", {}),
        )
        found.setdefault(name, fresh)
        return
    trial = found[name]
    if kind == "start":
        trial.attempts = max(trial.attempts, record["attempt"])
        trial.begun = trial.begun or record["time"]
    elif kind == "note":
        trial.notes.append(record["text"])
    elif kind == "run":
        trial.run_id = trial.run_id or record["id"]
    elif kind == "report" and trial.state == "OPEN" and record["epoch"] > trial.epoch:
        trial.reports.append(record)
        trial.epoch, trial.seconds, trial.metrics = record["epoch"], record["seconds"], record["metrics"]
        if not trial.forked_from:
            trial.forked_from, trial.forked_at = record.get("forked_from", ""), record.get("forked_at", 0.0)
    elif kind == "tell" and trial.state == "OPEN":
        trial.state, trial.metrics = record["state"], record["metrics"]
        trial.epoch, trial.seconds, trial.reason = record["epoch"], record["seconds"], record["reason"]
        trial.ended = record["time"]


def sweeps(storage: Folder) -> list[Folder]:
    """The sweeps of a storage folder, by name."""
    folders = (storage / name for name in storage.folders())
    return [folder for folder in folders if folder.has_records(FILE)]


def budget(records: Iterable[Record]) -> int:
    """How many trials may be asked in all: the opening budget and what was added later."""
    return sum(record["trials"] for record in records if record["kind"] in ("open", "budget"))


def of_drivers(records: Iterable[Record]) -> list[Record]:
    """The records that a sweep's drivers wrote while they ran.

    After the end, the tracker may learn the id of a run, and `finalize` may open test.
    """
    return [record for record in records if record["kind"] not in ("run", "opening")]


def sweep_run(records: Iterable[Record]) -> Record | None:
    """The last record that names the sweep's store and its parent run there; None for an untracked sweep.

    The run's id is "" until the store has answered.
    """
    named = [record for record in records if record["kind"] == "run" and not record["trial"]]
    return named[-1] if named else None


def identity(opening: Record) -> str:
    """What tells a sweep from all others, whatever its folder is called: a hash of its first record."""
    return hashlib.sha256(json.dumps(opening, sort_keys=True).encode()).hexdigest()[:32]
