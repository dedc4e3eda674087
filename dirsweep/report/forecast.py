"""What `dirsweep plan` foretold of a sweep, beside what it took.

A plan is made before there is a sweep, so its forecast lies in the storage folder: a line of `plans.jsonl`.
"""

from dataclasses import asdict, dataclass
from typing import Any

from dirsweep.report.numbers import duration
from dirsweep.search.model import SweepSpec
from dirsweep.storage import Folder, Record

FILE = "plans.jsonl"


@dataclass(frozen=True)
class Forecast:
    """Trainer-seconds that a sweep was to take, controls included.

    of: what decides a sweep's costs (`deciding`).
    time: unix seconds.
    """

    of: Record
    time: float
    low: float
    middle: float
    high: float


def deciding(spec: SweepSpec, data: str | None, resources: dict[str, Any] | None) -> Record:
    """All that decides what a sweep costs, as plain values.

    Args:
        data: the dataset's hash, as the ledger's first record has it.
        resources: `sweep.Resources.facts`, as the ledger's first record has them; whether workers are reused
            is no part of a trial's seconds.
    """
    if resources and "reuse_actors" in resources:
        resources = {**resources, "reuse_actors": None}
    said = spec.model_dump(mode="json", include={"budget", "repeats", "warm_start"})
    return {"spec": spec.hash, "data": data, "resources": resources, **said}


def keep(storage: Folder, forecast: Forecast) -> None:
    """Add a forecast to the storage folder."""
    storage.append(FILE, asdict(forecast))


def found(sweep: Folder, spec: SweepSpec, opening: Record) -> Forecast | None:
    """The last forecast for a sweep that was made before it began; None if there is none.

    Made for another budget or other workers, it is no forecast for this sweep.
    """
    of = deciding(spec, opening.get("data"), opening.get("resources"))
    lines, _ = sweep.absolute().parent.records(FILE)
    fitting = [line for line in lines if line.get("of") == of and line["time"] <= opening["time"]]
    return (
        Forecast(**{name: fitting[-1][name] for name in Forecast.__dataclass_fields__}) if fitting else None
    )


def in_words(forecast: Forecast, spent: float) -> str:
    """The forecast and what was spent, in a sentence."""
    low, middle, high = (duration(value) for value in (forecast.low, forecast.middle, forecast.high))
    ratio = f"; {spent / forecast.middle:.2f} times as much" if forecast.middle else ""
    return (
        f"`dirsweep plan` foretold {middle} of training ({low} to {high}); it took {duration(spent)}{ratio}."
    )
