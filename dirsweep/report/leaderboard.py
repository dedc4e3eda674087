"""The leaderboard: the top trials beside the controls that a win is measured against (METHOD section 6)."""

import math
import shlex
from pathlib import Path
from statistics import stdev

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dirsweep.ledger import TrialRecord
from dirsweep.report import forecast
from dirsweep.report.load import DEFAULT, SweepReport, damage
from dirsweep.report.numbers import SHOTS, digits, duration, headed, written
from dirsweep.report.spent import in_words
from dirsweep.report.trial import ordinality_line
from dirsweep.search.best import knee

TOP = 5
SHORT = {"pearson": "r"}
"""What a metric is called over a column, where its name is too wide."""
ENDED = {"OPEN": "open", "PRUNED": "pruned", "FAIL": "failed"}


def leaderboard(report: SweepReport) -> RenderableType:
    """The whole report of a sweep; fits 80 columns where names and numbers are of usual length."""
    head = [Text(report.spec.question.strip(), style="bold"), Text(_trials_in_words(report))]
    if said := in_words(report.spent):
        head.append(Text(f"{said}."))
    if report.forecast is not None:
        head.append(Text(forecast.in_words(report.forecast, report.spent.trainer_seconds)))
    if report.dropped:
        head.append(Text(damage(report)))
    if report.best is None:
        return Group(*head, Text(_why_no_winner(report)))
    table = _table(report, report.best)
    return Group(*head, table, *_notes(report, report.best), *_winner(report, report.best))


def _trials_in_words(report: SweepReport) -> str:
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


def _why_no_winner(report: SweepReport) -> str:
    failed = next((trial for trial in report.asked if trial.state == "FAIL"), None)
    if report.unranked:
        return f"No winner yet: {report.unranked}"
    if report.states["COMPLETE"]:
        return "No winner: every complete trial is over a constraint; loosen `constraints`."
    if failed is not None:
        return f"No winner: no trial is complete. Trial {failed.trial} failed: {failed.reason}"
    return "No winner yet: no trial is complete."


def _table(report: SweepReport, best: TrialRecord) -> Table:
    top = report.ranked[:TOP]
    controls = [*report.controls(best.trial), *report.controls(DEFAULT)]
    shown = [trial for trial in (*top, *controls) if trial.state == "COMPLETE"]
    columns = [(metric, shot) for metric in report.spec.metrics for shot in SHOTS]
    decimals = [digits(trial.metrics.get(_name(*column)) for trial in shown) for column in columns]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("trial\n\nsamples", no_wrap=True)
    for metric, shot in columns:
        count = written(best.metrics.get(f"val/{shot}/count"), 0)
        table.add_column(
            f"{SHORT.get(metric) or headed(metric)}\n{shot}\n{count}", justify="right", no_wrap=True
        )
    table.add_column("trainer\nseconds", justify="right", no_wrap=True)
    for place, trial in enumerate(top):
        table.add_row(
            _label(report, trial),
            *_values(trial, columns, decimals),
            style="bold" if trial is best else None,
            end_section=place == len(top) - 1,
        )
    for control in controls:
        table.add_row(control.trial, *_values(control, columns, decimals))
    return table


def _name(metric: str, shot: str) -> str:
    return f"val/{shot}/{metric}"


def _values(trial: TrialRecord, columns: list[tuple[str, str]], decimals: list[int]) -> list[str]:
    if trial.state != "COMPLETE":
        return [ENDED[trial.state], *("" for _ in columns)]
    values = [trial.metrics.get(_name(*column)) for column in columns]
    return [*map(written, values, decimals), written(trial.seconds or None, 1)]


def _label(report: SweepReport, trial: TrialRecord) -> str:
    if trial is report.best:
        return f"{trial.trial} best"
    return f"{trial.trial} pareto" if trial.trial in report.pareto else trial.trial


