"""The section on differences: the winner against its controls, by shot, with intervals.

Where there is a verdict on the winner its test errors come first; those on val, of one seed, follow folded.
"""

import math
from collections.abc import Sequence

from dirsweep.ledger import TrialRecord
from dirsweep.pictures.colours import COLOURS, MARKS
from dirsweep.report import verdict as verdicts
from dirsweep.report.html.differences import Difference, Repeated
from dirsweep.report.html.figure import Figure, Figures, axis, drawn, figure, text
from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.html.table import plain_table
from dirsweep.report.load import SweepReport
from dirsweep.report.numbers import SHOTS, digits, headed, written
from dirsweep.report.verdict import Verdict

PLOT = "plot-differences"
Line = tuple[str, str, float, float, float, str]
"""The control, the shot, the difference and the ends of its interval (in parts of its error), a note."""


def comparison(
    report: SweepReport,
    best: TrialRecord,
    found: Sequence[Difference],
    seeds: Sequence[Repeated],
    verdict: Verdict | None,
    figures: Figures,
) -> Html:
    """The section's content; its figure goes into `figures`."""
    judged = verdict if verdict is not None and verdict.current else None
    if judged is not None:
        lines, where = _test_lines(judged), f"test, over {judged.seeds} fresh seeds"
    else:
        lines, where = val_lines(found), "val, of one seed each"
    parts: list[Html | None] = []
    if lines:
        figures[PLOT] = differences_figure(lines, headed(report.spec.metrics[0]))
        parts.append(drawn(PLOT, _summary(lines, best, where), height=_height(lines)))
    if verdict is not None:
        parts += [_test_table(verdict), *_errors(verdict), _notes(verdict)]
    on_val = _val_table(report, best, found)
    parts.append(on_val if judged is None else _folded("The same on val, of one seed each", on_val))
    if seeds:
        parts.append(_repeats(seeds, headed(report.spec.metrics[0]), report.spec.repeats.seeds))
    return joined(*parts)


def val_lines(found: Sequence[Difference]) -> list[Line]:
    lines: list[Line] = []
    for one in found:
        low, high = (one.interval.low, one.interval.high) if one.interval else (math.nan, math.nan)
        lines.append((one.control.trial, one.shot, one.share, low / one.theirs, high / one.theirs, ""))
    return lines


def _test_lines(verdict: Verdict) -> list[Line]:
    errors = {(one.name, one.shot): one.value for one in verdict.errors}
    return [
        (one.theirs, one.shot, one.difference / of, one.low / of, one.high / of, f"<br>{one.verdict}")
        for one in verdict.compared
        if one.ours == verdict.winner and (of := errors.get((one.theirs, one.shot)))
    ]


def _height(lines: Sequence[Line]) -> int:
    return 110 + 22 * (len(lines) + len({line[0] for line in lines}))


def differences_figure(lines: Sequence[Line], metric: str) -> Figure:
    """A point with its interval for each control and shot, a colour and a mark for each shot."""
    controls = list(dict.fromkeys(line[0] for line in lines))
    rows, places, ticks = {}, 0.0, []
    for control in controls:
        own = [line for line in lines if line[0] == control]
        ticks.append((places + (len(own) - 1) / 2, control))
        for line in own:
            rows[line[0], line[1]] = places
            places += 1
        places += 0.8
    traces = []
    for shot in SHOTS:
        own = [line for line in lines if line[1] == shot]
        if not own:
            continue
        ends = [(line[3], line[4]) if math.isfinite(line[3]) else (line[2], line[2]) for line in own]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": shot,
                "x": [100 * line[2] for line in own],
                "y": [rows[line[0], line[1]] for line in own],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [100 * (high - line[2]) for line, (_, high) in zip(own, ends, strict=True)],
                    "arrayminus": [100 * (line[2] - low) for line, (low, _) in zip(own, ends, strict=True)],
                    "thickness": 1.5,
                    "width": 4,
                },
                "marker": {
                    "size": 11 if shot == "few" else 9,
                    "color": COLOURS.get(shot, "@ink"),
                    "symbol": MARKS.get(shot, "diamond"),
                },
                "text": [_hover(line, low, high) for line, (low, high) in zip(own, ends, strict=True)],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return figure(
        traces,
        _height(lines),
        xaxis=axis(
            f"change of {metric}, in %",
            zeroline=True,
            zerolinecolor="@ink",
            ticksuffix="%",
        ),
        yaxis={
            "autorange": "reversed",
            "tickvals": [place for place, _ in ticks],
            "ticktext": [text(name) for _, name in ticks],
            "showgrid": False,
            "zeroline": False,
        },
        margin={"l": 110, "r": 12, "t": 34, "b": 56},
    )


