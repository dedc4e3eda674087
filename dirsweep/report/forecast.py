"""What `dirsweep plan` foretold of a sweep, beside what it took.

A plan is made before there is a sweep, so its forecast lies in the storage folder: a line of `plans.jsonl`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from dirsweep.report.numbers import duration
from dirsweep.storage import Folder, Record

FILE = "plans.jsonl"


@dataclass(frozen=True)
class Forecast:
    """Trainer-seconds that a sweep over a spec was to take, controls included.

    spec: hash of the search space.
    trials: the budget it was made for.
    time: unix seconds.
    """

    spec: str
    trials: int
    time: float
    low: float
    middle: float
    high: float


def keep(storage: Path, forecast: Forecast) -> None:
    """Add a forecast to the storage folder."""
    Folder(storage).append(FILE, asdict(forecast))


def found(sweep: Path, opening: Record) -> Forecast | None:
    """The last forecast for a sweep that was made before it began; None if there is none."""
    lines, _ = Folder(sweep.absolute().parent).records(FILE)
    known = [Forecast(**{name: line[name] for name in Forecast.__dataclass_fields__}) for line in lines]
    fitting = [
        one
        for one in known
        if (one.spec, one.trials) == (opening["spec"], opening["trials"]) and one.time <= opening["time"]
    ]
    return fitting[-1] if fitting else None


def in_words(forecast: Forecast, spent: float) -> str:
    """The forecast and what was spent, in a sentence."""
    low, middle, high = (duration(value) for value in (forecast.low, forecast.middle, forecast.high))
    ratio = f"; {spent / forecast.middle:.2f} times as much" if forecast.middle else ""
    return (
        f"`dirsweep plan` foretold {middle} of training ({low} to {high}); it took {duration(spent)}{ratio}."
    )
