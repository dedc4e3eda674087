"""Stage 1s by content, outside any sweep's folder, for every trial of every sweep to go on from.

An entry is the state of a trial at the end of its stage 1 under a key that covers whatever decides it
(`stage1.keys`). Entries are written once and never changed: `states/KEY-SHA256.safetensors`.
"""

import contextlib
import hashlib
import logging
from dataclasses import dataclass

from dirsweep.checkpoint.state import LENGTH, Notes, Tensors, header_length, header_notes, pack, unpack
from dirsweep.storage import Folder

log = logging.getLogger(__name__)
STATES = "states"


@dataclass(frozen=True)
class Entry:
    """What the store says of one stage 1: its key, its size in bytes, its notes (none if damaged)."""

    key: str
    size: int
    notes: Notes


@dataclass(frozen=True)
class Store:
    """The stage 1s in a folder; it is made at the first write."""

    folder: Folder

    def has(self, key: str) -> bool:
        """Whether there is an entry under `key`."""
        return key in self._names()

    def get(self, key: str) -> tuple[Tensors, Notes] | None:
        """The state under `key`; None if there is none, or if it is damaged: then it is removed."""
        for name in self._names().get(key, []):
            try:
                content = self.folder.read(name)
            except FileNotFoundError:  # pruned a moment ago
                continue
            if _checksum(content) == _named_checksum(name):
                with contextlib.suppress(ValueError):  # whole, but no state of a trial
                    return unpack(content)
            log.warning("%s: %s is damaged; it is removed and trained again", self.folder, name)
            self.folder.delete(name)
        return None

    def put(self, key: str, tensors: Tensors, notes: Notes) -> None:
        """Write a state whole, unless the key is there."""
        if key not in self._names():
            content = pack(tensors, notes)
            self.folder.put(f"{STATES}/{key}-{_checksum(content)}.safetensors", content)

    def delete(self, key: str) -> None:
        """Remove an entry; no error if there is none."""
        for name in self._names().get(key, []):
            self.folder.delete(name)

    def entries(self) -> list[Entry]:
        """All entries with their notes, the newest last. Reads headers alone."""
        found = []
        for key, names in self._names().items():
            try:
                found.append(Entry(key, self.folder.size(names[0]), self._readable_notes(names[0])))
            except FileNotFoundError:  # pruned a moment ago
                continue
        return sorted(found, key=lambda entry: float(entry.notes.get("time", 0.0)))

    def _readable_notes(self, name: str) -> Notes:
        try:
            length = header_length(self.folder.read(name, LENGTH))
            return header_notes(self.folder.read(name, LENGTH + length))
        except (ValueError, OverflowError, MemoryError):  # whatever a damaged header makes of it
            return {}

    def _names(self) -> dict[str, list[str]]:
        """The files of each key: one, or several where two trials deposited the same stage 1 at once."""
        found: dict[str, list[str]] = {}
        for name in self.folder.list(STATES):
            found.setdefault(name.removeprefix(f"{STATES}/").split("-")[0], []).append(name)
        return found


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _named_checksum(name: str) -> str:
    return name.removesuffix(".safetensors").rsplit("-", 1)[-1]
