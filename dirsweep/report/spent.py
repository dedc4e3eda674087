"""What a sweep spent, and what it saved by training each stage 1 once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dirsweep.ledger import TrialRecord
from dirsweep.report.numbers import duration
from dirsweep.search.staged import parents
from dirsweep.storage import Record


@dataclass(frozen=True)
class Spent:
    """Costs of a sweep, controls included.

    reused_seconds: what the stage 1s that complete trials forked from took when they were trained. A
        trial that was pruned or failed is not counted, so a plain sweep would have spent this much more
        at least.
    parents: distinct stage 1s of the asked trials, and children: the trials that share one with an earlier.
    reasons: of a staged sweep, how many trials began for each kind of reason; empty in joint mode.
    """

    trainer_seconds: float
    reused_seconds: float
    parents: int
    children: int
    reasons: Mapping[str, int]


def spent(trials: Sequence[TrialRecord], records: Sequence[Record]) -> Spent:
    """The costs of a sweep by its trials and its ledger's records."""
    asked = [trial for trial in trials if trial.kind == "ask"]
    family = len(parents(asked))
    why = Counter(_kind(record["why"]) for record in records if record["kind"] == "ask" and "why" in record)
    return Spent(
        sum(trial.seconds for trial in trials),
        sum(trial.metrics.get("reused_seconds", 0.0) for trial in trials if trial.state == "COMPLETE"),
        family,
        len(asked) - family,
        dict(why),
    )


def in_words(found: Spent) -> str:
    """A line on it; "" where nothing was shared."""
    said = []
    if found.reasons:
        kinds = ", ".join(_counted(count, kind) for kind, count in found.reasons.items())
        number = found.parents + found.children
        said.append(f"{_counted(found.parents, 'stage 1')} for {_counted(number, 'trial')} ({kinds})")
    if found.reused_seconds or found.reasons:
        plain = duration(found.trainer_seconds + found.reused_seconds)
        said.append(f"a plain sweep would have spent at least {plain} of training")
    line = "; ".join(said)
    return line[:1].upper() + line[1:]


def _kind(why: str) -> str:
    """A reason of `search.staged` in few words."""
    if why.startswith("the base"):
        return "base"
    return "child" if why.startswith(("a child", "no parent")) else "new parent"


def _counted(count: int, noun: str) -> str:
    """ "1 child", "2 children"."""
    many = {"child": "children", "base": "base"}.get(noun, f"{noun}s")
    return f"{count} {noun if count == 1 else many}"
