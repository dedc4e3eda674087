"""One driver per sweep folder.

The lock is the kernel's (`flock` on `driver.lock`): it ends with the process that holds it, however
that ends, so a dead driver is taken over without asking. What the file says is for messages only.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "driver.lock"
PATIENCE = 1.0
"""Seconds to try: `holder` takes the lock for an instant, and a killed driver's end takes a moment."""


@dataclass(frozen=True)
class Holder:
    """The driver that holds a sweep: its process, machine and start (unix seconds)."""

    pid: int
    host: str
    since: float

    def __str__(self) -> str:
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host}, since {started}"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the sweep `folder` for this process. ValueError while another driver lives."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a+") as file:
        give_up = time.monotonic() + PATIENCE
        while not _try(file.fileno(), fcntl.LOCK_EX):
            if time.monotonic() > give_up:
                raise ValueError(
                    f"{folder}: another driver runs this sweep ({_read(folder / FILE)}); wait until it ends, "
                    f"or end it with `dirsweep stop {folder}`"
                )
            time.sleep(0.05)
        file.truncate(0)
        file.write(json.dumps(asdict(Holder(os.getpid(), socket.gethostname(), time.time()))))
        file.flush()
        yield


def holder(folder: Path) -> Holder | None:
    """The driver that runs the sweep `folder` now, if any."""
    path = folder / FILE
    if not path.exists():
        return None
    with path.open() as file:
        return None if _try(file.fileno(), fcntl.LOCK_SH) else _read(path)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> Holder:
    try:
        return Holder(**json.loads(path.read_text()))
    except (ValueError, TypeError):  # read between the lock and the first write
        return Holder(0, "an unknown machine", path.stat().st_mtime)
