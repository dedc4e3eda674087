"""Files of a sweep: put if absent, atomic put, append a record, list, read, delete.

Everything a trial or a sweep keeps goes through a `Folder`, and every name is relative to it, so a
sweep can be moved and another backend (an object store) can take the local folder's place. A record
line carries a checksum of its own: a line cut short or damaged is found, never half read.
"""

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = dict[str, Any]

TRIALS = "trials"
"""The folder of a sweep's trials."""


def cache_folder(name: str) -> Path:
    """Where what can be fetched or computed again is kept, for all sweeps: DIRSWEEP_CACHE, or the user's."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DIRSWEEP_CACHE") or Path(user) / "dirsweep") / name


@dataclass(frozen=True)
class Folder:
    """A local folder; it is made at the first write."""

    path: Path

    def child(self, name: str) -> "Folder":
        """The folder `name` inside this one."""
        return Folder(self.path / name)

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Write `content` under `name` whole, unless the name is taken. True if this call wrote it."""
        target, part = self._part(name, content)
        try:
            os.link(part, target)
        except FileExistsError:
            return False
        finally:
            part.unlink()
        return True

    def put(self, name: str, content: bytes) -> None:
        """Write `content` under `name` whole: a reader sees the old content or the new, never a part."""
        target, part = self._part(name, content)
        part.replace(target)

    def _part(self, name: str, content: bytes) -> tuple[Path, Path]:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.parent / f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.part"
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            part.unlink(missing_ok=True)
            raise
        return target, part

    def append(self, name: str, record: Record, *, durable: bool = False) -> None:
        """Add one record to the file `name`; `durable` waits until the disk has it.

        A process that dies right after the call loses nothing either way; a machine might.
        """
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, separators=(",", ":"))
        line = f"{zlib.crc32(text.encode()):08x} {text}\n".encode()
        with target.open("ab+") as file:
            if file.tell() and not _ends_with_newline(file):
                line = b"\n" + line  # the last writer died in the middle of a line
            file.write(line)
            file.flush()
            if durable:
                os.fsync(file.fileno())

    def records(self, name: str) -> tuple[list[Record], int]:
        """The whole records of the file `name` in order, and how many damaged lines were passed over."""
        path = self.path / name
        if not path.exists():
            return [], 0
        found = [_parse(line) for line in path.read_bytes().split(b"\n") if line]
        whole = [record for record in found if record is not None]
        return whole, len(found) - len(whole)

    def list(self, prefix: str = "") -> list[str]:
        """Names of all files below the folder `prefix`, relative to this folder, sorted."""
        return sorted(self._walk(self.path / prefix))

    def _walk(self, top: Path) -> Iterator[str]:
        for base, _, files in os.walk(top):
            for file in files:
                if not file.endswith(".part"):
                    yield str((Path(base) / file).relative_to(self.path))

    def exists(self, name: str) -> bool:
        """Whether a file `name` is there."""
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """The content of `name`; FileNotFoundError if there is none."""
        return (self.path / name).read_bytes()

    def delete(self, name: str) -> None:
        """Remove the file `name`; no error if it is gone already."""
        (self.path / name).unlink(missing_ok=True)


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _parse(line: bytes) -> Record | None:
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        return dict(json.loads(text))
    except ValueError:
        return None
