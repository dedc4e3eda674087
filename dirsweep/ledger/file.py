"""The file itself: read whole or refused, and then only ever appended to."""

import threading
import time
from typing import Any

from dirsweep.kinds import Kind, first_problem
from dirsweep.storage import Folder, Record, refusal

FILE = "ledger.jsonl"

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
