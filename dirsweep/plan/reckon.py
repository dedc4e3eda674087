"""From the paces of a few configurations to what the whole sweep takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from scipy import stats

from dirsweep.data import Dataset
from dirsweep.plan.pace import Pace
from dirsweep.plan.parents import Range, parents
from dirsweep.search.model import SweepSpec
from dirsweep.search.parts import ASHA, Joint, Median, Staged
from dirsweep.search.staged import of_stage1

STATE = 3
"""Copies of the weights in a stored stage 1: the weights, and the two moments of Adam."""
EPOCH_BYTES, ROW_BYTES = 1200, 60
"""What a trial writes for an epoch (records and ledger) and for a val row (its prediction)."""
RAY_SECONDS = 8.0
"""For Ray to start and to end, beside the training."""
HANDED_SECONDS = 0.1
"""For a worker to be handed a trial, and to set it up, beside the training."""
DEFAULT_CONTROLS = 2
"""Controls that run beside the trials; the winner's come last."""
Work = list[tuple[float, float]]
"""How many runs, and the trainer-seconds of each; one entry after the other."""


@dataclass(frozen=True)
class Plan:
    """What a sweep is to take.

    paces: of the configurations that it asks first.
    trials, controls, repeats: runs; workers: how many at once, at most.
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


def reckon(
    spec: SweepSpec,
    dataset: Dataset,
    paces: Sequence[Pace],
    workers: int,
    *,
    timed: int | None = None,
    cluster: bool = False,
) -> Plan:
    """The plan for a spec, by the paces of some of its configurations; `workers` trials fit at once.

    Args:
        timed: how many configurations were timed at once; None: as many as the sweep runs.
        cluster: whether it runs elsewhere, at RAY_ADDRESS.
    """
    able = [pace for pace in paces if not pace.refused]
    trials = spec.budget.trials * len(able) / len(paces)  # the others are refused, and cost nothing
    family = parents(spec, trials)
    firsts = _mean([pace.stage1 * (1 - pace.stored) for pace in able], family[1])
    seconds = _mean([pace.stage2 for pace in able], trials)
    asked: list[Work] = [
        [(number, first * (1.0 if _only_stage2(spec) else share)), (trials, second * share)]
        for number, first, second, share in zip(family, firsts, seconds, _kept(spec), strict=True)
    ]
    controls, repeats, own = _controls(spec, able)
    done = [_until_over(spec, work, workers) for work in asked]
    whole = [(_trained(work), _wall(work, workers)) for work in asked]
    handed = _wall([(trials, HANDED_SECONDS), (controls + repeats, HANDED_SECONDS)], workers)
    low, middle, high = (trained + _trained(own) for trained, _ in done)
    wall = tuple(clock + _wall(own, workers) + handed + RAY_SECONDS for _, clock in done)
    epochs = spec.default_config().stage1.total_epochs
    weights = fmean(pace.weights for pace in able)
    each = weights + EPOCH_BYTES * epochs + ROW_BYTES * len(dataset.val.label)
    busy = min(workers, spec.budget.trials + DEFAULT_CONTROLS)
    return Plan(
        paces=paces,
        trials=spec.budget.trials,
        controls=controls,
        repeats=repeats,
        workers=busy,
        parents=family,
        seconds=(low, middle, high),
        wall=(wall[0], wall[1], wall[2]),
        disk=(trials + controls + repeats) * each + STATE * weights * family[1],
        memory=busy * max(pace.memory for pace in able),
        assumptions=_assumptions(
            spec,
            able,
            len(paces),
            cut=done != whole,
            timed=timed or workers,
            workers=workers,
            cluster=cluster,
        ),
    )


def _trained(work: Work) -> float:
    """Trainer-seconds of some work."""
    return sum(runs * each for runs, each in work)


def _wall(work: Work, workers: int) -> float:
    """Seconds by the clock: of five equal runs two workers do three rounds, and six workers one."""
    return sum(math.ceil(runs / workers) * each for runs, each in work)


def _until_over(spec: SweepSpec, work: Work, workers: int) -> tuple[float, float]:
    """Trainer-seconds of the trials and seconds by the clock, until those of the budget are over."""
    seconds = spec.budget.trainer_seconds or math.inf
    clock = 60 * (spec.budget.minutes or math.inf)
    busy = min(workers, max(1.0, *(runs for runs, _ in work)))
    return min(_trained(work), seconds, clock * busy), min(_wall(work, workers), clock, seconds / busy)


def _mean(values: Sequence[float], count: float) -> Range:
    """The mean of `count` draws of which some are known, with a 95% prediction interval (Student's t)."""
    middle = fmean(values)
    if len(values) < 2:
        return middle, middle, middle
    spread = pstdev(values) * math.sqrt(len(values) / (len(values) - 1))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * spread * math.sqrt(1 / len(values) + 1 / count)
    return max(middle - reach, min(values)), middle, min(middle + reach, max(values))


def _only_stage2(spec: SweepSpec) -> bool:
    """Whether a scheduler stops trials in stage 2 alone, for what trials share is no ground to stop one."""
    return not isinstance(spec.mode, Joint)


def _kept(spec: SweepSpec) -> Range:
    """Share of the epochs that a scheduler lets run: at the least, in the middle, at most."""
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


def _controls(spec: SweepSpec, able: Sequence[Pace]) -> tuple[int, int, Work]:
    """How many controls and repeats are run, and their work.

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
    again = min(spec.repeats.top, spec.budget.trials) * (spec.repeats.seeds - 1)
    defaults = [(len(stage1s), first), (mu0.stage2 is not None, second)]
    return number, again, [*defaults, (again, first + second), (tuned, first), (termed, second)]


def _assumptions(
    spec: SweepSpec,
    able: Sequence[Pace],
    sampled: int,
    *,
    cut: bool,
    timed: int,
    workers: int,
    cluster: bool,
) -> list[str]:
    said = [
        f"the other trials cost as the {len(able)} that were timed, within the spread of these",
        "steps take as long later as the few that were timed, at as many at once as the sweep runs"
        if timed == workers
        else f"steps take as long with {workers} trials at once as the few that were timed, {timed} at once",
    ]
    if (processes := spec.default_config().processes) > 1:
        said.append(
            f"the {processes} processes of a trial take as long together, and as much memory, as the one "
            "that was timed; for Ray Train to start them, perhaps half a minute a trial, is not counted"
        )
    if cluster:
        said.append(
            "a machine of the cluster at RAY_ADDRESS takes as long as this one, where they were timed"
        )
    if parents(spec, spec.budget.trials)[1] < spec.budget.trials:
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
        said.append(
            f"{sampled - len(able)} of the {sampled} cannot be trained, and cost nothing; so it is with as "
            "large a share of the others"
        )
    return said
