"""Whether something can be written where an option says: found out before anything is computed."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dirsweep.storage import Folder, refusal

PROBE = ".probe"


def check_writable(storage: Folder, option: str = "--storage") -> None:
    """ValueError that names the option if nothing can be written there."""
    if storage.path is None:
        _check_store(storage, option)
        return
    here = storage.path.absolute()
    place = next(folder for folder in (here, *here.parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise ValueError(f"{option} {storage}: cannot write in {place}; name a folder of yours")


def _check_store(storage: Folder, option: str) -> None:
    """An object store must answer, let us write, and refuse to put what is there already."""
    probe = f"{PROBE}-{uuid.uuid4().hex}"  # its own, for another sweep may begin at this moment
    with reached(storage, f"{option} "):
        storage.put(probe, b"")
        again = storage.put_if_absent(probe, b"")
        storage.delete(probe)
    if again:
        raise ValueError(
            f"{option} {storage}: this store puts an object though it is there already (it does not honour "
            "If-None-Match), so two drivers could not be told apart; name another"
        )


@contextmanager
def reached(folder: Folder, before: str = "") -> Iterator[None]:
    """Say how to reach an object store, `before` first, if it fails in the block.

    ConnectionError if it does not answer, which may pass, else ValueError. Of a folder on a disk what the
    system says goes on as it is, and so does what was refused with its own remedy.
    """
    try:
        yield
    except OSError as error:
        if folder.path is not None or isinstance(error, refusal.Refused):
            raise
        said = (
            f"{before}{error}; name a bucket of yours, and set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or what else boto3 reads"
        )
        raise (ConnectionError if isinstance(error, ConnectionError) else ValueError)(said) from None


def check_file(file: Path, option: str = "--html") -> None:
    """ValueError that names the option if no file can be written there."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{option} {file}: there is no folder {folder}; make it, or name another")
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise ValueError(f"{option} {file}: cannot write there; name a file of yours")
