"""Plotly figures as plain dicts, and the place on the page where one is drawn.

A colour that begins with "@" is a CSS variable of the page ("@ink"): the script puts its value in, anew when
the reader's light or dark mode changes. All texts of a sweep go through `text`, for Plotly reads some markup.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dirsweep.report.html.markup import Html, tag
from dirsweep.report.numbers import shown

Figure = dict[str, Any]
Trace = dict[str, Any]
Figures = dict[str, Figure]
"""By the id of the element that each is drawn in."""

SHARE = 0.75
"""Of the values that an axis shows at least; a few hopeless trials would press the others flat."""
FAR = 3.0
"""Spans of what must be in view up to which all values are."""


def text(value: object) -> str:
    """A text of the sweep inside a figure, without markup."""
    return html.escape(str(value), quote=False)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with its title."""
    return {"title": {"text": text(title)}, **more}


def focused(title: str, values: Sequence[float], needed: Iterable[float], **more: Any) -> dict[str, Any]:
    """An axis for errors that begins at the bulk of them; a double click shows all.

    Args:
        values: all there are; where the largest lie far off, at least three quarters are in view.
        needed: values that must be in view: the front's, the controls'.
    """
    top, low = upper(values, needed), min(values, default=0.0)
    if top >= max(values, default=0.0):
        return axis(title, **more)
    pad = 0.06 * (top - low) or 0.06 * abs(top)
    return axis(title, range=[low - pad, top + pad], **more)


def upper(values: Sequence[float], needed: Iterable[float]) -> float:
    """The largest value in view: all of them, unless that were over `FAR` times the span that is needed."""
    if not values:
        return 0.0
    ordered = sorted(values)
    low, bulk = ordered[0], ordered[math.ceil(SHARE * len(ordered)) - 1]
    least = max([bulk, *needed])
    return ordered[-1] if ordered[-1] - low <= FAR * (least - low) else least


def outside(count: int) -> str:
    """A sentence on trials that are not in view; "" where all are."""
    if not count:
        return ""
    are = "trial has larger errors and lies" if count == 1 else "trials have larger errors and lie"
    return f" {count} {are} outside the picture; a double click shows all."


def figure(traces: Sequence[Trace], height: int, **layout: Any) -> Figure:
    """A figure of a height in CSS pixels, as wide as its place."""
    return {"data": list(traces), "layout": {"height": height, **layout}}


def drawn(
    identity: str, summary: str, *, caption: object = None, height: int, least: int | None = None
) -> Html:
    """The place of a figure.

    Args:
        identity: id of the element, under which `Figures` has the figure.
        summary: what the picture shows, in words, for those who do not see it.
        caption: the same for all, with what a reader must know; left out, the summary.
        height: in CSS pixels, so that nothing moves when it is drawn.
        least: width in CSS pixels below which the place scrolls.
    """
    style = f"min-height:{height}px" + (f";min-width:{least}px" if least else "")
    place = tag("div", id=identity, class_="plot", role="img", aria_label=summary, style=style)
    box = (
        tag("div", place, class_="scroll", tabindex="0", role="region", aria_label=f"{summary[:80]}, scrolls")
        if least
        else place
    )
    return tag("figure", box, tag("figcaption", summary if caption is None else caption))


def configuration(params: Mapping[str, Any]) -> str:
    """Searched values for a hover, a line each."""
    return "<br>".join(f"{text(name)} = {text(shown(value))}" for name, value in params.items())
