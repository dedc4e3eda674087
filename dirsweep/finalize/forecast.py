"""What a verdict would take, from val results alone: trains nothing, opens nothing.

A sweep has one seed of everything, and one seed shows no spread over seeds. So this tells how many seeds a
difference needs once runs of two fresh seeds are there (`finalize --no-open` trains them), and until then
what it costs to find out. A base that is still to be tuned is left out, and that is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from statistics import fmean
from typing import cast

import numpy as np
import pandas as pd

from dirsweep.data import Dataset
from dirsweep.finalize import training, tuned
from dirsweep.finalize.plan import Comparison, Plan, Row
from dirsweep.finalize.prepare import Settings, checked_data, make_plan, sampled
from dirsweep.finalize.text import bullets, counted, table, wrapped
from dirsweep.finalize.training import Run
from dirsweep.intervals import LEVEL, MIN_SEEDS, SeedsNeeded, Statistic, seeds_needed
from dirsweep.ledger import TrialRecord
from dirsweep.report import SweepReport, load
from dirsweep.report.numbers import duration, written
from dirsweep.search.model import SweepSpec
from dirsweep.shots import Floats
from dirsweep.storage import Folder, Place
from dirsweep.sweep import lock

PILOT = 2
"""Seeds that show a spread over seeds; five show it well."""
TUNED = "tuned-base"
UNKNOWN, NEVER, MORE = "unknown", "never", "over 10,000"


def forecast(sweep: Place, settings: Settings) -> str:
    """How many seeds would tell each observed difference from zero, and what they cost, as Markdown.

    Raises ValueError as `finalize` does before it trains.
    """
    sweep = Folder(sweep)
    holder = lock.holder(sweep)
    if holder is not None:
        raise ValueError(f"{sweep}: a driver runs this sweep ({holder}); wait until it ends")
    report = load(sweep)
    dataset = checked_data(report)
    base = tuned.base_spec(report)
    place = sweep / tuned.FOLDER
    to_tune = base is not None and not tuned.ended(base, place)
    tuned_base = _still_to_tune(base) if base and to_tune else tuned.tuned_base(report, base, place)
    plan = make_plan(report, dataset, settings, tuned_base, to_tune=to_tune)
    trained = training.trained(plan.rows, sweep)
    told = {row.hash: _told_by(row, report, place) for row in plan.rows}
    costs = row_costs(plan.rows, told, trained)
    levels = _levels(plan, sampled(dataset), to_tune=to_tune)
    rows = [
        _row(report, dataset, plan, Comparison(plan.finalists[0], control, shot), levels, costs, trained)
        for control in plan.controls
        for shot in sampled(dataset)
    ]
    lines = [
        f"{plan.finalists[0].label} is the best of {counted(len(report.ranked), 'trial')}. What is said here "
        "rests on val, which chose it: differences on test will rather be smaller, and need more seeds.",
        _cost(settings.seeds, plan, costs, trained),
        *plan.left_out,
    ]
    if any(row[4] == UNKNOWN for row in rows):
        lines.append(
            "Runs of fewer than two fresh seeds show no spread over seeds, so how many it takes is "
            f"unknown. `dirsweep finalize {sweep} --seeds {PILOT} --no-open` trains {PILOT} of each, takes "
            f"about {duration(_further(PILOT, costs, trained))} of training and leaves test sealed; then ask "
            "again."
        )
    heads = ("against", "shot", "difference on val", "seeds so far", "even chance", "8 in 10", "costs")
    parts = [f"# What a verdict on {sweep.name} would take", bullets(lines)]
    if rows:
        parts += [table(heads, rows, left={0, 1, 4, 5}), wrapped(_note(levels))]
    return "\n\n".join(parts) + "\n"


def _still_to_tune(base: SweepSpec) -> str:
    """Why the tuned base is left out, and what it would take."""
    seconds = base.budget.trainer_seconds
    cost = f"up to the sweep's own {duration(seconds)} of training" if seconds else "a sweep of its own"
    return f"the base is to be tuned first, which takes {cost}, and then to be trained with every seed"


@dataclass(frozen=True)
class Levels:
    """What level an interval must have: that of the primary comparison, or of the `count` others."""

    primary: Comparison
    count: int

    def of(self, one: Comparison) -> float:
        """As the smallest p-value is adjusted by Holm: the error of 5% is shared by all but the primary."""
        return LEVEL if one.identity == self.primary.identity else 1 - (1 - LEVEL) / max(1, self.count)


def _levels(plan: Plan, shots: Sequence[str], *, to_tune: bool) -> Levels:
    """The levels of a plan's comparisons in the shots that val has samples of."""
    known = {one.identity for one in plan.comparisons if one.shot in shots} - {plan.primary.identity}
    tuned_base = len(plan.finalists) * len(shots) if to_tune else 0
    if to_tune and plan.primary.theirs.name == TUNED:
        tuned_base -= 1
    return Levels(plan.primary, len(known) + tuned_base)


def _note(levels: Levels) -> str:
    """What the columns of the table mean."""
    return (
        "Even chance, 8 in 10: fresh seeds with which the interval of a difference as large as this, and as "
        f"scattered, would exclude 0 so often (at least {MIN_SEEDS}); never: the samples alone leave more "
        f"open than the difference. * is the primary comparison, of an interval of {LEVEL:.0%}. The other "
        f"{levels.count} are adjusted for one another: the error of {1 - LEVEL:.0%} is shared by them, as "
        "Holm does for the smallest p, so that the seeds are rather too many. Costs: training of all "
        "configurations with the seeds for an even chance, beside what is trained."
    )


