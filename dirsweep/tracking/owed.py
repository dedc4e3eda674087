"""What a run in the tracking store is still to be given, gathered until it can be delivered at once."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dirsweep.storage import File

PARENT = ""  # the sweep's own key


@dataclass(frozen=True)
class Point:
    """One value of a metric; without `epoch` it stands at `step`, or at the last epoch that the run has."""

    name: str
    value: float
    milliseconds: int
    epoch: int | None
    step: int | None = None  # of what has no epochs


@dataclass(frozen=True)
class Upload:
    """A file to put beside a run, in the folder `below` there ("" for the top)."""

    file: File
    below: str = ""


@dataclass
class Owed:
    """What a run has not been given yet, from `items` calls, the first of them at `since` (unix ms)."""

    since: int
    items: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    files: list[Upload] = field(default_factory=list)
    told: dict[str, Callable[[], None]] = field(default_factory=dict)  # see `Tracker.catch_up`
    name: str = ""
    status: str = ""
    at: int = 0

    def add(self, later: "Owed") -> None:
        """Append what came later."""
        self.since = min(self.since, later.since)
        self.items += later.items
        self.tags |= later.tags
        self.params |= later.params
        self.points += later.points
        self.files += later.files
        self.told |= later.told
        self.name = later.name or self.name
        if later.status:
            self.status, self.at = later.status, later.at


def points(
    metrics: Mapping[str, float], milliseconds: int, epoch: int | None = None, step: int | None = None
) -> list[Point]:
    """The finite ones: an empty shot has no error, and MLflow's charts draw NaN as 0."""
    return [
        Point(name, float(value), milliseconds, epoch, step)
        for name, value in metrics.items()
        if math.isfinite(value)
    ]
