"""What the sweep cost in trainer-seconds, by what they were spent on, and what sharing stage 1s saved."""

from collections.abc import Sequence

from dirsweep.ledger import TrialRecord
from dirsweep.report import forecast
from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.html.table import plain_table
from dirsweep.report.load import SweepReport
from dirsweep.report.numbers import duration, written
from dirsweep.report.spent import in_words
from dirsweep.report.verdict import Verdict


def cost(report: SweepReport, verdict: Verdict | None) -> Html:
    """The section's content."""
    everything = list(report.trials.values())
    states = (("complete", "COMPLETE"), ("pruned", "PRUNED"), ("failed", "FAIL"), ("open", "OPEN"))
    kinds: list[tuple[str, Sequence[TrialRecord]]] = [
        (f"{word} trials", [trial for trial in report.asked if trial.state == state])
        for word, state in states
    ]
    kinds += [
        ("controls", [trial for trial in everything if trial.kind == "control" and not trial.is_repeat]),
        ("repeats with further seeds", [trial for trial in everything if trial.is_repeat]),
    ]
    total = report.spent.trainer_seconds
    rows = [_line(name, own, total) for name, own in kinds if own]
    rows.append(_line("all", everything, total))
    lines = []
    if said := in_words(report.spent):
        lines.append(f"{said}.")
    if report.spent.reused_seconds:
        saved = report.spent.reused_seconds
        lines.append(
            f"Saved by training each stage 1 once: at least {duration(saved)} ({written(saved, 1)} "
            f"trainer-seconds), {saved / (saved + total):.0%} of what a plain sweep would have spent."
        )
    else:
        lines.append("Saved by sharing stage 1s: nothing; no complete trial went on from another's stage 1.")
    if report.forecast is not None:
        lines.append(forecast.in_words(report.forecast, total))
    if verdict is not None:
        lines.append(f"The verdict took another {duration(verdict.seconds)} of training.")
    return joined(
        plain_table(
            "Trainer-seconds by what they were spent on",
            ("spent on", "number", "trainer seconds", "share"),
            rows,
        ),
        *(tag("p", line) for line in lines),
        tag(
            "p",
            "A trainer-second is a second that a worker trains a trial; workers side by side count each.",
            class_="note",
        ),
    )


def _line(name: str, trials: Sequence[TrialRecord], total: float) -> tuple[str, str, str, str]:
    spent = sum(trial.seconds for trial in trials)
    return name, f"{len(trials):,}", written(spent, 1), f"{spent / total:.0%}" if total else "-"
