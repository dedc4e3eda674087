"""How far a sweep is, as data; `report` and `cli` draw it.

The counts follow from the ledger's trials, so `dirsweep status` in another terminal says the same as
the driver does; of the time left it knows less.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
    news: how often, since this driver began, something went wrong that the sweep goes on without: an attempt
        at a trial that is made anew, a damaged checkpoint.
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
    news: int = 0
    message: str = ""


OnChange = Callable[[Progress], None]


@dataclass
class Sums:
    """What trials and controls come to, together.

    A driver keeps those of the ones that are settled, so that a look at its progress takes as long at the
    ten thousandth trial as at the first.

    metrics: as in `Progress`.
    counts: how many there are of each kind in each state.
    seconds: trainer-seconds, by kind.
    ended: of those that took time and ended, how many there are, and their trainer-seconds.
    best: as in `Progress`.
    """

    metrics: tuple[str, str] = USUAL_METRICS
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    ended: tuple[int, float] = (0, 0.0)
    best: dict[str, float] = field(default_factory=dict)

    def add(self, record: TrialRecord) -> None:
        """Take in a trial or control."""
        self.counts[record.kind, record.state] += 1
        self.seconds[record.kind] = self.seconds.get(record.kind, 0.0) + record.seconds
        if record.state != "OPEN" and record.seconds > 0:
            self.ended = self.ended[0] + 1, self.ended[1] + record.seconds
        if record.kind == "ask" and record.state == "COMPLETE":
            for name in shown(self.metrics):
                value = record.metrics.get(name)
                if value is not None and math.isfinite(value):
                    better = max if name.endswith("/pearson") else min
                    self.best[name] = better(value, self.best.get(name, value))

    def plus(self, records: Iterable[TrialRecord]) -> "Sums":
        """Those of the records too; these stay as they are."""
        both = replace(self, counts=self.counts.copy(), seconds=dict(self.seconds), best=dict(self.best))
        for record in records:
            both.add(record)
        return both


def progress(
    sums: Sums,
    total: int,
    *,
    running: Mapping[str, float] | None = None,
    workers: int = 1,
    seconds: float = 0.0,
    news: int = 0,
    message: str = "",
) -> Progress:
    """Progress from what all trials and controls come to.

    running: the trials in a worker, with the share of their epochs that is done.
    """
    running = running or {}
    done, failed, pruned = (sums.counts["ask", state] for state in ("COMPLETE", "FAIL", "PRUNED"))
    to_run = max(0, total - done - failed - pruned) + sums.counts["control", "OPEN"] - sum(running.values())
    count, spent = sums.ended
    return Progress(
        total=total,
        metrics=sums.metrics,
        done=done,
        running=len(running),
        failed=failed,
        pruned=pruned,
        controls=sums.counts["control", "COMPLETE"],
        best=sums.best,
        seconds=seconds,
        left=max(0.0, to_run) * spent / count / workers if count else None,
        trainer_seconds=sum(sums.seconds.values()),
        news=news,
        message=message,
    )


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
