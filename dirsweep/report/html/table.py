"""A table that sorts by click and by key, and shows its first rows while it is long.

All rows lie in the page as JSON; the first are also markup, so that the page reads without its script.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

from dirsweep.report.html.markup import Html, breakable, data_block, joined, tag
from dirsweep.report.numbers import written

FIRST = 50
"""Rows that are shown until all are asked for."""


@dataclass(frozen=True)
class Column:
    """head: what stands over it; group: over several of them; wide: holds text that may take lines."""

    head: str
    group: str = ""
    numeric: bool = True
    wide: bool = False


@dataclass(frozen=True)
class Cell:
    """text: as it is shown; key: what it is sorted by, None goes last in either direction."""

    text: str
    key: float | str | None = None


def number(value: float | None, decimals: int) -> Cell:
    """A number with so many decimals; a dash where there is none."""
    is_number = value is not None and value == value
    return Cell(written(value, decimals), value if is_number else None)


@dataclass(frozen=True)
class Row:
    """kind: its class on the page; pinned: shown although others are cut off. The first cell names it."""

    cells: Sequence[Cell]
    kind: str = ""
    pinned: bool = False


def table(
    identity: str,
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    sorted_by: int | None = None,
) -> Html:
    """The table in a box of its own that scrolls sideways.

    Args:
        identity: id of the table, unique on the page.
        caption: what it holds, for all readers.
        sorted_by: the column by which the rows come sorted, if by one.
    """
    shown = [row for place, row in enumerate(rows) if place < FIRST or row.pinned]
    body = tag("tbody", *(_row(columns, row) for row in shown))
    marks = [place == sorted_by for place in range(len(columns))]
    head = tag("thead", _groups(columns), tag("tr", *map(_head, columns, marks)))
    grid = tag("table", tag("caption", tag("span", caption)), head, body, id=identity, class_="sortable")
    box = tag(
        "div", grid, class_="scroll", tabindex="0", role="region", aria_label=f"{caption}, scrolls sideways"
    )
    more = tag(
        "button",
        f"Show all {len(rows):,} rows",
        type="button",
        class_="more",
        data_table=identity,
        aria_controls=identity,
        hidden=len(shown) == len(rows),
    )
    state = tag("p", class_="sr", role="status", id=f"{identity}-state")
    data = {
        "first": FIRST,
        "columns": [{"numeric": column.numeric, "wide": column.wide} for column in columns],
        "rows": [
            [row.kind, row.pinned, [cell.text for cell in row.cells], [cell.key for cell in row.cells]]
            for row in rows
        ],
    }
    return tag("div", box, more, state, data_block(f"{identity}-rows", data), class_="tabled")


def plain_table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[object]], *, texts: Collection[int] = (0,)
) -> Html:
    """A short table that needs no sorting; columns in `texts` hold text, the others numbers."""

    def cell(place: int, value: object) -> Html:
        if place == 0:
            return tag("th", value, scope="row")
        return tag("td", value, class_=None if place in texts else "n")

    head = [tag("th", name, scope="col", class_=None if k in texts else "n") for k, name in enumerate(heads)]
    body = [tag("tr", *(cell(place, value) for place, value in enumerate(row))) for row in rows]
    grid = tag(
        "table", tag("caption", tag("span", caption)), tag("thead", tag("tr", *head)), tag("tbody", *body)
    )
    return tag("div", grid, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _groups(columns: Sequence[Column]) -> Html | None:
    """The row over the heads, where there are groups."""
    if not any(column.group for column in columns):
        return None
    runs = [(group, len(list(run))) for group, run in groupby(columns, key=lambda column: column.group)]
    return tag(
        "tr",
        *(
            tag("th", group, colspan=count, scope="colgroup") if group else tag("td", colspan=count)
            for group, count in runs
        ),
        class_="groups",
    )


def _head(column: Column, is_sorted: bool) -> Html:
    name = f"{column.group} {column.head}" if column.group else None  # "all" stands over several columns
    button = tag("button", breakable(column.head), type="button", aria_label=name)
    order = "ascending" if is_sorted else "none"
    return tag("th", button, scope="col", aria_sort=order, class_="n" if column.numeric else None)


def _row(columns: Sequence[Column], row: Row) -> Html:
    cells = []
    for place, (column, cell) in enumerate(zip(columns, row.cells, strict=True)):
        kind = "n" if column.numeric else "wide" if column.wide else None
        cells.append(tag("th", cell.text, scope="row") if place == 0 else tag("td", cell.text, class_=kind))
    return tag("tr", joined(*cells), class_=row.kind or None)
