"""What the records say of a sweep as a whole."""

import hashlib
import json
from collections.abc import Iterable

from dirsweep.ledger.file import FILE
from dirsweep.storage import Folder, Record


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
