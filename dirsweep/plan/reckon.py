"""From the paces of a few configurations to what the whole sweep takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from scipy import stats

from dirsweep.data import Dataset
from dirsweep.plan.pace import Pace
from dirsweep.search.distribution import Choice, Distribution, Int, Log, Uniform
from dirsweep.search.model import SweepSpec
from dirsweep.search.parts import ASHA, Joint, Median, Staged, StagedSimple
from dirsweep.search.staged import of_stage1

STATE = 3
"""Copies of the weights in a stored stage 1: the weights, and the two moments of Adam."""
EPOCH_BYTES, ROW_BYTES = 1200, 60
"""What a trial writes for an epoch (records and ledger) and for a val row (its prediction)."""
RAY_SECONDS = 8.0
"""For Ray to start and to end, beside the training."""
Range = tuple[float, float, float]
"""Low, middle, high."""


@dataclass(frozen=True)
class Plan:
    """What a sweep is to take.

    paces: of the configurations that it asks first.
    trials, controls, repeats: runs; workers: how many at once.
    parents: distinct stage 1s of the trials.
    seconds: trainer-seconds, controls included; wall: seconds by the clock.
    disk, memory: bytes, in all.
    assumptions: what the range of the seconds rests on, a phrase each.
    """

    paces: Sequence[Pace]
    trials: int
    controls: int
    repeats: int
    workers: int
    parents: Range
    seconds: Range
    wall: Range
    disk: float
    memory: float
    assumptions: Sequence[str]


def reckon(spec: SweepSpec, dataset: Dataset, paces: Sequence[Pace], workers: int) -> Plan:
    """The plan for a spec, by the paces of some of its configurations."""
    able = [pace for pace in paces if not pace.refused]
    trials = spec.budget.trials
    family = _parents(spec, trials)
    firsts = [pace.stage1 * (1 - pace.stored) for pace in able]
    seconds = [pace.stage2 for pace in able]
    stages = (_mean(firsts, family[1]), _mean(seconds, trials))
    asked = [number * first + trials * second for number, first, second in zip(family, *stages, strict=True)]
    asked = [value * share for value, share in zip(asked, _kept(spec), strict=True)]
    cap = min(spec.budget.trainer_seconds or math.inf, 60 * workers * (spec.budget.minutes or math.inf))
    controls, repeats, own = _controls(spec, able)
    low, middle, high = (min(value, cap) + own for value in asked)
    epochs = spec.default_config().stage1.total_epochs
    weights = fmean(pace.weights for pace in able)
    each = weights + EPOCH_BYTES * epochs + ROW_BYTES * len(dataset.val.label)
    return Plan(
        paces=paces,
        trials=trials,
        controls=controls,
        repeats=repeats,
        workers=workers,
        parents=family,
        seconds=(low, middle, high),
        wall=(low / workers + RAY_SECONDS, middle / workers + RAY_SECONDS, high / workers + RAY_SECONDS),
        disk=(trials + controls + repeats) * each + STATE * weights * family[1],
        memory=workers * max(pace.memory for pace in able),
        assumptions=_assumptions(spec, able, len(paces), cut=cap < asked[2]),
    )


def _parents(spec: SweepSpec, trials: int) -> Range:
    """How many stage 1s are trained; an adaptive search may take anything between its two floors.

    Trials of a joint sweep that agree in stage 1 share it too, by the store: all of them where nothing of
    it is searched.
    """
    match spec.mode:
        case StagedSimple(parents=parents):
            number = float(min(parents, trials))
            return number, number, number
        case Staged(new_parents=floor):
            further = trials - 1
            return (
                1 + further * floor,
                1 + further * math.sqrt(floor * (1 - floor)),
                1 + further * (1 - floor),
            )
    values = math.prod(_values(found) for name, found in spec.searched.items() if of_stage1(name))
    if values == math.inf:
        return float(trials), float(trials), float(trials)
    different = values * (1 - (1 - 1 / values) ** trials)  # expected of as many random draws
    return 1.0, different, float(min(values, trials))


def _values(distribution: Distribution) -> float:
    """How many values may be asked."""
    match distribution:
        case Choice(values=values):
            return len(values)
        case Int(ends=(low, high), step=step):
            return (high - low) // step + 1
        case Uniform(ends=(low, high), step=float(step)):
            return round((high - low) / step) + 1
        case Uniform() | Log():
            return math.inf


def _mean(values: Sequence[float], count: float) -> Range:
    """The mean of `count` draws of which some are known, with a 95% prediction interval (Student's t)."""
    middle = fmean(values)
    if len(values) < 2:
        return middle, middle, middle
    spread = pstdev(values) * math.sqrt(len(values) / (len(values) - 1))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * spread * math.sqrt(1 / len(values) + 1 / count)
    return max(middle - reach, min(values)), middle, min(middle + reach, max(values))


def _kept(spec: SweepSpec) -> Range:
    """Share of all epochs that a scheduler lets run: at the least, in the middle, at most."""
    match spec.scheduler:
        case ASHA(rungs=rungs, reduction=reduction):
            ends = [*rungs, 1.0]
            parts = [high - low for low, high in zip([0.0, *rungs], ends, strict=True)]
            low = sum(part / reduction**place for place, part in enumerate(parts))
        case Median(warmup=warmup):
            low = (1 + warmup) / 2
        case _:
            low = 1.0
    return low, (1 + low) / 2, 1.0


def _controls(spec: SweepSpec, able: Sequence[Pace]) -> tuple[int, int, float]:
    """How many controls and repeats are run, and their trainer-seconds.

    A control that equals another run takes its numbers, and one whose stage 1 is another's goes on from it.
    """
    default = spec.default_config()
    plain, mu0 = default.plain(), default.without_norm_term()
    configs = [spec.config(dict(pace.params)) for pace in able]
    first, second = fmean(pace.stage1 for pace in able), fmean(pace.stage2 for pace in able)
    tuned = any(config.plain() != plain for config in configs)
    termed = any(config.without_norm_term() != config for config in configs)
    stage1s = [plain.stage1, *([mu0.stage1] if mu0.stage1 != plain.stage1 else [])]
    if not isinstance(spec.mode, Joint):
        stage1s.remove(plain.stage1)  # the base parent's
    elif not any(map(of_stage1, spec.searched)):
        stage1s.remove(default.stage1)  # that of all trials
    number = 1 + (mu0 != plain) + tuned + termed
    cost = (len(stage1s) + tuned) * first + ((mu0.stage2 is not None) + termed) * second
    again = min(spec.repeats.top, spec.budget.trials) * (spec.repeats.seeds - 1)
    return number, again, cost + again * (first + second)


def _assumptions(spec: SweepSpec, able: Sequence[Pace], sampled: int, *, cut: bool) -> list[str]:
    said = [
        f"the other trials cost as the {len(able)} that were timed, within the spread of these",
        "steps take as long later as the few that were timed, at as many at once as the sweep runs",
    ]
    if _parents(spec, spec.budget.trials)[1] < spec.budget.trials:
        said.append("stage 1s that trials share are trained once")
    if isinstance(spec.mode, Staged):
        said.append("how many stage 1s is for the search to decide, between the floors of its mode")
    if any(pace.stored for pace in able):
        said.append("the store holds as much of the other stage 1s as of those that were looked up")
    if _kept(spec)[0] < 1:
        said.append("the range's low end is where the scheduler stops as many trials as it may")
    if cut:
        said.append("the budget's seconds or minutes end the sweep before its trials are used up")
    if len(able) < sampled:
        said.append(f"{sampled - len(able)} of the {sampled} cannot be trained, and cost nothing")
    return said
