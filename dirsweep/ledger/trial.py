"""What the records say of each trial and control."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from dirsweep.kinds import State
from dirsweep.storage import Record

SEED = "seed"
"""How the control of a repeat begins; then comes the number of the seed, from 2 on."""


@dataclass
class TrialRecord:
    """What the ledger knows of one trial or control."""

    trial: str
    """Its number as text, or a control's name; also the name of its folder below `trials/`."""
    kind: Literal["ask", "control"]
    params: dict[str, Any]
    """Searched values by dotted name."""
    of: str = ""
    """For a control: the trial it belongs to, or "default"."""
    control: str = ""
    """For a control: which one, "plain" or "mu0"; "seed2", "seed3" ... for a repeat of the trial `of`."""
    attrs: dict[str, Any] = field(default_factory=dict)
    """What the sampler wants back at replay."""
    attempts: int = 0
    """How often it was handed out."""
    epoch: int = 0
    """The last epoch that was reported or told; 0 before the first."""
    reports: list[Record] = field(default_factory=list)
    """One record for each reported epoch, in order."""
    state: State = "OPEN"
    metrics: dict[str, float] = field(default_factory=dict)
    """The final metrics once told, before that those of the last report."""
    seconds: float = 0.0
    """Trainer-seconds."""
    reason: str = ""
    """Why it failed or was pruned."""
    notes: list[str] = field(default_factory=list)
    """What its attempts warned of, as a damaged checkpoint that was passed over."""
    run_id: str = ""
    """Its id at the tracking server."""
    begun: float = 0.0
    """Unix seconds at which a worker first took it up; 0 before that."""
    ended: float = 0.0
    """Unix seconds at which it was told; 0 before that."""
    forked_from: str = ""
    """The trial whose stored stage 1 it went on from, as "all-1/3", by what its sweep was called then."""
    forked_at: float = 0.0
    """Unix seconds at which that stage 1 was stored; 0 where earlier versions did not say."""

    @property
    def is_repeat(self) -> bool:
        """Whether it is a trial's configuration with another seed."""
        return self.control.startswith(SEED)


def trials(records: Iterable[Record]) -> dict[str, TrialRecord]:
    """Fold records into one `TrialRecord` per trial and control, in the order they were asked.

    The first word counts: a report of an epoch that was reported already, a report after the tell
    and a second tell are ignored. (A worker may outlive its driver by seconds, so they can come.)
    `Ledger.open` has seen to it that every trial was asked.
    """
    found: dict[str, TrialRecord] = {}
    fold(found, records)
    return found


def fold(found: dict[str, TrialRecord], records: Iterable[Record]) -> None:
    """Let records that follow change what `trials` found in those before them."""
    for record in records:
        _fold(found, record)


def _fold(found: dict[str, TrialRecord], record: Record) -> None:
    kind, name = record["kind"], record.get("trial", "")
    if kind in ("open", "warm", "budget", "end", "opening") or (kind == "run" and not name):
        return
    if kind in ("ask", "control"):
        fresh = TrialRecord(
            name,
            kind,
            record["params"],
            record.get("of", ""),
            record.get("control", ""),
            record.get("attrs", {}),
        )
        found.setdefault(name, fresh)
        return
    trial = found[name]
    if kind == "start":
        trial.attempts = max(trial.attempts, record["attempt"])
        trial.begun = trial.begun or record["time"]
    elif kind == "note":
        trial.notes.append(record["text"])
    elif kind == "run":
        trial.run_id = trial.run_id or record["id"]
    elif kind == "report" and trial.state == "OPEN" and record["epoch"] > trial.epoch:
        trial.reports.append(record)
        trial.epoch, trial.seconds, trial.metrics = record["epoch"], record["seconds"], record["metrics"]
        if not trial.forked_from:
            trial.forked_from, trial.forked_at = record.get("forked_from", ""), record.get("forked_at", 0.0)
    elif kind == "tell" and trial.state == "OPEN":
        trial.state, trial.metrics = record["state"], record["metrics"]
        trial.epoch, trial.seconds, trial.reason = record["epoch"], record["seconds"], record["reason"]
        trial.ended = record["time"]
