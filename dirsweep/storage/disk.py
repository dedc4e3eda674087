"""A folder on a disk: files put whole by a link or a rename, records appended, locks of the kernel."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import BinaryIO

from dirsweep.storage import flock
from dirsweep.storage.holder import Holder
from dirsweep.storage.record import Record, line, parse

PART = ".part"
"""How the name of a file ends that is being written."""
HOST = os.uname().nodename.replace(".", "-")
"""Whose processes are looked up here."""
WRITER = re.compile(rf"\..+\.(?P<host>[^.]+)\.(?P<process>\d+)\.[0-9a-f]+\{PART}")
GIVEN_UP = 3600.0
"""Seconds without a write after which a writer on another machine is dead."""


@dataclass(frozen=True)
class Disk:
    """A local folder, or one that all nodes share; see `Folder` for what each method does."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def at(self, name: str) -> "Disk":
        """The folder `name` inside this one; ".." is the one around it."""
        return Disk(self.path.parent if name == ".." else self.path / name)

    def absolute(self) -> "Disk":
        """The same folder by its absolute path."""
        return Disk(self.path.absolute())

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Link a written file to the name: the link fails where the name is taken."""
        target, part = self._part(name, content)
        try:
            os.link(part, target)
        except FileExistsError:
            return False
        finally:
            part.unlink()
        return True

    def put(self, name: str, content: bytes) -> None:
        """Rename a written file to the name."""
        target, part = self._part(name, content)
        part.replace(target)

    def _part(self, name: str, content: bytes) -> tuple[Path, Path]:
        target = self.path / name
        part = target.parent / half_written(target.name, os.getpid())
        with _named(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                part.unlink(missing_ok=True)
                raise
        return target, part

    def append(self, name: str, record: Record, *, number: int | None, durable: bool) -> None:
        """Add a line to the file; what a dead writer left of its last line stays a line of its own.

        The first of numbered lines is put whole: a file that is there holds one.
        """
        if number == 0:
            if not self.put_if_absent(name, line(record)):
                raise FileExistsError(f"{self.path / name} is there already")
            return
        target = self.path / name
        text = line(record)
        with _named(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("ab+") as file:
                if file.tell() and not _ends_with_newline(file):
                    text = b"\n" + text
                file.write(text)
                file.flush()
                if durable:
                    os.fsync(file.fileno())

    def has_records(self, name: str) -> bool:
        """Whether the file is there."""
        return self.exists(name)

    def records(self, name: str) -> tuple[list[Record], int]:
        """The whole lines of the file."""
        path = self.path / name
        if not path.exists():
            return [], 0
        found = [parse(line) for line in path.read_bytes().split(b"\n") if line]
        whole = [record for record in found if record is not None]
        return whole, len(found) - len(whole)

    def pack(self, name: str, first: int, records: Sequence[Record]) -> None:
        """Nothing: they are in one file."""

    def folders(self) -> list[str]:
        """Folders right inside."""
        return (
            sorted(entry.name for entry in self.path.iterdir() if entry.is_dir())
            if self.path.is_dir()
            else []
        )

    def list(self, prefix: str) -> list[str]:
        """All files below, but for those that are being written."""
        return sorted(self._walk(self.path / prefix))

    def _walk(self, top: Path) -> Iterator[str]:
        for base, _, files in os.walk(top):
            for file in files:
                if not file.endswith(PART):
                    yield str((Path(base) / file).relative_to(self.path))

    def tidy(self) -> None:
        """Remove files that never got their name, of which the writer is dead."""
        for part in self.path.glob(f".*{PART}"):
            if _is_left(part):
                part.unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        """Whether it is a file."""
        return (self.path / name).is_file()

    def read(self, name: str, first: int | None) -> bytes:
        """The file's content."""
        with (self.path / name).open("rb") as file:
            return file.read(first)

    def size(self, name: str) -> int:
        """The file's size."""
        return (self.path / name).stat().st_size

    def written(self, name: str) -> float:
        """The file's time of modification."""
        return (self.path / name).stat().st_mtime

    def delete(self, name: str) -> None:
        """Remove the file."""
        (self.path / name).unlink(missing_ok=True)

    @contextmanager
    def lock(self, name: str, refusal: Callable[[Holder], str]) -> Iterator[Event]:
        """The kernel's lock on the file `name`, which no living process loses."""
        with flock.held(self.path / name, refusal):
            yield Event()

    def holder(self, name: str) -> Holder | None:
        """Who has the kernel's lock."""
        return flock.holder(self.path / name)


def half_written(name: str, process: int) -> str:
    """What a file is called while a process of this machine writes it."""
    return f".{name}.{HOST}.{process}.{os.urandom(4).hex()}{PART}"


def _is_left(part: Path) -> bool:
    """Whether nobody writes the file any more, as far as can be told from here."""
    writer = WRITER.fullmatch(part.name)
    if writer and writer["host"] == HOST:
        return not _is_alive(int(writer["process"]))
    try:
        return time.time() - part.stat().st_mtime > GIVEN_UP
    except FileNotFoundError:  # it has its name by now
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


@contextmanager
def _named(target: Path) -> Iterator[None]:
    """Let an error in the block name the file that was to be written: the system's own names none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


def _ends_with_newline(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
