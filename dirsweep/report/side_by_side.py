"""Several sweeps beside one another in a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from dirsweep.report.compare import (
    Comparable,
    Tested,
    apart,
    left_out,
    test_note,
    tested,
    val_note,
    verdict_lines,
)
from dirsweep.report.numbers import SHOTS, digits, headed, written


def comparison(groups: Sequence[Comparable]) -> RenderableType:
    """All of it for a terminal."""
    parts: list[RenderableType] = [Text(said)] if (said := apart(groups)) else []
    for group in groups:
        parts += [Text(f"\n{group.title}", style="bold"), _on_val(group)]
        for entry in group.entries:
            parts += [Text(f"{entry.name}: {line}") for line in verdict_lines(entry)]
        rows = tested(group)
        if rows:
            parts += [Text(f"\n{test_note(group)}"), _on_test(group, rows)]
        elif group.unlike:
            parts.append(Text(f"\n{left_out(group)}"))
    return Lines(*parts)


def _on_val(group: Comparable) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), caption=val_note(group))
    table.caption_justify = "left"
    table.add_column("sweep, trial", no_wrap=True)
    columns = [f"val/{shot}/{metric}" for metric in group.metrics for shot in SHOTS]
    every_one = [one for entry in group.entries for one in entry.shown]
    decimals = [digits(one.metrics.get(name) for one in every_one) for name in columns]
    for metric in group.metrics:
        for shot in SHOTS:
            short = "r" if metric == "pearson" else headed(metric)
            table.add_column(f"{short}\n{shot}", justify="right", no_wrap=True)
    table.add_column("trainer\nseconds", justify="right", no_wrap=True)
    for entry in group.entries:
        count, seconds = len(entry.report.asked), written(entry.report.spent.trainer_seconds, 1)
        head = f"{entry.name}: {entry.method or 'no winner'}, {count} trial{'' if count == 1 else 's'}"
        table.add_row(Text(head, style="bold"), *("" for _ in columns), seconds)
        for one in entry.shown:
            role = entry.role(one)
            name = f"  {one.trial}" if role == "control" else f"  {one.trial} {role}"
            values = [one.metrics.get(column) for column in columns]
            table.add_row(Text(name), *map(written, values, decimals), written(one.seconds or None, 1))
    return table


def _on_test(group: Comparable, rows: Sequence[Tested]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("configuration")
    table.add_column("source")
    for metric in group.metrics:
        for shot in SHOTS:
            short = "r" if metric == "pearson" else headed(metric)
            table.add_column(f"{short}\n{shot}", justify="right", no_wrap=True)
    table.add_column("adds\nup")
    for row in rows:
        texts = [row.written.get((metric, shot), "-") for metric in group.metrics for shot in SHOTS]
        table.add_row(Text(row.name), Text(row.source), *texts, row.adds_up)
    return table
