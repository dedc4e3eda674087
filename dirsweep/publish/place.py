"""Where the UI shows a sweep, and which sweep it opens at."""

from contextlib import suppress
from pathlib import Path

from dirsweep import tracking
from dirsweep.ledger import FILE, Ledger
from dirsweep.storage import Folder
from dirsweep.sweep.place import own_store, run_ids, sweep_of


def newest(storage: Path, uri: str) -> Path | None:
    """The sweep in a storage folder that was begun last, of those that are tracked in the store `uri`.

    One whose ledger cannot be read is passed over.
    """
    begun: dict[float, Path] = {}
    for file in storage.glob(f"*/{FILE}"):
        with suppress(ValueError):
            ledger = Ledger.open(Folder(file.parent))
            if same_store(uri, own_store(file.parent, ledger.records)):
                begun[ledger.opening["time"]] = file.parent
    return begun[max(begun)] if begun else None


def page(folder: Path, uri: str) -> str:
    """The sweep's page in the UI of a store, from the # on; "" if it is not there.

    Raises ValueError if the store cannot be read.
    """
    ledger = Ledger.open(Folder(folder))
    return tracking.address(uri, sweep_of(folder, ledger), run_ids(ledger.records))


def same_store(one: str, other: str | None) -> bool:
    """Whether two addresses name one store, whatever credentials they carry and however a file is named."""
    if other is None:
        return False
    databases = [tracking.database_path(uri) for uri in (one, other)]
    if None in databases:
        return tracking.shown(one).rstrip("/") == tracking.shown(other).rstrip("/")
    return len({database.resolve() for database in databases if database}) == 1