def _hover(line: Line, low: float, high: float) -> str:
    ends = f" ({percent(low)} to {percent(high)})" if high > low else ""
    return f"{line[1]}, against {text(line[0])}<br>{percent(line[2])}{ends}{line[5]}"


def percent(share: float) -> str:
    """A change with its sign; "+0.0%" and not "-0.0%"."""
    return f"{round(100 * share, 1) + 0.0:+.1f}%"


def _summary(lines: Sequence[Line], best: TrialRecord, where: str) -> str:
    said = []
    for control in dict.fromkeys(line[0] for line in lines):
        own = [f"{shot} {percent(share)}" for name, shot, share, *_ in lines if name == control]
        said.append(f"{control}: {', '.join(own)}")
    return (
        f"Trial {best.trial} against each control on {where}, in % of the control's error; left of 0 the "
        f"trial is better. {'; '.join(said)}. Bars are 95% intervals."
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
                "-" if one.interval is None else _between(one.interval.low, one.interval.high, places + 1),
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
    note = (
        "The interval is of the difference of the errors, in label units, paired by sample. It covers new "
        f"samples for these two trained models, not new seeds ({'; '.join(methods)}). "
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


def _test_table(verdict: Verdict) -> Html:
    rows = [
        (
            verdicts.label(one.theirs),
            f"{one.shot}{' *' if one.primary else ''}",
            f"{one.samples:,}",
            written(one.difference),
            _between(one.low, one.high, digits([one.difference])),
            written(one.p_value, 3),
            one.verdict,
        )
        for one in verdict.compared
        if one.ours == verdict.winner
    ]
    heads = ("against", "shot", "test samples", "difference", "95% interval", "p", "verdict")
    caption = (
        f"Verdict: {verdicts.label(verdict.winner)} against its controls, on test, over {verdict.seeds} seeds"
    )
    return plain_table(caption, heads, rows, texts=(0, 1, 6))


def _errors(verdict: Verdict) -> list[Html]:
    rows = [
        (
            verdicts.label(one.name),
            one.shot,
            written(one.value),
            written(one.spread, digits([one.value])),
            _between(one.low, one.high, digits([one.value])),
        )
        for one in verdict.errors
    ]
    heads = ("configuration", "shot", headed(verdict.metric), "spread over seeds", "95% interval")
    return [
        _folded("Test errors of every configuration", plain_table("Test errors", heads, rows, texts=(0, 1)))
    ]


def _notes(verdict: Verdict) -> Html:
    lines = [
        f"Differences of test {headed(verdict.metric)}, paired by seed and by sample: below 0 is better. p "
        "is adjusted for the number of comparisons (Holm). * is the primary comparison, named before test "
        "was opened; it stands alone and is not adjusted.",
        *([f"The primary interval: {verdict.primary.method}."] if verdict.primary else []),
        f"{verdict.test:,} test rows; openings of test in all, this one included: {verdict.openings}.",
        *verdict.notes,
    ]
    return tag("ul", *(tag("li", line[:1].upper() + line[1:]) for line in lines), class_="note")


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
                "-" if error is None else _between(error.low, error.high, decimals),
                "-" if one.behind is None else written(one.behind.estimate, decimals + 1),
                "-" if one.behind is None else _between(one.behind.low, one.behind.high, decimals + 1),
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


def _between(low: float, high: float, decimals: int) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return (
        f"{written(round(low, decimals) + 0.0, decimals)} to {written(round(high, decimals) + 0.0, decimals)}"
    )


def _folded(title: str, content: Html) -> Html:
    return tag("details", tag("summary", title), content)
