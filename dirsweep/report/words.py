"""What a report says of a sweep in sentences, in the terminal and on the page alike."""

import math
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING

from dirsweep.ledger import TrialRecord
from dirsweep.report.load import SweepReport
from dirsweep.report.numbers import SHOTS, duration, headed, unit, written
from dirsweep.search.best import knee
from dirsweep.storage import File, Folder

if TYPE_CHECKING:
    from dirsweep.search.importance import Importance  # Optuna takes a while

REASONS, LONGEST_REASON = 5, 200
"""Of failures, how many reasons a report names, and characters of each."""
ENDED = {"OPEN": "open", "PRUNED": "pruned", "FAIL": "failed"}


def trials_counted(report: SweepReport) -> str:
    """How many trials there are, how they ended, and what they cost."""
    counts, asked = report.states, len(report.asked)
    parts = [
        f"{counts['COMPLETE']} complete",
        f"{counts['PRUNED']} pruned",
        f"{counts['FAIL']} failed",
        f"{counts['OPEN']} open",
    ]
    if report.spec.constraints and not report.unranked:
        parts.append(f"{counts['COMPLETE'] - len(report.ranked)} complete but over a constraint")
    spent = duration(sum(trial.seconds for trial in report.trials.values()))
    noun = "trial" if asked == 1 else "trials"
    return f"{asked} {noun}: {', '.join(parts)}; {spent} of training, controls included."


def failures(report: SweepReport) -> list[str]:
    """A line for each reason for which trials and controls failed; of many reasons the first few."""
    alike: dict[str, list[str]] = {}
    for trial in report.trials.values():
        if trial.state == "FAIL":
            alike.setdefault(textwrap.shorten(trial.reason, LONGEST_REASON, placeholder=" ..."), []).append(
                trial.trial
            )
    lines = [f"Failed: {', '.join(names)}: {reason}" for reason, names in alike.items()]
    more = [f"Failed for {len(lines) - REASONS} other reasons too, which --html and --json name."]
    return lines if len(lines) <= REASONS else lines[:REASONS] + more


def why_no_winner(report: SweepReport) -> str:
    """The reason, for a report without a best trial."""
    failed = next((trial for trial in report.asked if trial.state == "FAIL"), None)
    if report.unranked:
        return f"No winner yet: {report.unranked}"
    if report.states["COMPLETE"]:
        return "No winner: every complete trial is over a constraint; loosen `constraints`."
    if failed is not None:
        return f"No winner: no trial is complete. Trial {failed.trial} failed: {failed.reason}"
    return "No winner yet: no trial is complete."


def optimistic(report: SweepReport) -> str:
    """That a best figure flatters, and with how many seeds trials ran."""
    tried = report.states["COMPLETE"] + report.states["PRUNED"]
    return f"The best of {tried} trials, so its val figure is optimistic; {_seeds(report)}."


def _seeds(report: SweepReport) -> str:
    """With how many seeds trials ran, and how far a repeated one's figures lie apart."""
    goal, asked = report.spec.objectives[0], report.spec.repeats.seeds
    again = dict.fromkeys(trial.of for trial in report.trials.values() if trial.is_repeat)
    if not again:
        return "each trial ran with one seed"
    repeated = {trial.trial: report.seeds(trial) for trial in report.ranked}
    spreads = [
        f"{name}: {written(stdev(one.metrics[goal] for one in seeds))} ({len(seeds)})"
        for name, seeds in repeated.items()
        if len(seeds) > 1
    ]
    if report.best is not None and len(report.seeds(report.best)) == asked:
        said = f"trials that ran with {asked} seeds come first, by their means"
    else:
        said = (
            f"none of the trials that were to run with {asked} seeds ({', '.join(again)}) is complete with "
            "all of them and keeps the constraints by its means, so the best of the others leads"
        )
    said += ", and controls ran with the first seed, so they are held against that of the trial"
    return said + (
        f". Standard deviation of {goal} over seeds (how many): {', '.join(spreads)}" if spreads else ""
    )


def measured(metrics: Sequence[str], of_label: str) -> str:
    """In what the metrics of a table are: "in squared label units (MSE). r: Pearson's correlation, ..."."""
    errors = [name for name in metrics if name != "pearson"]
    units = dict.fromkeys(unit(name, of_label) for name in errors)
    said = "; ".join(
        f"{one} ({', '.join(headed(name) for name in errors if unit(name, of_label) == one)})"
        for one in units
    )
    return f"{said}. {CORRELATION}" if "pearson" in metrics else f"{said}."


CORRELATION = "r: Pearson's correlation of predictions and labels, higher is better."


def is_repeated(report: SweepReport, trial: TrialRecord) -> bool:
    """Whether a ranked trial's figures are means over several seeds."""
    return trial.kind == "ask" and len(report.seeds(trial)) > 1


def first_seeds(report: SweepReport) -> str:
    """For a picture of first seeds: that it is one, and by what mean the winner leads; "" without repeats."""
    best, goal = report.best, report.spec.objectives[0]
    if not any(trial.is_repeat for trial in report.trials.values()):
        return ""
    said = " Every trial is drawn with its first seed"
    if best is None or not is_repeated(report, best):
        return f"{said}."
    return (
        f"{said}, trial {best.trial} at {written(report.trials[best.trial].metrics[goal])}; it leads by its "
        f"mean over {len(report.seeds(best))} seeds, {written(best.metrics[goal])}."
    )


def best_trade(report: SweepReport) -> list[str]:
    """Which trial of the Pareto set is the best trade, where there is one."""
    found = knee(report.spec, report.trials) if len(report.spec.objectives) > 1 else None
    return [f"The best trade between the objectives, the knee, is trial {found.trial}."] if found else []


def decisive(found: "Importance") -> list[str]:
    """What decided each objective, the three most important names; nothing while trials are few."""
    return [
        f"What decided {goal} most: "
        + ", ".join(f"{name} {share:.0%}" for name, share in list(shares.items())[:3])
        + f" (PED-ANOVA, {found.trials} trials)."
        for goal, shares in found.shares.items()
    ]


def against(best: TrialRecord, control: TrialRecord, metric: str) -> str:
    """By how much an error changes from a control to a trial, on each shot."""
    changes = [f"{shot} {percent(change(best, control, f'val/{shot}/{metric}'))}" for shot in SHOTS]
    return f"{headed(metric)} of {best.trial} against {control.trial}: {', '.join(changes)}."


def change(ours: TrialRecord, theirs: TrialRecord, name: str) -> float:
    """By how much a metric is more than another trial's, as a part of that; NaN where one is missing or 0."""
    first, second = (trial.metrics.get(name, math.nan) for trial in (ours, theirs))
    return part(first, second)


def part(ours: float, theirs: float) -> float:
    """How much more one error is than another, as a part of that; NaN if that is 0."""
    return ours / theirs - 1 if theirs else math.nan


def percent(share: float) -> str:
    """A change with its sign; "+0.0%" and not "-0.0%"; "-" for NaN."""
    return "-" if math.isnan(share) else f"{round(100 * share, 1) + 0.0:+.1f}%"


def shell_path(folder: Folder, name: str = "") -> str:
    """A folder, or a file in it, from where the user is if it lies below; quoted as a shell wants it."""
    if folder.path is None:
        return shlex.quote(str(File(folder, name)) if name else str(folder))
    here, whole = Path.cwd(), (folder.path / name).resolve()
    return shlex.quote(str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole))
