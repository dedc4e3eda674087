"""One driver per sweep folder: a dead one is taken over without asking, its half-written files go."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from dirsweep.storage import Folder, Holder, Place

FILE = "driver.lock"


@contextmanager
def held(folder: Place) -> Iterator[Event]:
    """Hold the sweep `folder` for this process. ValueError while another driver lives.

    Yields what is set once another driver has taken the sweep over from this one, which was cut off.
    """
    folder = Folder(folder)

    def refusal(driver: Holder) -> str:
        return (
            f"{folder}: another driver runs this sweep ({driver}); wait until it ends, or end it with "
            f"`dirsweep stop {folder}`"
        )

    with folder.lock(FILE, refusal) as lost:
        folder.tidy()
        yield lost


def holder(folder: Place) -> Holder | None:
    """The driver that runs the sweep `folder` now, if any."""
    return Folder(folder).holder(FILE)