def row_costs(
    rows: Sequence[Row], told: Mapping[str, TrialRecord], trained: Sequence[Run]
) -> dict[str, float]:
    """Trainer-seconds of one seed of each row, by its hash.

    What its runs took, where there are any. Else its epochs of each stage at that stage's pace in a trial of
    the sweep; a stage 1 that several rows share is counted with the first of them.

    Args:
        told: the trial whose pace a row has, by the row's hash.
    """
    seen = set()
    costs = {}
    for row in rows:
        shared = row.config.model_dump_json(exclude={"stage2", "seed"})
        first, second = paces(told[row.hash])
        epochs = row.config.stage2.schedule.epochs if row.config.stage2 else 0
        ran = [run.metrics["seconds"] for run in trained if run.row.hash == row.hash]
        own = 0 if shared in seen else row.config.stage1.total_epochs
        costs[row.hash] = fmean(ran) if ran else second * epochs + first * own
        seen.add(shared)
    return costs


def paces(trial: TrialRecord) -> tuple[float, float]:
    """Seconds of an epoch of stage 1 and of stage 2 in a complete trial.

    Where it has one stage alone, or the ledger has none of its epochs, one pace for both.
    """
    reused = trial.metrics.get("reused_seconds", 0.0)
    stage1 = [report for report in trial.reports if report["stage"] != "stage2"]
    epochs = {"all": int(trial.metrics["epochs"]), "stage1": max((one["epoch"] for one in stage1), default=0)}
    whole = (trial.seconds + reused) / epochs["all"]
    later = epochs["all"] - epochs["stage1"]
    if not stage1 or not later:
        return whole, whole
    until = stage1[-1]["seconds"]
    return (until + reused) / epochs["stage1"], (trial.seconds - until) / later


def _told_by(row: Row, report: SweepReport, tuned_base: Folder) -> TrialRecord:
    """The trial whose pace a row has: its own, that of the base's search, or the winner's."""
    if row.name == TUNED:
        found = load(tuned_base)
        return found.trials[found.ranked[0].trial]
    return report.trials.get(row.name, report.trials[report.ranked[0].trial])


def _cost(seeds: int, plan: Plan, costs: dict[str, float], trained: Sequence[Run]) -> str:
    have = f", of which {counted(len(trained), 'run')} are there" if trained else ""
    return (
        f"{counted(seeds, 'fresh seed')} of {counted(len(plan.rows), 'configuration')} are "
        f"{counted(seeds * len(plan.rows), 'run')}{have}, and take about "
        f"{duration(_further(seeds, costs, trained))} of training more."
    )


def _further(seeds: int, costs: dict[str, float], trained: Sequence[Run]) -> float:
    """Trainer-seconds to have `seeds` of every row, beside the runs that are there."""
    have = {row: sum(run.row.hash == row for run in trained) for row in costs}
    return sum(cost * max(0, seeds - have[row]) for row, cost in costs.items())


def _row(
    report: SweepReport,
    dataset: Dataset,
    plan: Plan,
    one: Comparison,
    levels: Levels,
    costs: dict[str, float],
    trained: Sequence[Run],
) -> tuple[str, ...]:
    """A line of the table: the winner against one control in one shot."""
    place = one.theirs.label, f"{one.shot}{' *' if one.identity == plan.primary.identity else ''}"
    ours, theirs = (_by_seed(row, trained) for row in (one.ours, one.theirs))
    common = [seed for seed in ours if seed in theirs]
    if len(common) < PILOT:
        difference = _in_the_sweep(report, one.ours, one.theirs, f"val/{one.shot}/{plan.metrics[0]}")
        known = written(difference) if difference is not None else "not run yet"
        return *place, known, "1" if difference is not None else "0", UNKNOWN, UNKNOWN, "-"
    mask = dataset.shots.masks[one.shot][dataset.val.bin]
    error, other = (np.stack([_val_error(side[seed]) for seed in common])[:, mask] for side in (ours, theirs))
    needed = seeds_needed(
        error,
        other,
        cast(Statistic, plan.metrics[0]),
        clusters=dataset.val.group[mask],
        level=levels.of(one),
    )
    cost = "-" if needed.seeds is None else duration(_further(needed.seeds, costs, trained))
    return (
        *place,
        written(needed.difference),
        str(len(common)),
        *_in_words(needed),
        cost,
    )


def _in_words(needed: SeedsNeeded) -> tuple[str, str]:
    """Seeds for an even chance and for eight in ten."""
    even, often = (
        str(seeds) if seeds is not None else NEVER if abs(needed.difference) <= limit else MORE
        for seeds, limit in (
            (needed.seeds, needed.limit),
            (needed.seeds_for_80, needed.limit_for_80),
        )
    )
    return even, often


def _by_seed(row: Row, trained: Sequence[Run]) -> dict[int, Run]:
    return {run.seed: run for run in trained if run.row.hash == row.hash}


def _val_error(run: Run) -> Floats:
    """(N,) signed errors of a trained run on val."""
    table = pd.read_csv(BytesIO(run.folder.read("val_predictions.csv")))
    return (table["prediction"] - table["target"]).to_numpy(dtype=np.float64)


def _in_the_sweep(report: SweepReport, winner: Row, control: Row, metric: str) -> float | None:
    """The difference of the one seed that the sweep ran, if it ran both."""
    theirs = report.trials.get(f"{winner.name}-{control.name}")
    if theirs is None or theirs.state != "COMPLETE":
        return None
    return report.trials[winner.name].metrics[metric] - theirs.metrics[metric]
