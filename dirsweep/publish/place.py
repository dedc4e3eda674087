"""Where the UI shows a sweep, and which sweep it opens at."""

from contextlib import suppress

from dirsweep import tracking
from dirsweep.ledger import Ledger, sweeps
from dirsweep.storage import Folder, Place
from dirsweep.sweep.place import own_store, run_ids, sweep_of


def newest(storage: Place, uri: str) -> Folder | None:
    """The sweep in a storage folder that was begun last, of those that are tracked in the store `uri`.

    One whose ledger cannot be read is passed over.
    """
    storage = Folder(storage)
    begun: dict[float, Folder] = {}
    for folder in sweeps(storage):
        with suppress(ValueError):
            ledger = Ledger.open(folder)
            if same_store(uri, own_store(folder, ledger.records)):
                begun[ledger.opening["time"]] = folder
    return begun[max(begun)] if begun else None


def page(folder: Place, uri: str) -> str:
    """The sweep's page in the UI of a store, from the # on; "" if it is not there.

    Raises ValueError if the store cannot be read.
    """
    folder = Folder(folder)
    ledger = Ledger.open(folder)
    return tracking.address(uri, sweep_of(folder, ledger), run_ids(ledger.records))


def same_store(one: str, other: str | None) -> bool:
    """Whether two addresses name one store, whatever credentials they carry and however a file is named."""
    if other is None:
        return False
    databases = [tracking.database_path(uri) for uri in (one, other)]
    if None in databases:
        return tracking.shown(one).rstrip("/") == tracking.shown(other).rstrip("/")
    return len({database.resolve() for database in databases if database}) == 1
