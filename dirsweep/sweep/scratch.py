"""The folder that Ray Tune is given for files of its own: nobody needs them once their driver is gone."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dirsweep.storage import flock

PREFIX, LOCK = "dirsweep-tune-", "driver.lock"
EXPERIMENT = "sweep"
"""The folder that Tune makes inside. Where it is, the lock was taken before: no driver is just beginning."""


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes with the block; where its process is killed, as the next driver here begins."""
    for experiment in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{EXPERIMENT}"):
        left = experiment.parent
        with suppress(OSError):  # another driver removes it
            # of another user nothing is opened: it may be anything, and root could remove it
            if left.lstat().st_uid == os.geteuid() and flock.holder(left / LOCK) is None:
                shutil.rmtree(left)
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder,
        flock.held(Path(folder) / LOCK),
    ):
        yield Path(folder)
