"""Which stage 1 the next trial of a staged sweep goes on from: a new one, or one that is trained.

Trials that agree in all but stage 2 are children of one parent: its stage 1 is trained once. Number 0
begins the base parent, stage 1 without norm ordinality, so that every staged sweep holds the method
against it. What follows depends on the trial's number and on the trials before it, nothing else.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, pvariance
from typing import Any

import numpy as np

from dirsweep.ledger import TrialRecord
from dirsweep.search.best import objectives, undominated
from dirsweep.search.model import SweepSpec
from dirsweep.search.parts import Staged, StagedSimple


@dataclass(frozen=True)
class Decision:
    """What the next trial is: values of all but stage 2, and the reason in words.

    parent: None for a new parent, whose values are still to be asked.
    """

    parent: dict[str, Any] | None
    why: str


@dataclass
class Parent:
    """A stage 1 of the sweep and the trials that share it, the one that trained it first."""

    params: dict[str, Any]
    trials: list[TrialRecord] = field(default_factory=list)

    def values(self, spec: SweepSpec) -> list[float]:
        """First objective of its complete trials, in ask order."""
        return [objectives(spec, trial)[0] for trial in self.trials if trial.state == "COMPLETE"]


def of_stage1(name: str) -> bool:
    """Whether a searched name decides stage 1; all but stage 2's do."""
    return not name.startswith("stage2.")


def parent_params(params: dict[str, Any]) -> dict[str, Any]:
    """The part of a trial's values that decides its stage 1."""
    return {name: value for name, value in params.items() if of_stage1(name)}


class Family:
    """The asked trials of a sweep and their parents, in the order in which they came up."""

    def __init__(self) -> None:
        self.count = 0
        """How many trials there are."""
        self._parents: dict[str, Parent] = {}

    @property
    def parents(self) -> list[Parent]:
        """The stage 1s."""
        return list(self._parents.values())

    def add(self, trial: TrialRecord) -> None:
        """Enter the trial that was asked next."""
        self.count += 1
        params = parent_params(trial.params)
        self._parents.setdefault(json.dumps(params, sort_keys=True), Parent(params)).trials.append(trial)


def family(trials: Sequence[TrialRecord]) -> Family:
    """That of the asked trials."""
    found = Family()
    for trial in trials:
        found.add(trial)
    return found


def parents(trials: Sequence[TrialRecord]) -> list[Parent]:
    """The parents of the asked trials, in the order in which they came up."""
    return family(trials).parents


def base(spec: SweepSpec) -> dict[str, Any]:
    """The base parent by dotted name: beta = 0 in every phase that states its own.

    Its other knobs of stage 1 are the default configuration's.
    """
    then = spec.default_config().stage1.then
    stating = [number for number, phase in enumerate(then) if phase.norm_ordinality is not None]
    terms = ["stage1", *(f"stage1.then.{number}" for number in stating)]
    return {f"{term}.norm_ordinality.name": "none" for term in terms}


def decide(spec: SweepSpec, family: Family) -> Decision:
    """What the trial after all asked ones is."""
    mode = spec.mode
    assert isinstance(mode, Staged | StagedSimple)
    if not family.count:
        return Decision(base(spec), "the base: stage 1 without norm ordinality")
    if isinstance(mode, StagedSimple):
        return _simple(spec, mode, family.parents, family.count)
    return _adaptive(spec, mode, family.parents, family.count)


