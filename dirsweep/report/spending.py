"""Where a profiled trial's time went: its parts, and PyTorch's own operations."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dirsweep.report.numbers import duration, written

if TYPE_CHECKING:
    from dirsweep.profile import Spent  # it comes with PyTorch, which a report does without

SHOWN = 10
"""Operations that are shown."""
NOTE = (
    "methods: losses, norm ordinality, feature methods and the norm term of stage 2, forward; what they take "
    "backward is in backward."
)


def spending(spent: "Spent") -> RenderableType:
    """Two tables: the parts of the wall time, and the longest operations of the traced steps."""
    whole = sum(spent.seconds.values())
    parts = _table(f"part of {duration(whole)} of training", "seconds", "share")
    for name, seconds in spent.seconds.items():
        parts.add_row(name, written(seconds, 2), _share(seconds, whole))
    traced = f"operation, in {written(spent.traced, 2)} s that were traced"
    longest = _table(traced, "calls", "seconds", "share")
    for name, calls, seconds in spent.operations[:SHOWN]:
        longest.add_row(name, f"{calls:,}", written(seconds, 3), _share(seconds, spent.traced))
    return Group(parts, Text(NOTE), longest)


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%"
