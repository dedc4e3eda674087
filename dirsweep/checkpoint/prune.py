"""Make room in the store of stage 1s: the oldest entries go first, and never one that is being trained."""

import time
from dataclasses import dataclass

from dirsweep.checkpoint import lease
from dirsweep.checkpoint.store import STATES, Entry, Store


@dataclass(frozen=True)
class Pruned:
    """What a pruning removed, what it had to keep though it was asked to go, and the leases it cleared."""

    removed: list[Entry]
    kept: list[Entry]
    leases: int


def prune(store: Store, *, keep_bytes: float | None, older_than: float | None) -> Pruned:
    """Remove entries older than `older_than` seconds, then the oldest until at most `keep_bytes` are left.

    None sets no limit. An entry whose lease is held stays; the leases that nobody holds go, and where none is
    held, what dead writers left half written.
    """
    held = lease.held(store.folder)
    removed, kept = [], []
    entries = store.entries()
    left = sum(entry.size for entry in entries)
    for entry in entries:
        aged = older_than is not None and time.time() - entry.notes.get("time", 0.0) > older_than
        if not aged and (keep_bytes is None or left <= keep_bytes):
            continue
        if entry.key in held:
            kept.append(entry)
            continue
        store.delete(entry.key)
        removed.append(entry)
        left -= entry.size
    if not held:
        (store.folder / STATES).tidy()
    return Pruned(removed, kept, lease.clear(store.folder, held))
