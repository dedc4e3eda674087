"""One driver per sweep folder: a dead one is taken over without asking (`flock`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dirsweep import flock
from dirsweep.flock import Holder

FILE = "driver.lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the sweep `folder` for this process. ValueError while another driver lives."""

    def refusal(driver: Holder) -> str:
        return (
            f"{folder}: another driver runs this sweep ({driver}); wait until it ends, or end it with "
            f"`dirsweep stop {folder}`"
        )

    with flock.held(folder / FILE, refusal):
        yield


def holder(folder: Path) -> Holder | None:
    """The driver that runs the sweep `folder` now, if any."""
    return flock.holder(folder / FILE)
