"""Plotly figures as plain dicts, and the place on the page where one is drawn.

A colour that begins with "@" is a CSS variable of the page ("@ink"): the script puts its value in, anew when
the reader's light or dark mode changes. All texts of a sweep go through `text`, for Plotly reads some markup.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dirsweep.report.html.markup import Html, tag
from dirsweep.report.html.values import shown

Figure = dict[str, Any]
Trace = dict[str, Any]
Figures = dict[str, Figure]
"""By the id of the element that each is drawn in."""

WIDE = 4.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


def text(value: object) -> str:
    """A text of the sweep inside a figure, without markup."""
    return html.escape(str(value), quote=False)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with its title."""
    return {"title": {"text": text(title)}, **more}


def spread_axis(title: str, values: Iterable[float], **more: Any) -> dict[str, Any]:
    """An axis for errors: logarithmic, and said to be, where a few large ones would press the others flat."""
    finite = [value for value in values if math.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > WIDE * min(finite):
        return axis(f"{title} (log scale)", type="log", nticks=8, minexponent=5, **more)
    return axis(title, **more)


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
