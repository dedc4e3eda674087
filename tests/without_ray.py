"""The command line with each trial in the driver's own process: what disks and MLflow do needs no Ray.

python tests/without_ray.py run SPACE ...    (arguments as for `dirsweep`)
"""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray import tune as rays

from dirsweep.checkpoint import journal
from dirsweep.cli import main
from dirsweep.sweep import start, tune
from dirsweep.sweep.driver import Driver
from dirsweep.sweep.session import Resources
from dirsweep.trainable import Assignment, said


class Ended(BaseException):
    """The driver ends the trial; its own code must not catch that."""


@contextmanager
def no_session(resources: Resources) -> Iterator[int]:
    """In the place of a Ray with room for one trial."""
    yield 1


def drive(driver: Driver, trainable: Callable[[Any], None], resources: Resources) -> None:
    """In the place of `tune.drive`; as there, what goes wrong in the driver ends the sweep."""
    while not driver.over:
        assignment = driver.next()
        if assignment is not None:
            try:
                driver.started(assignment["key"])
                _run(driver, trainable, assignment)
                driver.step()
            except (ValueError, OSError) as error:
                driver.failure = error
    if driver.failure is not None:
        raise driver.failure


def _run(driver: Driver, trainable: Callable[[Any], None], assignment: Assignment) -> None:
    key = assignment["key"]

    def report(result: dict[str, str]) -> None:
        try:
            ends = driver.reported(key, said(result))
        except ValueError as error:
            driver.failure, ends = error, True
        if ends:
            raise Ended

    rays.report = report  # type: ignore[assignment]  # the one function of Ray that a trial calls
    try:
        trainable(assignment)
    except Ended:
        pass
    except Exception:
        driver.failed(key, traceback.format_exc())
        return
    if driver.failure is None:
        driver.ended(key)


def stand_in() -> None:
    """Let sweeps of this process run without Ray, with a checkpoint after each epoch."""
    journal.BETWEEN_EPOCHS = 0.0
    start.ray_session = no_session
    tune.drive = drive


if __name__ == "__main__":
    stand_in()
    main(sys.argv[1:])
