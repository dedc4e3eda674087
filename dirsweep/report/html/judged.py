"""A verdict's figures on test as tables: every comparison of its winner, every configuration's error."""

import math

from dirsweep.report import verdict as verdicts
from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.html.table import plain_table
from dirsweep.report.numbers import digits, headed, written
from dirsweep.report.verdict import Verdict


def judged(verdict: Verdict) -> Html:
    """All of a verdict."""
    return joined(_test_table(verdict), *_errors(verdict), _notes(verdict))


def _test_table(verdict: Verdict) -> Html:
    rows = [
        (
            verdicts.label(one.theirs),
            f"{one.shot}{' *' if one.primary else ''}",
            f"{one.samples:,}",
            written(one.difference),
            between(one.low, one.high, digits([one.difference])),
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
            between(one.low, one.high, digits([one.value])),
        )
        for one in verdict.errors
    ]
    heads = ("configuration", "shot", headed(verdict.metric), "spread over seeds", "95% interval")
    return [
        folded("Test errors of every configuration", plain_table("Test errors", heads, rows, texts=(0, 1)))
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


def between(low: float, high: float, decimals: int) -> str:
    """The ends of an interval; a dash where it has none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return (
        f"{written(round(low, decimals) + 0.0, decimals)} to {written(round(high, decimals) + 0.0, decimals)}"
    )


def folded(title: str, content: Html) -> Html:
    """Content that a reader unfolds; in print it is unfolded."""
    return tag("details", tag("summary", title), content)