def _simple(spec: SweepSpec, mode: StagedSimple, family: list[Parent], number: int) -> Decision:
    """All parents first, then children of the best, the Pareto set before others, in turn.

    A parent that is drawn a second time uses up a place, for a small space has no more of them.
    """
    if number < mode.parents:
        return Decision(None, f"parent {number + 1} of {mode.parents}")
    complete = [trial for parent in family for trial in parent.trials if trial.state == "COMPLETE"]
    if not complete:
        return Decision(family[0].params, "no parent has a finished trial yet")
    front = {trial.trial for trial in undominated(spec.objectives, complete)}
    able = [(parent, values) for parent in family if (values := parent.values(spec))]
    able.sort(key=lambda one: (front.isdisjoint(trial.trial for trial in one[0].trials), min(one[1])))
    chosen = min((parent for parent, _ in able[: mode.best]), key=lambda parent: len(parent.trials))
    return Decision(chosen.params, f"a child of one of the best {mode.best} parents, in turn")


def _adaptive(spec: SweepSpec, mode: Staged, family: list[Parent], number: int) -> Decision:
    """A new parent or a child, each in proportion to its expected improvement per trainer-second.

    The first trials of parents are taken as draws from one normal distribution, the children of a
    parent as draws around its own mean, drawn toward that of all parents as if by one more trial.
    The expected improvement on the best value so far (Jones et al., 1998) is divided by what such a
    trial has cost: Lee et al., 2020, "Cost-aware Bayesian optimization".
    """
    able = [(parent, values) for parent in family if (values := parent.values(spec))]
    if len(able) < 2:
        return Decision(None, "too few parents have a finished trial to compare them")
    firsts = [values[0] for _, values in able]
    best = min(min(values) for _, values in able)
    mean, spread = fmean(firsts), math.sqrt(pvariance(firsts))
    within = [pvariance(values) for _, values in able if len(values) > 1]
    child_spread = math.sqrt(fmean(within)) if within else spread
    cost_new, cost_child = _costs(spec, family)
    rate_new = expected_improvement(mean, spread, best) / cost_new
    rates = []
    for _, values in able:
        centre = (sum(values) + mean) / (len(values) + 1)
        rates.append(expected_improvement(centre, child_spread, best) / cost_child)
    share = rate_new / (rate_new + max(rates)) if rate_new + max(rates) > 0 else 0.5
    share = min(max(share, mode.new_parents), 1 - mode.new_parents)
    draw = np.random.default_rng((spec.seed, number, 1))
    if draw.random() < share:
        return Decision(None, f"a new parent (chance {share:.0%} by expected improvement per second)")
    chance = np.array(rates) / sum(rates) if sum(rates) > 0 else np.full(len(able), 1 / len(able))
    chosen, _ = able[int(draw.choice(len(able), p=chance))]
    return Decision(
        chosen.params, f"a child of parent {chosen.trials[0].trial} (chance {1 - share:.0%} for a child)"
    )


def expected_improvement(mean: float, spread: float, best: float) -> float:
    """E[max(0, best - X)] of a normal X: what a draw is expected to lower `best` by."""
    if spread == 0:
        return max(0.0, best - mean)
    gap = (best - mean) / spread
    normal = NormalDist()
    return max(0.0, (best - mean) * normal.cdf(gap) + spread * normal.pdf(gap))  # rounding goes below 0


def _costs(spec: SweepSpec, family: list[Parent]) -> tuple[float, float]:
    """Mean trainer-seconds of a trial that trains its own stage 1, and of one that goes on from it.

    Before a child has finished, a child's are guessed from the default configuration's epochs.
    """
    firsts = [parent.trials[0] for parent in family if parent.trials[0].state == "COMPLETE"]
    # one whose stage 1 lay in the store counts as if it had trained it: what is there must not sway the asks
    new = [trial.seconds + trial.metrics.get("reused_seconds", 0.0) for trial in firsts]
    shared = [t.seconds for p in family for t in p.trials[1:] if t.state == "COMPLETE"]
    cost_new = max(fmean(new), 1e-9) if new else 1.0
    if shared:
        return cost_new, max(fmean(shared), 1e-9)
    config = spec.default_config()
    first = config.stage1.total_epochs
    second = config.stage2.schedule.epochs if config.stage2 else 0
    return cost_new, cost_new * max(second, 1) / (first + max(second, 1))
