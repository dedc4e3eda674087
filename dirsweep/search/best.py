"""Rank finished trials. The winner is the feasible one that is best by the *first* objective.

Further objectives break ties and span the Pareto set, which is shown beside the winner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from dirsweep.ledger import TrialRecord
from dirsweep.search.constraints import constraint_values
from dirsweep.search.model import SweepSpec

ROUNDING = 1e-9
"""Share of the Pareto set's span below which two sums are equal."""


def ranked(spec: SweepSpec, trials: Mapping[str, TrialRecord]) -> list[TrialRecord]:
    """Complete, feasible trials (no controls), best first: the first objective decides.

    With `repeats`, a trial that is complete with all its seeds comes before every other: one seed's best
    figure is optimistic for having been the best. Its metrics are the means over its seeds, and by these
    it is ranked and held against the constraints; where no such trial keeps them, the best of the others
    leads, and the report says so. Ties go by the further objectives in order, then by the trial's number.

    Raises:
        ValueError: a constraint is relative to a control that has no such result.
    """
    seeds = _all_seeds(trials)
    means = [_mean(trials[name], runs) for name, runs in seeds.items()]
    return sorted(
        (trial for trial in means if feasible(spec, trial, trials)),
        key=lambda trial: (
            len(seeds[trial.trial]) < spec.repeats.seeds,
            *objectives(spec, trial),
            int(trial.trial),
        ),
    )


def promising(spec: SweepSpec, trials: Mapping[str, TrialRecord]) -> list[TrialRecord]:
    """The trials that `repeats` runs with further seeds: the best by their first, the Pareto set first.

    Raises:
        ValueError: a constraint is relative to a control that has no such result.
    """
    able = [trial for trial in _complete(trials) if feasible(spec, trial, trials)]
    able.sort(key=lambda trial: (*objectives(spec, trial), int(trial.trial)))
    front = {trial.trial for trial in undominated(spec.objectives, able)}
    return sorted(able, key=lambda trial: trial.trial not in front)[: spec.repeats.top]


def complete_seeds(trial: TrialRecord, trials: Mapping[str, TrialRecord]) -> list[TrialRecord]:
    """A complete trial and its complete repeats."""
    again = [other for other in trials.values() if other.of == trial.trial and other.is_repeat]
    return [trial, *(other for other in again if other.state == "COMPLETE")]


def _all_seeds(trials: Mapping[str, TrialRecord]) -> dict[str, list[TrialRecord]]:
    """By complete trial, what `complete_seeds` gives; in one pass, for a sweep may have 10,000 trials."""
    found = {trial.trial: [trial] for trial in _complete(trials)}
    for other in trials.values():
        if other.is_repeat and other.state == "COMPLETE" and other.of in found:
            found[other.of].append(other)
    return found


def _complete(trials: Mapping[str, TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials.values() if trial.kind == "ask" and trial.state == "COMPLETE"]


def _mean(trial: TrialRecord, seeds: Sequence[TrialRecord]) -> TrialRecord:
    """The trial with the mean of each metric that all its seeds have."""
    if len(seeds) == 1:
        return trial
    common = [name for name in trial.metrics if all(name in one.metrics for one in seeds)]
    return replace(trial, metrics={name: fmean(one.metrics[name] for one in seeds) for name in common})


def pareto(spec: SweepSpec, trials: Mapping[str, TrialRecord]) -> list[TrialRecord]:
    """The ranked trials that no other ranked one beats: nowhere worse and somewhere better.

    With `repeats`, among those with all their seeds, where there are any: a mean is not held against the
    figure of one seed.
    """
    return undominated(spec.objectives, pool(spec, ranked(spec, trials), trials))


def pool(
    spec: SweepSpec, able: Sequence[TrialRecord], trials: Mapping[str, TrialRecord]
) -> Sequence[TrialRecord]:
    """Of the ranked trials those that may be on the front: all their seeds, or one seed each."""
    seeds = _all_seeds(trials)
    whole = [one for one in able if len(seeds[one.trial]) >= spec.repeats.seeds]
    return whole or able


def undominated(names: Sequence[str], complete: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The complete trials that no other one of them beats in these metrics, in their order.

    Of trials that are alike in all of them each stays.
    """
    values = [tuple(trial.metrics[name] for name in names) for trial in complete]
    front: list[tuple[float, ...]] = []
    for mine in sorted(set(values)):  # what beats it comes before it, or is beaten by one that does
        if not any(_dominates(other, mine) for other in front):
            front.append(mine)
    kept = set(front)
    return [trial for trial, mine in zip(complete, values, strict=True) if mine in kept]


def knee(spec: SweepSpec, trials: Mapping[str, TrialRecord]) -> TrialRecord | None:
    """The Pareto trial that gives up least: where a bit less of one objective costs much of another.

    The rule: scale each objective to 0 at the Pareto set's best and 1 at its worst; the knee has the
    smallest sum. With two objectives that is the trial farthest from the line between the two extreme
    ones. An objective in which all of them agree does not count. A tie goes as in `ranked`.

    Returns:
        None with one objective, with nothing between the extremes, or where none sums to less than
        every extreme trial: then the front bends nowhere inward.

    Raises:
        ValueError: a constraint is relative to a control that has no such result.
    """
    front = pareto(spec, trials)
    if len(spec.objectives) < 2 or not front:
        return None
    columns = list(zip(*(objectives(spec, trial) for trial in front), strict=True))
    scaled = [
        [(value - min(column)) / (max(column) - min(column)) for value in column]
        for column in columns
        if max(column) > min(column)
    ]
    points = list(zip(*scaled, strict=True))  # a trial each
    if not points:
        return None
    sums = [sum(point) for point in points]
    place = sums.index(min(sums))
    extremes = [total for point, total in zip(points, sums, strict=True) if 0 in point]
    return front[place] if sums[place] < min(extremes) - ROUNDING else None


def feasible(spec: SweepSpec, trial: TrialRecord, trials: Mapping[str, TrialRecord]) -> bool:
    """Whether a complete trial keeps every constraint."""
    return all(value <= 0 for value in constraint_values(spec, trial.metrics, trials).values())


def objectives(spec: SweepSpec, trial: TrialRecord) -> tuple[float, ...]:
    """A complete trial's objective values, in the spec's order."""
    return tuple(trial.metrics[metric] for metric in spec.objectives)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
