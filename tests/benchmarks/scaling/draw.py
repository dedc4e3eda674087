"""The picture of docs/scaling.md, and the figures that it is held to.

    python tests/benchmarks/scaling/draw.py SIMULATED.csv ALONE.csv PICTURE.svg

Exit status 1 if a figure is larger than it may be.
"""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dirsweep.pictures.colours import ALL, COLOURS, QUIET
from dirsweep.pictures.sheet import Sheet, handle, legend, style, svg, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dirsweep.storage import Record

PARTS = ("ask", "tell", "ledger", "decisions", "tune", "tracker")
OTHER = "other"
"""What the process spent beside these: Ray's own threads, imports."""
WINDOW = 100
"""Trials over which a figure is averaged."""
SHOWN = {
    "tune": ("Ray Tune", COLOURS["many"], "-"),
    "tracker": ("MLflow, in its own thread", COLOURS["few"], "-"),
    "ask": ("ask", COLOURS["median"], "-"),
    "decisions": ("decisions of the driver", ALL, "-"),
    "ledger": ("ledger", ALL, "--"),
    OTHER: ("Ray's threads, and the rest", QUIET, "-"),
}
ASKS = {
    "ask: TPE, 2 objectives": (COLOURS["median"], "circle"),
    "ask: TPE, 1 objective": (COLOURS["many"], "square"),
    "ask: staged, TPE, 2 objectives": (COLOURS["few"], "triangle-up"),
    "ask: NSGA-II, 2 objectives": (ALL, "circle"),
}
MOST_ASK, AT = 200.0, 2000
"""Milliseconds of an ask, at so many trials."""
MOST_GROWTH = 1.5
FLAT = ("ledger", "decisions", "tune", "tell", OTHER)


def read(file: Path) -> "list[Record]":
    """The rows of a CSV file, numbers as such."""
    with file.open(newline="") as lines:
        return [{name: _number(value) for name, value in row.items()} for row in csv.DictReader(lines)]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def per_trial(rows: "list[Record]", part: str) -> np.ndarray:
    """CPU milliseconds of a part per trial, by windows of trials; (n,) from the first told one on."""
    edges = [0, *range(WINDOW - 1, len(rows), WINDOW)]
    spent = np.array([_spent(rows[edge], part) for edge in edges])
    return np.diff(spent) / np.diff([rows[edge]["told"] for edge in edges]) * 1e3


def _spent(row: "Record", part: str) -> float:
    return float(row["cpu_s"] - sum(row[f"{one}_s"] for one in PARTS) if part == OTHER else row[f"{part}_s"])


def per_run(rows: "list[Record]") -> np.ndarray:
    """CPU milliseconds of the tracker per delivery, by windows; without those in which it made few."""
    edges = [0, *range(WINDOW - 1, len(rows), WINDOW)]
    spent, calls = (np.diff([rows[edge][f"tracker_{what}"] for edge in edges]) for what in ("s", "calls"))
    enough = calls > WINDOW / 3
    return spent[enough] / calls[enough] * 1e3


def asks(rows: "list[Record]", what: str) -> tuple[list[float], list[float]]:
    """Trials and milliseconds of an ask."""
    found = [(row["trials"], row["value"]) for row in rows if row["what"] == what]
    return [trials for trials, _ in found], [value for _, value in found]


def picture(simulated: "list[Record]", alone: "list[Record]") -> bytes:
    """Both panels: what a trial costs as the sweep grows, and an ask alone."""

    def draw(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2)
        _parts(left, simulated)
        _asks(right, alone)
        legend(
            figure,
            [
                [(handle(colour=colour, line=line, size=0), name) for name, colour, line in SHOWN.values()][
                    :3
                ],
                [(handle(colour=colour, line=line, size=0), name) for name, colour, line in SHOWN.values()][
                    3:
                ],
                [(handle(mark, colour, line="-"), name[5:]) for name, (colour, mark) in ASKS.items()][:2],
                [(handle(mark, colour, line="-"), name[5:]) for name, (colour, mark) in ASKS.items()][2:],
            ],
        )

    told = (
        f"{len(simulated):,} trials on 16 simulated nodes; left: means of {WINDOW} trials of 20 reports each"
    )
    return svg(Sheet("CPU time of the driver, by the length of a sweep", told, (9.0, 4.6)), draw)


def _parts(axes: "Axes", rows: "list[Record]") -> None:
    highest = 0.0
    for part, (_, colour, line) in SHOWN.items():
        spent = per_trial(rows, part)
        at = WINDOW * (np.arange(len(spent)) + 0.5)
        axes.plot(at, spent, color=colour, linestyle=line)
        highest = max(highest, float(spent.max()))
    style(axes, "trials told", "milliseconds of CPU per trial")
    ticks(axes.xaxis, 0, len(rows))
    ticks(axes.yaxis, 0, 1.1 * highest)


def _asks(axes: "Axes", rows: "list[Record]") -> None:
    for what, (colour, mark) in ASKS.items():
        trials, spent = asks(rows, what)
        axes.plot(
            trials, spent, color=colour, marker={"circle": "o", "square": "s"}.get(mark, "^"), markersize=5
        )
    axes.plot([AT], [MOST_ASK], marker="_", color=QUIET, markersize=16)
    place = {"textcoords": "offset points", "ha": "right", "va": "center", "color": QUIET}
    axes.annotate(f"at most {MOST_ASK:g} ms", (AT, MOST_ASK), (-12, 0), **place)
    style(axes, "trials told, 512 more under way", "milliseconds of CPU per ask")
    ticks(axes.xaxis, 80, 12_500, log=True)
    ticks(axes.yaxis, 2, 2_000, log=True)


def judged(simulated: "list[Record]", alone: "list[Record]") -> list[tuple[str, float, float]]:
    """What each figure is and the most that it may be."""
    found = []
    for part in FLAT:
        spent = per_trial(simulated, part)
        found.append((f"{part}: last {WINDOW} trials over first", float(spent[-1] / spent[0]), MOST_GROWTH))
    delivered = per_run(simulated)
    found.append(("tracker: a delivery, last over first", float(delivered[-1] / delivered[0]), MOST_GROWTH))
    for what in ASKS:
        found.append(
            (f"{what}, ms at {AT:,} trials", dict(zip(*asks(alone, what), strict=True))[AT], MOST_ASK)
        )
    return found


def main(simulated: Path, alone: Path, file: Path) -> None:
    """Draw, and print what the figures are."""
    rows, others = read(simulated), read(alone)
    file.write_bytes(picture(rows, others))
    found = judged(rows, others)
    for what, value, most in found:
        print(f"{what:60} {value:8.2f} (at most {most:g})")
    if any(value > most for _, value, most in found):
        sys.exit(1)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
