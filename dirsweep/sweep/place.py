"""Where a sweep is tracked: the store that its ledger names, wherever the sweep's folder lies by now."""

from collections.abc import Mapping, Sequence

from dirsweep import tracking
from dirsweep.ledger import Ledger, identity, sweep_run
from dirsweep.storage import Folder, Record


def entry(folder: Folder, uri: str) -> dict[str, object]:
    """What the ledger says of the store of the sweep in `folder`, without credentials, from any folder."""
    database = tracking.database_path(uri)
    named = tracking.shown(uri) if database is None else f"sqlite:///{database.absolute()}"
    return {"uri": named, "beside": uri == beside(folder)}


def names(records: Sequence[Record], entry: Mapping[str, object]) -> bool:
    """Whether the ledger's last word on the store says so."""
    last = sweep_run(records) or {}
    return all(last.get(name) == value for name, value in entry.items())


def own_store(folder: Folder, records: Sequence[Record]) -> str | None:
    """The store of the sweep in `folder`; None for an untracked one.

    The embedded store beside the sweeps is the one beside them now, for folders are moved and copied. Where
    the ledger names no store, as earlier versions wrote it, it is taken for that one.
    """
    named = sweep_run(records)
    if named is None:
        return None
    return beside(folder) if named.get("beside", True) else str(named["uri"])


def beside(folder: Folder) -> str | None:
    """The embedded store of the storage folder that holds the sweep in `folder`; None in an object store."""
    return tracking.default_uri(folder.absolute().parent)


def sweep_of(folder: Folder, ledger: Ledger) -> tracking.Sweep:
    """Which sweep lies in a folder, for a store."""
    return tracking.Sweep(folder.absolute().name, identity(ledger.opening))


def run_ids(records: Sequence[Record]) -> dict[str, str]:
    """Run ids by trial, "" for the sweep, as the ledger has them last."""
    return {record["trial"]: record["id"] for record in records if record["kind"] == "run" and record["id"]}
