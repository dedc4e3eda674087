"""One process at a time, where no kernel has a lock: a numbered object, and a beat put again and again.

How old a beat is says the store's own clock, so no two machines need to agree on the time. A holder that was
cut off, or slept, finds a higher number when it comes back and beats no more; what it writes under a number
that is taken (a ledger's next record) is refused by the store.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Protocol

from dirsweep.storage.holder import Holder, this_process

log = logging.getLogger(__name__)

BEAT = 5.0
"""Seconds between two beats."""
PATIENCE = 30.0
"""Seconds without a beat after which a holder is dead."""
POLL = 1.0
"""Seconds between two looks at another's beat."""
WAITING = "%s/%s: held by %s, which may have died; waiting for a sign of life, for %.0f s at most"


class Objects(Protocol):
    """What is needed of an object store."""

    def put_if_absent(self, name: str, content: bytes) -> bool: ...
    def put(self, name: str, content: bytes) -> None: ...
    def list(self, prefix: str) -> list[str]: ...
    def exists(self, name: str) -> bool: ...
    def read(self, name: str, first: int | None = None) -> bytes: ...
    def age(self, name: str) -> float: ...
    def delete(self, name: str) -> None: ...


@contextmanager
def held(objects: Objects, name: str, refusal: Callable[[Holder], str]) -> Iterator[threading.Event]:
    """Hold the lock `name`; waits until a holder's beat moves, is too old, or rests as long, and says so.

    Yields what is set once another process has taken the lock over.

    Raises:
        ValueError: the refusal, while another process holds it.
    """
    number = _take(objects, name, refusal)
    released, lost = threading.Event(), threading.Event()
    heart = threading.Thread(target=_beat, args=(objects, name, number, released, lost), daemon=True)
    heart.start()
    try:
        yield lost
    finally:
        released.set()
        heart.join()
        try:
            _release(objects, name, number)
        except OSError as error:  # what ended the block counts; without a beat the lock will be free
            log.warning("%s/%s: the lock is not given back: %s", objects, name, error)


def holder(objects: Objects, name: str) -> Holder | None:
    """Who holds the lock `name`, as far as its last beat tells."""
    number = _highest(objects, name)
    if number == 0 or _is_free(objects, name, number):
        return None
    try:
        return _owner(objects, name, number)
    except FileNotFoundError:  # another took the lock meanwhile, and gave it back
        return holder(objects, name)


def _take(objects: Objects, name: str, refusal: Callable[[Holder], str]) -> int:
    seen: tuple[int, bytes] | None = None
    since = time.monotonic()
    while True:
        number = _highest(objects, name)
        beat = (number, _last_beat(objects, name, number))
        # by the clock here, for the store's may have been set back
        rests = beat == seen and time.monotonic() - since > PATIENCE
        if number == 0 or rests or _is_free(objects, name, number):
            mine = json.dumps(asdict(this_process())).encode()
            if objects.put_if_absent(_named(name, number + 1, "owner"), mine):
                return number + 1
            continue
        if beat != seen:
            try:
                owner = _owner(objects, name, number)
            except FileNotFoundError:  # another took the lock meanwhile, and removed what was there
                continue
            if seen is not None:
                raise ValueError(refusal(owner))
            log.warning(WAITING, objects, name, owner, PATIENCE)
        seen = beat
        time.sleep(POLL)


def _release(objects: Objects, name: str, number: int) -> None:
    objects.put(_named(name, number, "done"), b"")
    for old in objects.list(name):
        if _number(old) < number:
            objects.delete(old)


def _beat(objects: Objects, name: str, number: int, released: threading.Event, lost: threading.Event) -> None:
    count = 0
    while not released.wait(BEAT if count else 0):
        count += 1
        try:
            if _highest(objects, name) > number:
                log.error("%s/%s: another process has taken this lock", objects, name)
                lost.set()
                return
            objects.put(_named(name, number, "beat"), str(count).encode())
        except OSError as error:  # the store may be back at the next
            log.warning("%s/%s: no beat: %s", objects, name, error)


def _is_free(objects: Objects, name: str, number: int) -> bool:
    if objects.exists(_named(name, number, "done")):
        return True
    for sign in ("beat", "owner"):
        try:
            return objects.age(_named(name, number, sign)) > PATIENCE
        except FileNotFoundError:  # it was taken a moment ago
            continue
    return False


def _owner(objects: Objects, name: str, number: int) -> Holder:
    return Holder(**json.loads(objects.read(_named(name, number, "owner"))))


def _last_beat(objects: Objects, name: str, number: int) -> bytes:
    try:
        return objects.read(_named(name, number, "beat"))
    except FileNotFoundError:
        return b""


def _highest(objects: Objects, name: str) -> int:
    return max((_number(found) for found in objects.list(name)), default=0)


def _number(found: str) -> int:
    return int(found.rpartition("/")[2].partition(".")[0])


def _named(name: str, number: int, what: str) -> str:
    return f"{name}/{number:04d}.{what}"
