"""Rank finished trials. The winner is the feasible one that is best by the *first* objective.

Further objectives break ties and span the Pareto set, which is shown beside the winner.
"""

from collections.abc import Mapping, Sequence

from dirsweep.ledger import TrialRecord
from dirsweep.search.constraints import constraint_values
from dirsweep.search.model import SweepSpec


def ranked(spec: SweepSpec, trials: Mapping[str, TrialRecord]) -> list[TrialRecord]:
    """Complete, feasible trials (no controls), best first: the first objective decides.

    Ties go by the further objectives in order, then by the trial's number.

    Raises:
        ValueError: a constraint is relative to a control that has no such result.
    """
    complete = [trial for trial in trials.values() if trial.kind == "ask" and trial.state == "COMPLETE"]
    return sorted(
        (trial for trial in complete if feasible(spec, trial, trials)),
        key=lambda trial: (*objectives(spec, trial), int(trial.trial)),
    )


def pareto(spec: SweepSpec, trials: Mapping[str, TrialRecord]) -> list[TrialRecord]:
    """The ranked trials that no other ranked one beats: nowhere worse and somewhere better."""
    return undominated(spec, ranked(spec, trials))


def undominated(spec: SweepSpec, complete: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The complete trials that no other one of them beats, in their order."""
    values = [objectives(spec, trial) for trial in complete]
    return [
        trial
        for trial, mine in zip(complete, values, strict=True)
        if not any(_dominates(other, mine) for other in values)
    ]


def feasible(spec: SweepSpec, trial: TrialRecord, trials: Mapping[str, TrialRecord]) -> bool:
    """Whether a complete trial keeps every constraint."""
    return all(value <= 0 for value in constraint_values(spec, trial.metrics, trials).values())


def objectives(spec: SweepSpec, trial: TrialRecord) -> tuple[float, ...]:
    """A complete trial's objective values, in the spec's order."""
    return tuple(trial.metrics[metric] for metric in spec.objectives)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
