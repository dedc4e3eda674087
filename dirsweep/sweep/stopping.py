"""How a sweep is stopped: by a signal to its driver, or by a mark in its folder.

Trials poll the mark themselves, save their state and return. What Ray does at a signal would not let
them: its SIGTERM handler ends the driver, and with it the workers, in the middle of an epoch.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dirsweep.storage import STOP, Folder, Place

FILE = STOP
GRACE_SECONDS = 20.0
"""How long trials may take to save and return."""
LOOK_SECONDS = 1.0
"""Between two looks for the mark."""


class Stop:
    """Whether a sweep is to stop, and since when."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._signalled = False
        self._since: float | None = None
        self._looked = -LOOK_SECONDS

    @property
    def begun(self) -> bool:
        """Whether trials were told to save and return."""
        return self._since is not None

    @property
    def overdue(self) -> bool:
        """Whether trials had their time to save."""
        return self._since is not None and time.monotonic() - self._since > GRACE_SECONDS

    def look(self, *, at_once: bool = False) -> bool:
        """Look for a signal, and once a second or `at_once` for the mark; True when one is first found."""
        if self.begun:
            return False
        if self._signalled:
            leave_mark(self._folder)
        elif not at_once and time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        if self._folder.exists(FILE):
            self._since = time.monotonic()
        return self.begun

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Stop at the first SIGINT or SIGTERM; at the second, raise KeyboardInterrupt at once.

        To be entered after Ray has started, for Ray sets a handler of its own. Outside the main thread
        signals are left alone, since Python delivers them there.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True


def leave_mark(folder: Place) -> None:
    """Leave the stop mark that the driver and every trial look for about once a second."""
    Folder(folder).put_if_absent(FILE, b"")


def remove_mark(folder: Folder) -> None:
    """Remove the stop mark of a sweep that goes on."""
    folder.delete(FILE)
