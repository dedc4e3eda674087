"""Pieces of a text that a terminal and a Markdown file show alike: aligned tables, wrapped lines."""

import math
import textwrap
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from dirsweep.intervals import Interval
from dirsweep.report.numbers import digits, written

WIDTH = 100
UNBROKEN: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[int]) -> str:
    """A Markdown table, aligned: columns with a number in `left` to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    to_left = [place in left for place in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        fitted = (
            cell.ljust(width) if flush else cell.rjust(width)
            for cell, width, flush in zip(cells, widths, to_left, strict=True)
        )
        return f"| {' | '.join(fitted)} |"

    rule = ("-" * (w + 2) if flush else "-" * (w + 1) + ":" for w, flush in zip(widths, to_left, strict=True))
    return "\n".join([line(heads), f"|{'|'.join(rule)}|", *map(line, rows)])


def bullets(sentences: Iterable[str]) -> str:
    """A list, each of whose items begins with a capital."""
    return "\n".join(
        textwrap.fill(
            sentence[:1].upper() + sentence[1:],
            WIDTH,
            initial_indent="- ",
            subsequent_indent="  ",
            **UNBROKEN,
        )
        for sentence in sentences
    )


def wrapped(sentence: str) -> str:
    """A paragraph."""
    return textwrap.fill(sentence, WIDTH, **UNBROKEN)


def places(intervals: Sequence[Interval]) -> int:
    """Decimals that show two significant digits of the narrowest interval: more would be noise.

    Where none has a width, three digits of the smallest estimate.
    """
    widths = [(one.high - one.low) / 2 for one in intervals if one.low < one.high < math.inf]
    return max(0, digits(widths) - 1) if widths else digits(one.estimate for one in intervals)


def between(interval: Interval, decimals: int) -> str:
    """The ends of an interval; a dash where it has none."""
    if math.isinf(interval.low):
        return "-"
    return f"{shown(interval.low, decimals)} to {shown(interval.high, decimals)}"


def shown(value: float, decimals: int) -> str:
    """A difference, which may be below 0; "0" and not "-0"."""
    return written(round(value, decimals) + 0.0, decimals)


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 seed", "5 seeds"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """Words with commas and an "and"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
