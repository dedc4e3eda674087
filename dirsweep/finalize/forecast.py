"""What a verdict would take, from val results alone: trains nothing, opens nothing.

A sweep has one seed of everything, and one seed shows no spread over seeds. So this tells how many seeds a
difference needs once runs of two fresh seeds are there (`finalize --no-open` trains them), and until then
what it costs to find out.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from dirsweep.data import Dataset
from dirsweep.finalize import training, tuned
from dirsweep.finalize.plan import Plan, Row, finalists
from dirsweep.finalize.prepare import Settings, check_primary, checked_data, make_plan, sampled
from dirsweep.finalize.text import bullets, counted, table, wrapped
from dirsweep.finalize.training import Run
from dirsweep.intervals import MIN_SEEDS, Statistic, seeds_needed
from dirsweep.ledger import TrialRecord
from dirsweep.report import SweepReport, load
from dirsweep.report.numbers import duration, written
from dirsweep.shots import Floats
from dirsweep.sweep import lock

PILOT = 2
"""Seeds that show a spread over seeds; five show it well."""
UNKNOWN = "unknown"


def forecast(sweep: Path, settings: Settings) -> str:
    """How many seeds would tell each observed difference from zero, and what they cost, as Markdown.

    Raises ValueError as `finalize` does before it trains.
    """
    holder = lock.holder(sweep)
    if holder is not None:
        raise ValueError(f"{sweep}: a driver runs this sweep ({holder}); wait until it ends")
    report = load(sweep)
    winner = finalists(report, settings.top)[0]
    dataset = checked_data(report)
    base = tuned.base_spec(report)
    to_tune = base is not None and not tuned.ended(base, sweep / tuned.FOLDER)
    check_primary(settings, winner, dataset, may_tune=base is not None)
    any_primary = replace(settings, primary=None)
    plan = make_plan(report, dataset, any_primary, tuned.tuned_base(report, base, sweep / tuned.FOLDER))
    trained = training.trained(plan.rows, sweep)
    costs = row_costs(plan.rows, report.trials[report.ranked[0].trial])
    lines = [
        f"{plan.finalists[0].label} is the best of {counted(len(report.ranked), 'trial')}. What is said here "
        "rests on val, which chose it: differences on test will rather be smaller, and need more seeds.",
        _cost(settings.seeds, plan, costs, trained),
    ]
    lines += plan.left_out
    if to_tune:
        spent = sum(trial.seconds for trial in report.asked)
        lines.append(
            f"Not counted: the base is to be tuned first, which takes up to the sweep's own "
            f"{duration(spent)} of training, and then the tuned base to be trained with every seed."
        )
    rows = [
        _row(report, dataset, plan, control, shot, costs, trained)
        for control in plan.controls
        for shot in sampled(dataset)
    ]
    if any(row[4] == UNKNOWN for row in rows):
        pilot = sum(costs.values()) * PILOT
        lines.append(
            "The sweep has one seed of each, which shows no spread over seeds, so how many it takes is "
            f"unknown. `dirsweep finalize {sweep} --seeds {PILOT} --no-open` trains {PILOT} of each, takes "
            f"about {duration(pilot)} of training and leaves test sealed; then ask again."
        )
    heads = ("against", "shot", "difference on val", "seeds so far", "even chance", "8 in 10", "costs")
    note = (
        "Even chance, 8 in 10: fresh seeds with which the interval of a difference as large as this, and as "
        f"scattered, would exclude 0 so often (at least {MIN_SEEDS}); never: the samples alone leave more "
        "open than the difference. Costs: training of all configurations with the seeds for an even chance, "
        "beside what is trained. Not adjusted for the number of comparisons."
    )
    parts = [
        f"# What a verdict on {sweep.name} would take",
        bullets(lines),
        table(heads, rows, left={0, 1, 4, 5}),
        wrapped(note),
    ]
    return "\n\n".join(parts) + "\n"


def row_costs(rows: Sequence[Row], winner: TrialRecord) -> dict[str, float]:
    """Trainer-seconds of one seed of each row, by its hash: its epochs at the winner's pace in the sweep.

    A stage 1 that several rows share is counted with the first of them.
    """
    metrics = winner.metrics
    pace = (winner.seconds + metrics.get("reused_seconds", 0.0)) / metrics["epochs"]
    seen = set()
    costs = {}
    for row in rows:
        stage1 = row.config.model_dump_json(include={"encoder", "stage1"})
        epochs = row.config.stage2.schedule.epochs if row.config.stage2 else 0
        costs[row.hash] = pace * (epochs + (0 if stage1 in seen else row.config.stage1.total_epochs))
        seen.add(stage1)
    return costs


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
    control: Row,
    shot: str,
    costs: dict[str, float],
    trained: Sequence[Run],
) -> tuple[str, ...]:
    """A line of the table: the winner against one control in one shot."""
    winner = plan.finalists[0]
    ours, theirs = (_by_seed(row, trained) for row in (winner, control))
    common = [seed for seed in ours if seed in theirs]
    if len(common) < PILOT:
        difference = _in_the_sweep(report, winner, control, f"val/{shot}/{plan.metrics[0]}")
        known = written(difference) if difference is not None else "not run yet"
        return control.label, shot, known, "1" if difference is not None else "0", UNKNOWN, UNKNOWN, "-"
    mask = dataset.shots.masks[shot][dataset.val.bin]
    error, other = (np.stack([_val_error(side[seed]) for seed in common])[:, mask] for side in (ours, theirs))
    needed = seeds_needed(error, other, cast(Statistic, plan.metrics[0]), clusters=dataset.val.group[mask])
    never = "never" if abs(needed.difference) <= needed.limit else "over 10,000"
    even = never if needed.seeds is None else str(needed.seeds)
    often = never if needed.seeds_for_80 is None else str(needed.seeds_for_80)
    cost = "-" if needed.seeds is None else duration(_further(needed.seeds, costs, trained))
    return control.label, shot, written(needed.difference), str(len(common)), even, often, cost


def _by_seed(row: Row, trained: Sequence[Run]) -> dict[int, Run]:
    return {run.seed: run for run in trained if run.row.hash == row.hash}


def _val_error(run: Run) -> Floats:
    """(N,) signed errors of a trained run on val."""
    table = pd.read_csv(run.folder.path / "val_predictions.csv")
    return (table["prediction"] - table["target"]).to_numpy(dtype=np.float64)


def _in_the_sweep(report: SweepReport, winner: Row, control: Row, metric: str) -> float | None:
    """The difference of the one seed that the sweep ran, if it ran both."""
    theirs = report.trials.get(f"{winner.name}-{control.name}")
    if theirs is None or theirs.state != "COMPLETE":
        return None
    return report.trials[winner.name].metrics[metric] - theirs.metrics[metric]
