"""Who is training a stage 1 that others wait for: a lease with a heartbeat.

A lease is a numbered file, put if absent; its owner rewrites a beat beside it. A waiter trusts no
clock but its own: only when it has seen the same beat for `PATIENCE` seconds does it hold the owner
for dead and take the next number. A later attempt at the owner's own trial takes it at once: the owner
was given up, and on a node that was cut off it may beat on for minutes. An owner that lives trains on to
the same result, so nothing worse than double work can come of it.
"""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dirsweep.checkpoint.journal import Stopped
from dirsweep.storage import Folder

log = logging.getLogger(__name__)

BEAT = 5.0
"""Seconds between two beats."""
PATIENCE = 30.0
"""Seconds without a beat after which a waiter takes over."""
POLL = 0.5
"""Seconds between two looks of a waiter."""


@contextmanager
def lease(
    folder: Folder, key: str, trial: str, ready: Callable[[], bool], should_stop: Callable[[], bool]
) -> Iterator[bool]:
    """Hold the lease on `key` for a trial, or wait until what its owner makes is `ready`.

    `trial` tells the trial from all others; whoever held the lease for it before has lost it.

    Yields True to the owner, who makes it inside the block; False when it is ready, with nothing held.
    Raises Stopped when `should_stop` says so while waiting.
    """
    number = _take_or_wait(folder, key, trial, ready, should_stop)
    if number is None:
        yield False
        return
    released = threading.Event()
    heart = threading.Thread(target=_beat, args=(folder, key, number, released), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        released.set()
        heart.join()
        try:
            folder.put(_name(key, number, "done"), b"")
        except OSError as error:  # what ended the block counts; without a beat the lease will be free
            log.warning("%s: the lease is not given back: %s", folder, error)


def held(folder: Folder) -> set[str]:
    """Keys whose lease is held, as far as this observer can tell.

    Answers at once where every lease is given up; else it watches the beats, for `PATIENCE` seconds at
    most, and holds an owner without one for dead.
    """
    undecided = {key: _state(folder, key) for key in _open(folder)}
    alive: set[str] = set()
    give_up = time.monotonic() + PATIENCE
    while undecided and time.monotonic() < give_up:
        time.sleep(POLL)
        alive |= {key for key, seen in undecided.items() if _state(folder, key) != seen}
        undecided = {key: seen for key, seen in undecided.items() if key not in alive}
    later = _open(folder) - set(undecided)  # taken while the others were watched
    return (alive & _open(folder)) | later


def clear(folder: Folder, held: set[str]) -> int:
    """Remove all files of leases that nobody holds; the number of keys that had any but half-written ones."""
    names: dict[str, list[str]] = {}
    for name in folder.list("leases"):
        names.setdefault(name.split("/")[1], []).append(name)
    free = {key: files for key, files in names.items() if key not in held}
    for files in free.values():
        for name in files:
            folder.delete(name)
    for key in set((folder / "leases").folders()) - held:
        (folder / "leases" / key).tidy()
    return len(free)


def _open(folder: Folder) -> set[str]:
    keys = {name.split("/")[1] for name in folder.list("leases")}
    return {key for key in keys if not folder.exists(_name(key, _highest(folder, key), "done"))}


def _state(folder: Folder, key: str) -> tuple[int, bytes]:
    number = _highest(folder, key)
    return number, _last_beat(folder, key, number)


def _take_or_wait(
    folder: Folder, key: str, trial: str, ready: Callable[[], bool], should_stop: Callable[[], bool]
) -> int | None:
    """The number of the lease that was taken; None once it is ready."""
    seen: tuple[int, bytes] | None = None
    since = time.monotonic()
    while not ready():
        number = _highest(folder, key)
        beat = _last_beat(folder, key, number)
        if (number, beat) != seen:
            seen, since = (number, beat), time.monotonic()
        over = (
            number == 0 or folder.exists(_name(key, number, "done")) or _owner(folder, key, number) == trial
        )
        if over or time.monotonic() - since > PATIENCE:
            if not folder.put_if_absent(_name(key, number + 1, "owner"), _who(trial)):
                continue
            if not ready():  # it may have become so between the look and the lease
                return number + 1
            folder.put(_name(key, number + 1, "done"), b"")
            continue
        if should_stop():
            raise Stopped
        time.sleep(POLL)
    return None


def _beat(folder: Folder, key: str, number: int, released: threading.Event) -> None:
    count = 0
    while not released.wait(BEAT if count else 0):
        count += 1
        try:
            if _highest(folder, key) > number:  # it was taken over
                return
            folder.put(_name(key, number, "beat"), str(count).encode())
        except OSError as error:  # the store may be back at the next
            log.warning("%s: no beat: %s", folder, error)


def _highest(folder: Folder, key: str) -> int:
    numbers = [int(name.rsplit("/", 1)[-1].split(".")[0]) for name in folder.list(f"leases/{key}")]
    return max(numbers, default=0)


def _last_beat(folder: Folder, key: str, number: int) -> bytes:
    name = _name(key, number, "beat")
    try:
        return folder.read(name)
    except FileNotFoundError:
        return b""


def _owner(folder: Folder, key: str, number: int) -> str:
    """The trial that a lease is held for; "" where the file does not say, or was cleared away."""
    try:
        return str(json.loads(folder.read(_name(key, number, "owner"))).get("trial", ""))
    except FileNotFoundError:
        return ""


def _name(key: str, number: int, what: str) -> str:
    return f"leases/{key}/{number:04d}.{what}"


def _who(trial: str) -> bytes:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "trial": trial}).encode()