def _notes(report: SweepReport, best: TrialRecord) -> list[RenderableType]:
    """What a reader must know to read the table."""
    tried = report.states["COMPLETE"] + report.states["PRUNED"]
    goals = ", ".join(report.spec.objectives)
    lines = [
        f"Errors on val, in label units; minimised: {goals}.{_shots(report)} plain: without norm ordinality "
        f"and stage 2; mu0: stage 2 without its norm term; {DEFAULT}: the space's fixed part.",
        *(
            _against(report.trials[best.trial], control, report.spec.metrics[0])
            for control in report.controls(best.trial)
            if control.state == "COMPLETE"
        ),
        f"The best of {tried} trials, so its val figure is optimistic; {_seeds(report)}.",
        f"Trial {best.trial}'s {ordinality_line(best.metrics)}.",
        *_knee(report),
        *_importance(report),
    ]
    return [Text(line) for line in lines]


def _shots(report: SweepReport) -> str:
    """By what the shots are cut where that is not the rule, and what a short name means."""
    said = report.spec.default_config().dataset.shot_note
    named = " r: Pearson's correlation of predictions and labels." if "pearson" in report.spec.metrics else ""
    return f"{named} {said}" if said else named


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


def _knee(report: SweepReport) -> list[str]:
    """Which trial of the Pareto set is the best trade, where there is one."""
    found = knee(report.spec, report.trials) if len(report.spec.objectives) > 1 else None
    return [f"The best trade between the objectives, the knee, is trial {found.trial}."] if found else []


def _importance(report: SweepReport) -> list[str]:
    """What decided each objective, the three most important names; nothing while trials are few."""
    from dirsweep.search.importance import importance  # Optuna takes a while

    found = importance(report.spec, report.trials)
    return [
        f"What decided {goal} most: "
        + ", ".join(f"{name} {share:.0%}" for name, share in list(shares.items())[:3])
        + f" (PED-ANOVA, {found.trials} trials)."
        for goal, shares in found.shares.items()
    ]


def _against(best: TrialRecord, control: TrialRecord, metric: str) -> str:
    changes = []
    for shot in SHOTS:
        ours, theirs = (trial.metrics.get(_name(metric, shot), math.nan) for trial in (best, control))
        change = round(100 * (ours / theirs - 1), 1) + 0.0 if theirs else math.nan  # + 0.0: no "-0.0"
        changes.append(f"{shot} {'-' if math.isnan(change) else f'{change:+.1f}%'}")
    return f"{headed(metric)} of {best.trial} against {control.trial}: {', '.join(changes)}."


def _winner(report: SweepReport, best: TrialRecord) -> list[RenderableType]:
    params = Table(box=None, show_header=False, pad_edge=False, title="", padding=(0, 2, 0, 2))
    for name, value in best.params.items():
        params.add_row(name, Text(written(value) if isinstance(value, float) else str(value)))
    folder = report.folder
    where = [
        f"train it again   dirsweep train {_short(folder / 'best.yaml')}",
        f"its records      {_short(folder / 'trials' / best.trial)}/ (bins.csv, val_predictions.csv, ...)",
        f"the sweep's      {_short(folder)}/ (ledger.jsonl, spec.yaml, trials/)",
        f"browse them      make ui, or dirsweep ui --storage {_short(folder.parent)}",
        f"the verdict      {_verdict(folder)}",
    ]
    paths = Text("\n".join(where), no_wrap=True, overflow="ignore")
    return [Text(f"\nTrial {best.trial} is the winner:", style="bold"), params, Text(), paths]


def _verdict(folder: Path) -> str:
    """Where it is, or the command that makes it."""
    page = folder / "finalize" / "verdict.md"
    return (
        _short(page) if page.exists() else f"dirsweep finalize {_short(folder)} (on test, over fresh seeds)"
    )


def _short(path: Path) -> str:
    """A path from where the user is, if it lies below; quoted as a shell wants it."""
    here = Path.cwd()
    whole = path.resolve()
    return shlex.quote(str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole))
