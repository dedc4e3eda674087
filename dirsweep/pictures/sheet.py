"""The sheet that every picture is drawn on: title, axes, legend, and an SVG with the same bytes each time.

Text is drawn as shapes, so a picture looks alike wherever it is opened; its title is also in it as text.
"""

import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dirsweep.pictures.colours import COLOURS, GRID, LINE, MARKS, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

LETTERS = {"circle": "o", "square": "s", "triangle-up": "^"}
"""Matplotlib's for the marks."""
AS_SHAPES = 1000
"""More samples or bins than these become an image inside the SVG, which is small however many they are."""
CROWD = 150
"""Marks beyond which each is drawn smaller, and without an edge."""
RASTER = 200
"""Dots per inch of that image."""
LINE_HEIGHT = 0.22
"""Inches."""


@dataclass(frozen=True)
class Sheet:
    """title, below: what is written at the top, the second smaller; size: width and height in inches."""

    title: str
    below: str
    size: tuple[float, float]


def svg(sheet: Sheet, draw: Callable[["Figure"], None]) -> bytes:
    """The SVG of what `draw` puts on a figure; nothing of the user's matplotlibrc has a say in it."""
    import matplotlib  # takes a second
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.hashsalt": "dirsweep", "text.parse_math": False, "font.size": 9})
        figure = Figure(figsize=sheet.size, layout="constrained")
        FigureCanvasSVG(figure)
        _head(figure, sheet)
        draw(figure)
        file = io.BytesIO()
        metadata = {"Date": None, "Creator": "dirsweep", "Title": f"{sheet.title}: {sheet.below}"}
        figure.savefig(file, format="svg", metadata=metadata, dpi=RASTER)
    return file.getvalue()


def _head(figure: "Figure", sheet: Sheet) -> None:
    """Write the title, and leave the rest of the figure to the axes."""
    width, height = sheet.size
    lines = [(line, 11, "bold", "black") for line in textwrap.wrap(sheet.title, int(11 * width))]
    lines += [(line, 9, "normal", QUIET) for line in textwrap.wrap(sheet.below, int(14.5 * width))]
    for number, (text, size, weight, colour) in enumerate(lines):
        y = 1 - (0.08 + LINE_HEIGHT * number) / height
        figure.text(0.1 / width, y, text, size=size, weight=weight, color=colour, va="top", ha="left")
    top = (0.12 + LINE_HEIGHT * len(lines)) / height
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.0, 0.0, 1.0, 1.0 - top), w_pad=0.08, h_pad=0.06)


def style(axes: "Axes", x: str, y: str) -> None:
    """Label the axes, and draw a grid below what is drawn."""
    axes.set_xlabel(x)
    axes.set_ylabel(textwrap.fill(y, 34))
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def ticks(axis: "Axis", low: float, high: float, *, log: bool = False, whole: bool = False) -> None:
    """Few ticks, with plain numbers, on an axis that reaches from `low` to `high`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    name = axis.axis_name  # type: ignore[attr-defined]  # public, but not in matplotlib's stubs
    axis.axes.set(**{f"{name}lim": (low, high)})
    if log:
        axis.axes.set(**{f"{name}scale": "log"})
        decades = np.log10(high / low)
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.5 else (1.0,), numticks=12))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(7, integer=whole, steps=[1, 2, 2.5, 5, 10], min_n_ticks=1))
    large = 0.0 if log else max(abs(low), abs(high))
    axis.set_major_formatter(FuncFormatter(lambda value, place: plain(value, large)))


def plain(value: float, large: float) -> str:
    """A number, from a million on with M, G or T; ticks beside one that is `large` have its letter too."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if max(abs(value), large) >= size:
            return f"{value / size:.10g}{letter}" if value else "0"
    return f"{value:,.10g}"


def areas(counts: Any, of: Any) -> Any:
    """Areas of marks, in points squared, for (n,) numbers of samples; smaller where (K,) others crowd."""
    share = np.asarray(counts, dtype=np.float64) / max(float(np.max(of)), 1.0)
    return (18 + 52 * share**0.5) * min(1.0, CROWD / len(of))


def round_counts(smallest: float, largest: float) -> list[int]:
    """Up to three round numbers that span counts, for a legend of sizes."""
    known = [step * 10**power for power in range(10) for step in (1, 2, 5)]
    low = max(size for size in known if size <= max(smallest, 1))
    high = max(size for size in known if size <= max(largest, 1))
    middle = min(known, key=lambda size: abs(np.log(size / np.sqrt(low * high))))
    return sorted({low, middle, high})


def handle(
    mark: str = "",
    colour: str = LINE,
    *,
    filled: bool = True,
    size: float = 6.0,
    line: Literal["-", "--", ""] = "",
) -> Any:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D(
        [],
        [],
        linestyle=line,
        color=colour,
        marker=LETTERS.get(mark, mark),
        markersize=size,
        markerfacecolor=colour if filled else "white",
    )


def shot_handles(shots: Sequence[str]) -> list[tuple[Any, str]]:
    """Entries of a legend for the shots that are there."""
    return [(handle(MARKS[shot], COLOURS[shot]), f"{shot}-shot") for shot in shots]


def size_handles(counts: Any, what: str) -> list[tuple[Any, str]]:
    """Entries of a legend for the sizes of marks, by (K,) counts of `what` (one of them)."""
    smallest, largest = int(np.min(counts)), int(np.max(counts))
    if largest < 2 * smallest:
        span = f"{largest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
        said = f"{span} {what}{'' if largest == 1 else 's'}"
        return [(handle("circle", QUIET, size=float(areas(largest, counts)) ** 0.5), said)]
    return [
        (
            handle("circle", QUIET, size=float(areas(count, counts)) ** 0.5),
            f"{count:,} {what}{'' if count == 1 else 's'}",
        )
        for count in round_counts(smallest, largest)
    ]


def legend(figure: "Figure", columns: Sequence[Sequence[tuple[Any, str]]]) -> None:
    """A legend below all axes, with its entries in columns."""
    shown = [list(column) for column in columns if column]
    rows = max(map(len, shown))
    entries = [entry for column in shown for entry in column + [(handle(), "")] * (rows - len(column))]
    figure.legend(
        [entry for entry, _ in entries],
        [text for _, text in entries],
        loc="outside lower center",
        ncols=len(shown),
        frameon=False,
        labelspacing=0.6,
        columnspacing=2.5,
    )
