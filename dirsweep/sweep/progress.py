"""How far a sweep is, as data; `report` and `cli` draw it.

The counts follow from the ledger's trials, so `dirsweep status` in another terminal says the same as
the driver does; of the time left it knows less.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dirsweep.config import USUAL_METRICS
from dirsweep.ledger import TrialRecord

SHOTS = ("all", "many", "median", "few")


def shown(metrics: Sequence[str]) -> list[str]:
    """Names of a dataset's `metrics` for every shot: their best values are shown while a sweep runs."""
    return [f"val/{shot}/{metric}" for metric in metrics for shot in SHOTS]


def logged(metrics: Sequence[str]) -> tuple[str, ...]:
    """Metrics of an epoch that the ledger and the tracker keep; the rest is in the trial's records."""
    usual = [*shown(USUAL_METRICS), "val/all/mse", "val/all/balanced_mae"]
    return tuple(dict.fromkeys([*shown(metrics), *usual]))


@dataclass(frozen=True)
class Progress:
    """A sweep at one moment.

    total: trials of the budget; controls are counted apart.
    done, failed, pruned: trials told so.
    running: trials and controls that are in a worker now.
    controls: controls that are complete.
    metrics: the two that the data's tables show.
    best: the best value of each in every shot over complete trials.
    seconds: wall seconds since this driver began; for `status`, those of all drivers so far.
    left: estimated wall seconds to the end, None before the first result.
    trainer_seconds: summed over all trials and controls (METHOD section 1).
    message: what happened last, in words.
    """

    total: int
    metrics: tuple[str, str] = USUAL_METRICS
    done: int = 0
    running: int = 0
    failed: int = 0
    pruned: int = 0
    controls: int = 0
    best: Mapping[str, float] | None = None
    seconds: float = 0.0
    left: float | None = None
    trainer_seconds: float = 0.0
    message: str = ""


OnChange = Callable[[Progress], None]


def progress(
    records: Iterable[TrialRecord],
    total: int,
    *,
    metrics: tuple[str, str] = USUAL_METRICS,
    running: Mapping[str, float] | None = None,
    workers: int = 1,
    seconds: float = 0.0,
    message: str = "",
) -> Progress:
    """Progress from the ledger's trials.

    running: the trials in a worker, with the share of their epochs that is done.
    """
    records, running = list(records), running or {}
    trials = [record for record in records if record.kind == "ask"]
    complete = [record for record in trials if record.state == "COMPLETE"]
    controls = [record for record in records if record.kind == "control"]
    states = Counter(record.state for record in trials)
    spent = [record.seconds for record in records if record.state != "OPEN" and record.seconds > 0]
    ended = sum(states.values()) - states["OPEN"]
    to_run = (
        max(0, total - ended) + sum(record.state == "OPEN" for record in controls) - sum(running.values())
    )
    return Progress(
        total=total,
        metrics=metrics,
        done=len(complete),
        running=len(running),
        failed=states["FAIL"],
        pruned=states["PRUNED"],
        controls=sum(record.state == "COMPLETE" for record in controls),
        best=_best(complete, metrics),
        seconds=seconds,
        left=max(0.0, to_run) * sum(spent) / len(spent) / workers if spent else None,
        trainer_seconds=sum(record.seconds for record in records),
        message=message,
    )


def _best(complete: list[TrialRecord], metrics: Sequence[str]) -> dict[str, float]:
    found = {name: [record.metrics.get(name) for record in complete] for name in shown(metrics)}
    finite = {
        name: [value for value in values if value is not None and math.isfinite(value)]
        for name, values in found.items()
    }
    return {
        name: max(values) if name.endswith("/pearson") else min(values)
        for name, values in finite.items()
        if values
    }


def titled(record: TrialRecord) -> str:
    """What a trial or control is called in messages."""
    word = "trial" if record.kind == "ask" else "repeat" if record.is_repeat else "control"
    return f"{word} {record.trial}"


def outcome(record: TrialRecord, objectives: tuple[str, ...]) -> str:
    """How a trial or control ended, in words."""
    match record.state:
        case "COMPLETE":
            return "is complete: " + ", ".join(f"{name} {record.metrics[name]:.4g}" for name in objectives)
        case "PRUNED":
            return f"is pruned: {record.reason}"
        case _:
            return f"failed: {record.reason}"
