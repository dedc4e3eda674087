"""A folder of a sweep: names of files on top of where the bytes are kept, a disk or an object store."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from threading import Event
from typing import Protocol, Self

from dirsweep.storage import disk
from dirsweep.storage.holder import Holder
from dirsweep.storage.record import Record

TRIALS = "trials"
"""The folder of a sweep's trials."""
STOP = "STOP"
"""A sweep's stop mark: while this file is there, trials save and end."""
S3 = "s3://"


class Backend(Protocol):
    """Where the bytes of one folder are kept; each method as `Folder`'s of that name."""

    def at(self, name: str) -> "Backend": ...
    def absolute(self) -> "Backend": ...
    def put_if_absent(self, name: str, content: bytes) -> bool: ...
    def put(self, name: str, content: bytes) -> None: ...
    def append(self, name: str, record: Record, *, number: int | None, durable: bool) -> None: ...
    def has_records(self, name: str) -> bool: ...
    def records(self, name: str) -> tuple[list[Record], int]: ...
    def pack(self, name: str, first: int, records: Sequence[Record]) -> None: ...
    def folders(self) -> list[str]: ...
    def list(self, prefix: str) -> list[str]: ...
    def tidy(self) -> None: ...
    def exists(self, name: str) -> bool: ...
    def read(self, name: str, first: int | None) -> bytes: ...
    def size(self, name: str) -> int: ...
    def written(self, name: str) -> float: ...
    def delete(self, name: str) -> None: ...
    def lock(self, name: str, refusal: Callable[[Holder], str]) -> AbstractContextManager[Event]: ...
    def holder(self, name: str) -> Holder | None: ...


@dataclass(frozen=True)
class File:
    """A file in a folder."""

    folder: "Folder"
    name: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"


@dataclass(frozen=True)
class Folder:
    """A folder, which is made at the first write; as text it is its path or its address."""

    backend: Backend

    def __init__(self, place: "Place | Backend") -> None:
        """Name a folder: "sweeps/all-1", a path, "s3://bucket/sweeps/all-1", or another `Folder`."""
        object.__setattr__(self, "backend", _backend(place))

    def __str__(self) -> str:
        return str(self.backend)

    def __truediv__(self, name: str) -> Self:
        """The folder `name` inside this one."""
        return type(self)(self.backend.at(name))

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(str(self)).name

    @property
    def parent(self) -> Self:
        """The folder that it lies in. ValueError for a whole bucket, which lies in none."""
        return type(self)(self.backend.at(".."))

    @property
    def path(self) -> Path | None:
        """Where it lies on this machine's disk; None in an object store."""
        return self.backend.path if isinstance(self.backend, disk.Disk) else None

    @property
    def is_absolute(self) -> bool:
        """Whether its name means the same from anywhere on a machine."""
        return self.path is None or self.path.is_absolute()

    def absolute(self) -> Self:
        """The same folder, named from anywhere."""
        return type(self)(self.backend.absolute())

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Write `content` under `name` whole, unless the name is taken. True if this call wrote it."""
        return self.backend.put_if_absent(name, content)

    def put(self, name: str, content: bytes) -> None:
        """Write `content` under `name` whole: a reader sees the old content or the new, never a part."""
        self.backend.put(name, content)

    def append(self, name: str, record: Record, *, number: int | None = None, durable: bool = False) -> None:
        """Add one record to those of `name`.

        Args:
            number: which record it is, counted from 0, where the writer is the only one. An object store
                refuses a number that is taken (FileExistsError); on a disk the writer's lock serves.
            durable: wait until the disk has it. A process that dies right after the call loses nothing
                either way; a machine might. An object store always has it.
        """
        self.backend.append(name, record, number=number, durable=durable)

    def has_records(self, name: str) -> bool:
        """Whether records of `name` were begun."""
        return self.backend.has_records(name)

    def records(self, name: str) -> tuple[list[Record], int]:
        """The whole records of `name` in order, and how many damaged ones were passed over."""
        return self.backend.records(name)

    def pack(self, name: str, first: int, records: Sequence[Record]) -> None:
        """Let readers fetch records of `name`, appended as numbers `first`, `first` + 1 ..., all at once.

        What readers see stays as it is. Packs follow one another from record 0 on; one may be put again with
        more records at its end. On a disk the records are in one file anyway.
        """
        self.backend.pack(name, first, records)

    def folders(self) -> list[str]:
        """Names of the folders right inside this one, sorted."""
        return self.backend.folders()

    def list(self, prefix: str = "") -> list[str]:
        """Names of all files below the folder `prefix`, relative to this folder, sorted."""
        return self.backend.list(prefix)

    def tidy(self) -> None:
        """Remove what dead writers left half written right inside.

        One on another machine counts as dead when it has not written for an hour.
        """
        self.backend.tidy()

    def exists(self, name: str) -> bool:
        """Whether a file `name` is there."""
        return self.backend.exists(name)

    def read(self, name: str, first: int | None = None) -> bytes:
        """The content of `name`, or its `first` bytes; FileNotFoundError if there is none."""
        return self.backend.read(name, first)

    def size(self, name: str) -> int:
        """The size of `name` in bytes; FileNotFoundError if there is none."""
        return self.backend.size(name)

    def written(self, name: str) -> float:
        """Unix seconds at which `name` was last written, by the clock that is there. FileNotFoundError."""
        return self.backend.written(name)

    def delete(self, name: str) -> None:
        """Remove the file `name`; no error if it is gone already."""
        self.backend.delete(name)

    @contextmanager
    def as_file(self, name: str) -> Iterator[Path]:
        """The file `name` on this machine's disk, for what reads nothing else; a copy from an object store.

        Raises FileNotFoundError if there is none.
        """
        if self.path is not None:
            self.size(name)
            yield self.path / name
            return
        content = self.read(name)
        with TemporaryDirectory(prefix="dirsweep-") as here:
            copy = Path(here) / PurePosixPath(name).name
            copy.write_bytes(content)
            yield copy

    def lock(self, name: str, refusal: Callable[[Holder], str]) -> AbstractContextManager[Event]:
        """Hold the lock `name` inside the block; ValueError, with the refusal, while another process does.

        The lock of a dead process is taken over without asking: on a disk at once, in an object store
        after half a minute without a sign of life. A process that was cut off for so long may live: the block
        is given an event that is set once the lock was taken from it.
        """
        return self.backend.lock(name, refusal)

    def holder(self, name: str) -> Holder | None:
        """Who holds the lock `name` now, if anyone does."""
        return self.backend.holder(name)


Place = str | Path | Folder
"""What names a folder."""


def _backend(place: "Place | Backend") -> Backend:
    if isinstance(place, Folder):
        return place.backend
    if isinstance(place, str) and place.startswith(S3):
        from dirsweep.storage.bucket import Bucket  # boto3, which a disk does without

        return Bucket.named(place)
    if isinstance(place, str) and "://" in place:
        scheme = place.partition("://")[0]
        raise ValueError(f"{scheme}:// is no storage of ours; name a folder or s3://BUCKET/FOLDER")
    return disk.Disk(Path(place)) if isinstance(place, str | Path) else place
