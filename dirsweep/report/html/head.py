"""The first screen: which configuration won, by how much, whether that is more than noise, and why.

Val figures of one seed decide nothing: without a verdict the page says so and names the command that makes
one, however wide the lead looks.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dirsweep.ledger import TrialRecord, budget
from dirsweep.report import verdict as verdicts
from dirsweep.report.html.differences import Difference
from dirsweep.report.html.markup import Html, breakable, joined, tag
from dirsweep.report.html.table import plain_table
from dirsweep.report.load import DEFAULT, SweepReport, damage
from dirsweep.report.numbers import SHOTS, headed, shown, unit, written
from dirsweep.report.trial import ordinality_line
from dirsweep.report.verdict import Verdict
from dirsweep.report.words import (
    CORRELATION,
    best_trade,
    change,
    decisive,
    is_repeated,
    optimistic,
    percent,
    shell_path,
    trials_counted,
    why_no_winner,
)
from dirsweep.storage import Record

if TYPE_CHECKING:
    from dirsweep.search.importance import Importance

STATES = {
    "finished": "",
    "running": "This sweep is still running: every figure below may change.",
    "stopping": "This sweep is being stopped: every figure below may change.",
    "stopped": "This sweep was stopped before its end.",
    "time": "This sweep ended because the minutes of its budget were over.",
    "trainer-seconds": "This sweep ended because the trainer-seconds of its budget were spent.",
    "interrupted": "This sweep was interrupted: its driver died.",
}
"""What is to be said of a sweep in a state of `sweep.status`."""


def banners(report: SweepReport, state: str, records: Sequence[Record]) -> Html:
    """What a reader must know before the figures: an unfinished sweep, damage, no winner."""
    lines = []
    if said := STATES[state]:
        lines.append(f"{said} {len(report.asked)} of {budget(records)} trials were asked.")
    lines += damage(report)
    if report.best is None:
        lines.append(why_no_winner(report))
    return joined(*(tag("p", line, class_="banner", role="note") for line in lines))


def answers(
    report: SweepReport,
    best: TrialRecord,
    differences: Sequence[Difference],
    found: "Importance",
    verdict: Verdict | None,
) -> Html:
    """The winner in a minute."""
    parts = [
        ("What won?", _what(report, best)),
        ("By how much, on val?", _by_how_much(report, best, differences)),
        ("More than noise?", _noise(report, verdict)),
        ("Which knob mattered?", _lines(decisive(found) or [f"Not known: importance {found.reason}."])),
        ("How do the norms look?", _lines([f"Trial {best.trial}'s {ordinality_line(best.metrics)}."])),
    ]
    cards = [tag("div", tag("dt", question), tag("dd", answer), class_="card") for question, answer in parts]
    return tag("dl", *cards, class_="answers")


def _what(report: SweepReport, best: TrialRecord) -> Html:
    metric = report.spec.metrics[0]
    shots = ", ".join(
        f"{shot} {written(best.metrics.get(f'val/{shot}/{metric}'))}" for shot in ("many", "median", "few")
    )
    figure = written(best.metrics.get(f"val/all/{metric}"))
    of = unit(metric, report.spec.label_unit)
    seeds = f", means over {len(report.seeds(best))} seeds" if is_repeated(report, best) else ""
    knobs = [
        joined(tag("dt", breakable(name)), tag("dd", shown(value))) for name, value in best.params.items()
    ]
    return joined(
        tag(
            "p",
            tag("strong", f"Trial {best.trial}"),
            f": val {headed(metric)} ",
            tag("strong", figure),
            f" over all labels ({shots}), {of}{seeds}.{_correlation(best)}",
        ),
        tag("dl", *knobs, class_="knobs"),
        tag("p", *(f"{line} " for line in (optimistic(report), *best_trade(report))), class_="note"),
    )


def _correlation(best: TrialRecord) -> str:
    """The winner's Pearson correlation, of data whose tables show one."""
    value = best.metrics.get("val/all/pearson")
    return "" if value is None else f" r {written(value)} over all labels. {CORRELATION}"


def _by_how_much(report: SweepReport, best: TrialRecord, found: Sequence[Difference]) -> Html:
    """The change of the error against each complete control, in a small table."""
    controls = [*report.controls(best.trial), *report.controls(DEFAULT)]
    if not controls:
        return tag("p", "No control has run yet, so there is nothing to hold the winner against.")
    metric, ours = report.spec.metrics[0], report.trials[best.trial]
    rows = [
        (control.trial, *(percent(change(ours, control, f"val/{shot}/{metric}")) for shot in SHOTS))
        for control in controls
        if control.state == "COMPLETE"
    ]
    missing = [control.trial for control in controls if control.state != "COMPLETE"]
    caption = f"{headed(metric)} of trial {best.trial} against a control's; below 0 is better"
    return joined(
        plain_table(caption, ("control", *SHOTS), rows) if rows else None,
        tag("p", f"Without a result: {', '.join(missing)}.") if missing else None,
        tag("p", "With intervals: ", tag("a", "differences", href="#differences"), ".", class_="note")
        if found
        else None,
    )


def _noise(report: SweepReport, verdict: Verdict | None) -> Html:
    command = tag("code", f"dirsweep finalize {shell_path(report.folder)}")
    if verdict is None:
        seeds = max((len(report.seeds(trial)) for trial in report.ranked[:1]), default=1)
        said = "Val figures of one seed" if seeds == 1 else f"Val figures of {seeds} seeds, chosen on val,"
        return joined(
            tag("p", tag("strong", "Not decided. "), f"{said} decide nothing."),
            tag(
                "p",
                command,
                " trains the winner and its controls over fresh seeds, opens test once and says what holds.",
            ),
        )
    lines: list[object] = []
    if not verdict.current:
        lines.append(
            joined(
                tag("strong", f"The verdict below is on {verdicts.label(verdict.winner)}, which led then. "),
                "The trial above is not judged; ",
                command,
                " does it.",
            )
        )
    lines.append(joined(tag("strong", "Verdict on test: "), verdicts.primary_sentence(verdict)))
    lines += [f"Against {line}" for line in verdicts.sentences(verdict)]
    return _lines(lines)


def _lines(lines: Sequence[object]) -> Html:
    return joined(*(tag("p", line) for line in lines))


def header(report: SweepReport) -> Html:
    """The title, the question, and how many trials there are."""
    return tag(
        "header",
        tag("p", "dirsweep report", class_="kicker"),
        tag("h1", report.folder.absolute().name),
        tag("p", report.spec.question.strip(), class_="question"),
        tag("p", trials_counted(report), class_="note"),
    )
