"""Present what won: the summary, pictures of the winner and its controls, the model of the winner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from dirsweep import tracking
from dirsweep.ledger import Ledger, TrialRecord, of_drivers
from dirsweep.publish.summary import describe, sum_up
from dirsweep.report import SweepReport
from dirsweep.report.drawing import draw_trial, trained
from dirsweep.storage import TRIALS, File
from dirsweep.sweep.told import PICTURES, pictures_of
from dirsweep.tracking import Writer


@dataclass(frozen=True)
class Step:
    """A part of it: `what` it brings, for people, and how.

    Its call raises ValueError where that cannot be brought, or the store fails.
    """

    what: str
    bring: Callable[[], None]
    needed: bool = False

    def done(self) -> list[str]:
        """Do it; gives what could not be brought. ValueError if the summary could not: nor can the rest."""
        try:
            self.bring()
        except ValueError as error:
            if self.needed:
                raise
            return [f"{self.what}: {error}"]
        return []


def steps(writer: Writer, uri: str, report: SweepReport, ledger: Ledger) -> list[Step]:
    """What is to be brought there, what matters most first.

    Args:
        uri: of the store, with credentials if it needs them.
    """
    last = of_drivers(ledger.records)[-1]
    found = [Step("the summary", partial(sum_up, writer, report, ledger), needed=True)]
    for trial in winner_and_controls(report):
        pictures = partial(_bring_pictures, writer, report, trial, last["time"])
        found.append(Step(f"the pictures of {trial.trial}", pictures))
    over = last["kind"] == "end" and last["why"] != "stopped"
    if over and report.best is not None:
        model = partial(_bring_model, writer, uri, report, report.best)
        found.append(Step(f"the model of trial {report.best.trial}", model))
    return found


def present(writer: Writer, uri: str, report: SweepReport, ledger: Ledger) -> list[str]:
    """Bring it all there, however long that takes; gives what could not be, a sentence each.

    Raises:
        ValueError: the store fails.
    """
    return [sentence for step in steps(writer, uri, report, ledger) for sentence in step.done()]


def _bring_pictures(writer: Writer, report: SweepReport, trial: TrialRecord, since: float) -> None:
    drawn = trained(report, trial)  # another, where that has the same configuration
    files = _drawn(report, drawn, since)
    for key in dict.fromkeys((drawn.trial, trial.trial)):
        add_pictures(writer, key, files)


def _drawn(report: SweepReport, trial: TrialRecord, since: float) -> list[File]:
    """A trial's pictures, drawn anew if the sweep went on since, for titles say who is best."""
    there = pictures_of(report.folder / TRIALS / trial.trial)
    if there and min(file.folder.written(file.name) for file in there) >= since:
        return there
    return draw_trial(report, trial)


def add_pictures(writer: Writer, key: str, files: Sequence[File]) -> None:
    """Put a trial's pictures beside its run. ValueError if the store has no run of it, or fails."""
    if key not in writer.ids:
        raise ValueError(f"there is no run of {key} yet")
    writer.add_files(key, files, PICTURES)
    writer.flush()


def winner_and_controls(report: SweepReport) -> list[TrialRecord]:
    """The complete ones among them; none without a winner."""
    if report.best is None:
        return []
    found = [report.trials[report.best.trial], *report.controls(report.best.trial)]
    return [trial for trial in found if trial.state == "COMPLETE"]


def _bring_model(writer: Writer, uri: str, report: SweepReport, best: TrialRecord) -> None:
    """Register the winner's model under the sweep's name, unless it is; the description links to it then."""
    if best.trial not in writer.ids:
        raise ValueError(f"there is no run of {best.trial} yet")
    folder = report.folder / TRIALS / best.trial
    tracking.register_model(uri, writer.ids[best.trial], folder, writer.title)
    describe(writer, report, tracking.registered_name(writer.title))
