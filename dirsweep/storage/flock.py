"""One process at a time: a lock on a file.

The lock is the kernel's (`flock`): it ends with the process that holds it, however that ends, so what a dead
process held is free without asking. What the file says is for messages only.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from dirsweep.storage.holder import Holder, this_process

PATIENCE = 1.0
"""Seconds to try: `holder` takes the lock for an instant, and a killed process's end takes a moment."""


@contextmanager
def held(path: Path, refusal: Callable[[Holder], str] | None = None) -> Iterator[None]:
    """Hold the lock `path` for this process.

    Args:
        path: the file; it is made, and stays unless its holder removes it.
        refusal: what to say of another process that holds it; None waits until that one ends.

    Raises:
        ValueError: the refusal, while another process holds it.
    """
    with _taken(path, refusal) as file:
        file.truncate(0)
        file.write(json.dumps(asdict(this_process())))
        file.flush()
        yield


def holder(path: Path) -> Holder | None:
    """Who holds the lock `path` now, if anyone does."""
    if not path.exists():
        return None
    with path.open() as file:
        return None if _try(file, fcntl.LOCK_SH) else _read(file)


def _taken(path: Path, refusal: Callable[[Holder], str] | None) -> TextIO:
    """The file, locked."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        try:
            if refusal is None:
                fcntl.flock(file, fcntl.LOCK_EX)
            else:
                _insist(file, refusal)
        except BaseException:
            file.close()
            raise
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # its last holder removed it meanwhile: what we hold is nobody's lock


def _insist(file: TextIO, refusal: Callable[[Holder], str]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not _try(file, fcntl.LOCK_EX):
        if time.monotonic() > give_up:
            raise ValueError(refusal(_read(file)))
        time.sleep(0.05)


def _try(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: TextIO) -> Holder:
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):  # read between the lock and the first write
        return Holder(0, "an unknown machine", os.fstat(file.fileno()).st_mtime)
