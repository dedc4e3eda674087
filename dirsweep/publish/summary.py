"""What the parent run of a sweep shows beside its trials: numbers, tags, files, a description."""

import io
import math
import tempfile

from rich.console import Console

from dirsweep import report as reports
from dirsweep.ledger import Ledger, TrialRecord, of_drivers
from dirsweep.publish.note import Links, note
from dirsweep.report import SweepReport
from dirsweep.report import verdict as verdicts
from dirsweep.report.numbers import SHOTS
from dirsweep.report.verdict import Verdict
from dirsweep.storage import File, Folder
from dirsweep.sweep import provenance, told
from dirsweep.sweep.start import BEST, SPEC
from dirsweep.tracking import Writer

LEADERBOARD = "leaderboard.txt"
WIDTH = 100
STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "open": "OPEN"}


def ended(ledger: Ledger) -> tuple[str, float]:
    """How the parent run ends, COMPLETE or OPEN, and when: by the last record of a driver."""
    last = of_drivers(ledger.records)[-1]
    return "COMPLETE" if last["kind"] == "end" and last["why"] == "finished" else "OPEN", last["time"]


def sum_up(writer: Writer, report: SweepReport, ledger: Ledger) -> None:
    """Give the parent run what came out so far, in a sweep that runs, has ended or was judged.

    Raises:
        ValueError: the store fails, or the files of a verdict are damaged.
    """
    judged, (_, at) = verdicts.read(report), ended(ledger)
    name = report.folder.absolute().name
    tags = provenance.tags(report.spec, ledger.opening, name) | _tags(report, judged)
    writer.sum_up(_params(report), tags, _metrics(report), at)
    if judged is not None:
        writer.sum_up({}, {}, _of_verdict(judged), judged.time)
    with tempfile.TemporaryDirectory(prefix="dirsweep-") as place:
        board = File(Folder(place), LEADERBOARD)
        board.folder.put(LEADERBOARD, _leaderboard(report).encode())
        writer.add_files("", [board, *_files(report, judged)])
        writer.flush()
    errors = [f"val/{shot}/{report.spec.metrics[0]}" for shot in SHOTS]
    writer.arrange(list(dict.fromkeys([*report.spec.objectives, *errors])), list(report.spec.searched))
    describe(writer, report)


def describe(writer: Writer, report: SweepReport, model: str = "") -> None:
    """Set the description of the sweep, whose parent run has the files that `sum_up` gave it.

    Args:
        model: its name in the registry, "" if nothing is registered.

    Raises:
        ValueError: as `sum_up`.
    """
    judged = verdicts.read(report)
    files = [LEADERBOARD, *(file.name for file in _files(report, judged))]
    writer.describe(note(report, judged, files, Links(writer.experiment, writer.ids, model)))


def _files(report: SweepReport, judged: Verdict | None) -> list[File]:
    """Files of the sweep that its run shows, beside the leaderboard."""
    names = [SPEC, BEST, *(verdicts.FILES if judged is not None else ())]
    return [File(report.folder, name) for name in names if report.folder.exists(name)]


def _params(report: SweepReport) -> dict[str, str]:
    """What the sweep was asked for; MLflow's parameters never change, and neither do these."""
    spec = report.spec
    return {
        "objectives": ", ".join(spec.objectives),
        "searched": ", ".join(spec.searched),
        "mode": spec.mode.name,
        "sampler": spec.sampler.name,
        "scheduler": spec.scheduler.name,
    }


def _tags(report: SweepReport, judged: Verdict | None) -> dict[str, str]:
    found: dict[str, str] = {}
    if report.best is not None:
        controls = report.controls(report.best.trial)
        found |= {"winner": report.best.trial, "controls": ", ".join(one.trial for one in controls)}
    if judged is not None and (one := judged.primary) is not None:
        pair = f"{verdicts.label(one.ours)} against {verdicts.label(one.theirs)} on {one.shot}"
        found |= {"verdict": one.verdict, "verdict_on": pair}
    return found


def _of_verdict(judged: Verdict) -> dict[str, float]:
    """The primary comparison: its difference with the ends of its interval, and its p-value."""
    if (one := judged.primary) is None:
        return {}
    numbers = {"difference": one.difference, "low": one.low, "high": one.high, "p": one.p_value}
    return {f"verdict/{name}": value for name, value in numbers.items() if math.isfinite(value)}


def _metrics(report: SweepReport) -> dict[str, float]:
    """The winner's errors beside those of its controls, counts and costs."""
    counts = report.states
    found = {f"trials/{name}": float(counts[state]) for name, state in STATES.items()}
    found |= {
        "trainer_seconds": report.spent.trainer_seconds,
        "saved_trainer_seconds": report.spent.reused_seconds,
    }
    found |= told.summary(report.spec, report.best)
    metric = report.spec.metrics[0]
    if report.best is not None:
        found |= _errors("best", report.best, metric)
        for control in report.controls(report.best.trial):
            if control.state == "COMPLETE":
                found |= _errors(control.control, control, metric)
    return found


def _errors(title: str, trial: TrialRecord, metric: str) -> dict[str, float]:
    names = [f"val/{shot}/{metric}" for shot in SHOTS]
    return {f"{title}/{name}": trial.metrics[name] for name in names if name in trial.metrics}


def _leaderboard(report: SweepReport) -> str:
    """The report that the terminal shows, as text."""
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, highlight=False, emoji=False)
    console.print(reports.leaderboard(report), crop=False)
    return text.getvalue()
