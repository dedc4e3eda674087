"""The section on differences: the winner against its controls, by shot, with intervals.

Where there is a verdict on the winner its test errors come first; those on val, of one seed, follow folded.
"""

from collections.abc import Sequence

from dirsweep.ledger import TrialRecord
from dirsweep.report.html.differences import Difference, Repeated
from dirsweep.report.html.figure import Figures, drawn
from dirsweep.report.html.forest import Line, differences_figure, height, test_lines, val_lines
from dirsweep.report.html.judged import between, folded, judged
from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.html.table import plain_table
from dirsweep.report.load import SweepReport
from dirsweep.report.numbers import SHOTS, digits, headed, unit, written
from dirsweep.report.verdict import Verdict
from dirsweep.report.words import percent

PLOT = "plot-differences"


def comparison(
    report: SweepReport,
    best: TrialRecord,
    found: Sequence[Difference],
    seeds: Sequence[Repeated],
    verdict: Verdict | None,
    figures: Figures,
) -> Html:
    """The section's content; its figure goes into `figures`."""
    current = verdict if verdict is not None and verdict.current else None
    if current is not None:
        lines, where = test_lines(current), f"test, over {current.seeds} fresh seeds"
        bars = "Bars are 95% intervals over new seeds and new samples."
    else:
        lines, where = val_lines(found), "val, of one seed each"
        bars = (
            "Bars are 95% intervals over val samples for these two trained models, not over new seeds. The "
            "winner was chosen on this same val, which flatters it, and the intervals are not adjusted for "
            "how many they are."
        )
    parts: list[Html | None] = []
    if lines:
        figures[PLOT] = differences_figure(lines, headed(report.spec.metrics[0]))
        parts.append(drawn(PLOT, _summary(lines, best, where, bars), height=height(lines)))
    if verdict is not None:
        parts.append(judged(verdict))
    on_val = _val_table(report, best, found)
    parts.append(on_val if current is None else folded("The same on val, of one seed each", on_val))
    if seeds:
        parts.append(_repeats(seeds, headed(report.spec.metrics[0]), report.spec.repeats.seeds))
    return joined(*parts)


def _summary(lines: Sequence[Line], best: TrialRecord, where: str, bars: str) -> str:
    said = []
    for control in dict.fromkeys(line[0] for line in lines):
        own = [f"{shot} {percent(share)}" for name, shot, share, *_ in lines if name == control]
        said.append(f"{control}: {', '.join(own)}")
    return (
        f"Trial {best.trial} against each control on {where}, in % of the control's error; left of 0 the "
        f"trial is better. {'; '.join(said)}. {bars}"
    )


def _val_table(report: SweepReport, best: TrialRecord, found: Sequence[Difference]) -> Html:
    if not found:
        return tag("p", "No complete control to hold the winner against yet.")
    metric = headed(report.spec.metrics[0])
    decimals = {
        shot: digits(value for one in found if one.shot == shot for value in (one.ours, one.theirs))
        for shot in SHOTS
    }
    rows = []
    for one in found:
        places = decimals[one.shot]
        rows.append(
            (
                one.control.trial,
                one.shot,
                f"{one.samples:,}",
                written(one.theirs, places),
                written(one.ours, places),
                percent(one.share),
                "-" if one.interval is None else between(one.interval.low, one.interval.high, places + 1),
            )
        )
    heads = (
        "control",
        "shot",
        "val samples",
        f"{metric} control",
        f"{metric} trial {best.trial}",
        "change",
        "95% interval",
    )
    methods = dict.fromkeys(one.interval.method for one in found if one.interval and one.shot == "all")
    measured = unit(report.spec.metrics[0], report.spec.label_unit)
    note = (
        f"The interval is of the difference of the errors, {measured}, paired by sample. "
        f"It covers new samples for these two trained models, not new seeds ({'; '.join(methods)}). "
        if methods
        else "No intervals: the trials' val_predictions.csv are not there. "
    )
    if methods and not all(one.grouped for one in found):
        note += (
            "These trials' files do not tell which samples are of one subject, so each counts as its own: "
            "with several samples of a subject the intervals are too narrow. "
        )
    twins = [
        f"{trial.trial}: {trial.reason}."
        for trial in report.trials.values()
        if trial.kind == "control" and trial.state == "COMPLETE" and trial.reason
    ]
    return joined(
        plain_table(f"Trial {best.trial} against its controls, on val", heads, rows, texts=(0, 1)),
        tag("p", note, " ".join(twins), class_="note"),
    )


def _repeats(found: Sequence[Repeated], metric: str, asked: int) -> Html:
    rows = []
    for one in found:
        decimals = digits([one.mean])
        error = one.error
        rows.append(
            (
                f"trial {one.trial.trial}",
                one.shot,
                f"{one.seeds} of {asked}",
                written(one.mean, decimals),
                "-" if error is None else written(error.spread, decimals + 1),
                "-" if error is None else between(error.low, error.high, decimals),
                "-" if one.behind is None else written(one.behind.estimate, decimals + 1),
                "-" if one.behind is None else between(one.behind.low, one.behind.high, decimals + 1),
            )
        )
    heads = (
        "trial",
        "shot",
        "seeds",
        f"mean {metric}",
        "spread",
        "95% interval",
        "minus the winner's",
        "95% interval",
    )
    methods = dict.fromkeys(one.error.method for one in found if one.error is not None)
    return joined(
        plain_table("Trials that ran with several seeds, on val", heads, rows, texts=(0, 1)),
        tag("p", f"How the intervals are made: {'; '.join(methods)}." if methods else "", class_="note"),
    )
