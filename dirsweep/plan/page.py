"""A plan for people."""

import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dirsweep.plan.parents import Range
from dirsweep.plan.per_gpu import advice
from dirsweep.plan.reckon import Plan
from dirsweep.report.numbers import duration, written
from dirsweep.sharing import Sharing

WIDTH = 96
UNITS = ("B", "KB", "MB", "GB", "TB")


def page(plan: Plan) -> RenderableType:
    """Counts, the configurations that come first, and the forecast with its assumptions."""
    rows = [
        ("trainer-seconds", _times(plan.seconds), "controls included"),
        ("wall time", _times(plan.wall), f"{plan.workers} at once, Ray's start and end, setting up trials"),
        ("disk", size(plan.disk), "weights, records, predictions, stored stage 1s"),
        ("memory", size(plan.memory), f"{plan.workers} workers like the timed ones; Ray comes on top"),
    ]
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    lines = [
        textwrap.fill(f"- {said}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for said in plan.assumptions
    ]
    return Group(
        Text(_counts(plan)),
        Text("\nAsked first, timed for a few steps:", style="bold"),
        _first(plan),
        Text("\nForecast:", style="bold"),
        table,
        Text("\nif"),
        Text("\n".join(lines)),
    )


def sharing(found: Sequence[Sharing]) -> RenderableType:
    """How fast so many trials are that share a GPU, and what to make of it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("trials per GPU", "steps/s each", "steps/s in all", "memory each"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in found:
        if not one.refused:
            table.add_row(str(one.count), written(one.each), written(one.whole), size(one.memory))
    return Group(
        Text("\nThe default trial's stage 1, so many at once on one GPU:", style="bold"),
        table,
        Text(textwrap.fill(advice(found), WIDTH, break_on_hyphens=False)),
    )


def size(count: float) -> str:
    """Bytes for people: "1.2 GB"."""
    place = 0
    while count >= 1000 and place < len(UNITS) - 1:
        count, place = count / 1000, place + 1
    return f"{written(count)} {UNITS[place]}"


def _counts(plan: Plan) -> str:
    low, middle, high = (round(value) for value in plan.parents)
    number = f"{middle}" if low == high else f"{low} to {high}"
    runs = f"{plan.trials} trials and {plan.controls} controls"
    again = f", {plan.repeats} repeats of promising trials" if plan.repeats else ""
    noun = "stage 1 is" if number == "1" else "stage 1s are"
    return f"{runs}{again}; {number} {noun} trained for the trials."


def _times(found: Range) -> str:
    low, middle, high = map(duration, found)
    return middle if low == high else f"{middle} ({low} to {high})"


def _first(plan: Plan) -> Table:
    """A column for each configuration."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("trial", no_wrap=True)
    for pace in plan.paces:
        table.add_column(str(pace.trial), justify="right", no_wrap=True)
    names = sorted({name for pace in plan.paces for name in pace.params})
    for name in names:
        table.add_row(name, *(_value(pace.params.get(name)) for pace in plan.paces))
    table.add_section()
    table.add_row("stage 1, seconds", *(_cell(pace.refused, written(pace.stage1)) for pace in plan.paces))
    table.add_row("  in the store", *(_cell(pace.refused, f"{pace.stored:.0%}") for pace in plan.paces))
    table.add_row("stage 2, seconds", *(_cell(pace.refused, written(pace.stage2)) for pace in plan.paces))
    return table


def _cell(refused: str, value: str) -> str:
    return "refused" if refused else value


def _value(value: object) -> str:
    return "" if value is None else written(value) if isinstance(value, float) else str(value)


def refusals(plan: Plan) -> Sequence[str]:
    """Why configurations cannot be trained."""
    return [f"trial {pace.trial} cannot be trained: {pace.refused}" for pace in plan.paces if pace.refused]
