"""The leaderboard: the top trials beside the controls that a win is measured against (METHOD section 6)."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dirsweep.ledger import TrialRecord
from dirsweep.report import forecast
from dirsweep.report.load import DEFAULT, SweepReport, damage
from dirsweep.report.numbers import SHOTS, digits, headed, shown, written
from dirsweep.report.spent import in_words
from dirsweep.report.trial import ordinality_line
from dirsweep.report.verdict import PAGE as VERDICT_PAGE
from dirsweep.report.words import (
    ENDED,
    against,
    best_trade,
    decisive,
    failures,
    optimistic,
    shell_path,
    trials_counted,
    why_no_winner,
)
from dirsweep.storage import TRIALS, Folder

TOP = 5
SHORT = {"pearson": "r"}
"""What a metric is called over a column, where its name is too wide."""


def leaderboard(report: SweepReport) -> RenderableType:
    """The whole report of a sweep; fits 80 columns where names and numbers are of usual length."""
    head = [Text(report.spec.question.strip(), style="bold"), Text(trials_counted(report))]
    if said := in_words(report.spent):
        head.append(Text(f"{said}."))
    if report.forecast is not None:
        head.append(Text(forecast.in_words(report.forecast, report.spent.trainer_seconds)))
    head += [Text(said) for said in damage(report)]
    if report.best is None:
        return Group(*head, Text(why_no_winner(report)))
    head += map(Text, failures(report))
    table = _table(report, report.best)
    return Group(*head, table, *_notes(report, report.best), *_winner(report, report.best))


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
    from dirsweep.search.importance import importance  # Optuna takes a while

    goals = ", ".join(report.spec.objectives)
    lines = [
        f"Errors on val, in {report.spec.label_unit}; minimised: {goals}.{_shots(report)} plain: without "
        f"norm ordinality and stage 2; mu0: stage 2 without its norm term; {DEFAULT}: the space's fixed "
        "part.",
        *(
            against(report.trials[best.trial], control, report.spec.metrics[0])
            for control in report.controls(best.trial)
            if control.state == "COMPLETE"
        ),
        optimistic(report),
        f"Trial {best.trial}'s {ordinality_line(best.metrics)}.",
        *best_trade(report),
        *decisive(importance(report.spec, report.trials)),
    ]
    return [Text(line) for line in lines]


def _shots(report: SweepReport) -> str:
    """By what the shots are cut where that is not the rule, and what a short name means."""
    said = report.spec.default_config().dataset.shot_note
    named = " r: Pearson's correlation of predictions and labels." if "pearson" in report.spec.metrics else ""
    return f"{named} {said}" if said else named


def _winner(report: SweepReport, best: TrialRecord) -> list[RenderableType]:
    params = Table(box=None, show_header=False, pad_edge=False, title="", padding=(0, 2, 0, 2))
    for name, value in best.params.items():
        params.add_row(name, Text(shown(value)))
    folder, trial = report.folder, shell_path(report.folder / TRIALS / best.trial)
    where = [
        f"train it again   dirsweep train {shell_path(folder, 'best.yaml')}",
        f"its records      {trial}/ (bins.csv, val_predictions.csv, ...)",
        f"the sweep's      {shell_path(folder)}/ (ledger.jsonl, spec.yaml, trials/)",
        f"browse them      {_ui(folder)}",
        f"the verdict      {_verdict(folder)}",
    ]
    paths = Text("\n".join(where), no_wrap=True, overflow="ignore")
    return [Text(f"\nTrial {best.trial} is the winner:", style="bold"), params, Text(), paths]


def _ui(folder: Folder) -> str:
    """The command that opens MLflow: a sweep in an object store has a server of its own choice."""
    if folder.path is None:
        return f"dirsweep ui {shell_path(folder)}"
    return f"make ui, or dirsweep ui --storage {shell_path(folder.parent)}"


def _verdict(folder: Folder) -> str:
    """Where it is, or the command that makes it."""
    return (
        shell_path(folder, VERDICT_PAGE)
        if folder.exists(VERDICT_PAGE)
        else f"dirsweep finalize {shell_path(folder)} (on test, over fresh seeds)"
    )
