"""Checkpoint files and attempts of one trial.

A checkpoint's name carries what orders it and the checksum of its content:
`checkpoints/EPOCH-STEP-ATTEMPT-SHA256.safetensors`. Each start of a trial claims the next attempt
number; a writer that finds a higher one stops, for after a `kill -9` of the driver its workers live
on for some seconds, and a node that was cut off trains on.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import socket
import uuid
from dataclasses import dataclass

from dirsweep.checkpoint.state import Notes, Tensors, pack, unpack
from dirsweep.storage import Folder

log = logging.getLogger(__name__)
KEPT = 2
NAME = re.compile(r"checkpoints/(\d+)-(\d+)-(\d+)-([0-9a-f]{16})\.safetensors")


class Superseded(RuntimeError):
    """A later attempt at this trial has begun; this one must write nothing more."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a trial after `step` steps of the epoch that follows `epoch` whole ones."""

    epoch: int
    step: int
    attempt: int
    tensors: Tensors
    notes: Notes


def claim(folder: Folder) -> int:
    """Take the next attempt number of the trial in `folder`; what earlier ones left half written goes."""
    who = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "id": uuid.uuid4().hex}).encode()
    attempt = _highest_attempt(folder) + 1
    while not folder.put_if_absent(f"attempts/{attempt:03d}", who):
        attempt += 1
    for place in (folder, folder / "attempts", folder / "checkpoints"):
        place.tidy()
    return attempt


def identity(folder: Folder) -> str:
    """What tells the trial in `folder` from all others, also once the folder has moved: its first attempt.

    Its folder where someone removed that, or an earlier version wrote it: that named the process alone, which
    may have begun several trials.
    """
    try:
        first = folder.read("attempts/001").decode(errors="replace")
    except FileNotFoundError:
        first = ""
    return first if '"id"' in first else str(folder.absolute())


def check_current(folder: Folder, attempt: int) -> None:
    """Raise Superseded if a higher attempt than `attempt` exists."""
    if _highest_attempt(folder) > attempt:
        raise Superseded(f"{folder}: attempt {attempt} stops, attempt {_highest_attempt(folder)} has begun")


def _highest_attempt(folder: Folder) -> int:
    names = [name.rsplit("/", 1)[-1] for name in folder.list("attempts")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _names(folder: Folder) -> list[str]:
    """The checkpoints, oldest first; what a file browser or another program left beside them is none."""
    return [name for name in folder.list("checkpoints") if NAME.fullmatch(name)]


def save(folder: Folder, attempt: int, epoch: int, step: int, tensors: Tensors, notes: Notes) -> None:
    """Write a checkpoint whole, then remove all but the newest two. Raises Superseded."""
    content = pack(tensors, notes)
    checksum = hashlib.sha256(content).hexdigest()[:16]
    check_current(folder, attempt)
    folder.put(f"checkpoints/{epoch:06d}-{step:08d}-{attempt:03d}-{checksum}.safetensors", content)
    for name in _names(folder)[:-KEPT]:
        folder.delete(name)


def latest(folder: Folder) -> Checkpoint | None:
    """The last whole checkpoint by (epoch, step, attempt); damaged ones are removed with a warning.

    Left there, they would count among the newest two and push out whole ones that are written later.
    """
    for name in reversed(_names(folder)):
        epoch, step, attempt, checksum = NAME.fullmatch(name).groups()  # type: ignore[union-attr]  # by `_names`
        try:
            content = folder.read(name)
        except FileNotFoundError:  # an attempt that was given up removed it a moment ago
            continue
        if hashlib.sha256(content).hexdigest()[:16] == checksum:
            with contextlib.suppress(ValueError):  # whole, but none that `save` wrote
                return Checkpoint(int(epoch), int(step), int(attempt), *unpack(content))
        log.warning("%s: checkpoint %s is damaged; it is removed, the one before is used", folder, name)
        folder.delete(name)
    return None


def clear(folder: Folder) -> None:
    """Remove all checkpoints."""
    for name in folder.list("checkpoints"):
        folder.delete(name)


def discard(folder: Folder) -> None:
    """Bar the trial's writer, if one still lives, and remove its checkpoints (a pruned or failed trial)."""
    claim(folder)
    clear(folder)
