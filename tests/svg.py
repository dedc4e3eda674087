"""Read back what matplotlib drew into an SVG: texts, and marks and lines on the scales of their axes."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

XML = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
Element = ElementTree.Element
Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A mark or a bar, as the box around it.

    centre, low, high: (x, y) on the scales of its axes.
    """

    centre: Point
    low: Point
    high: Point
    style: str


class Svg:
    """A picture, by the ids that its groups were given."""

    def __init__(self, content: bytes) -> None:
        parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
        self.root = ElementTree.fromstring(content, parser)
        self.ids = {one.get("id", ""): one for one in self.root.iter()}
        self._parent = {child: one for one in self.root.iter() for child in one}

    @property
    def texts(self) -> list[str]:
        """Every text: it is drawn as shapes, beside a comment with what it says."""
        return _texts(self.root)

    def shapes(self, name: str) -> list[Shape]:
        """The marks of a group."""
        group, found = self.ids[name], []
        for one in group.iter():
            if one.tag == f"{XML}use":
                offset = float(one.get("x", "")), float(one.get("y", ""))
                points = _points(self.ids[one.get(LINK, "")[1:]].get("d", ""))
                points = [(x + offset[0], y + offset[1]) for x, y in points]
            elif one.tag == f"{XML}path" and self._parent[one].tag != f"{XML}defs":
                points = _points(one.get("d", ""))
            else:
                continue
            corners = np.array([np.min(points, axis=0), np.max(points, axis=0)])
            low, high, centre = (self._at(group, *at) for at in (*corners, corners.mean(axis=0)))
            found.append(Shape(centre, (low[0], high[1]), (high[0], low[1]), one.get("style", "")))
        return found

    def line(self, name: str) -> list[Point]:
        """The points of a line, without its marks."""
        [path] = [one for one in self.ids[name] if one.tag == f"{XML}path"]
        return [self._at(self.ids[name], *point) for point in _points(path.get("d", ""))]

    def _at(self, element: Element, x: float, y: float) -> Point:
        axes = element
        while not axes.get("id", "").startswith("axes_"):
            axes = self._parent[axes]
        return self._value(axes, "x", x), self._value(axes, "y", y)

    def _value(self, axes: Element, side: str, at: float) -> float:
        """A place in the picture by the ticks beside it, or by those of the axes that it shares them with."""
        others = [one for name, one in self.ids.items() if name.startswith("axes_") and one is not axes]
        for one in (axes, *others):
            ticks = [tick for tick in one.iter() if tick.get("id", "").startswith(f"{side}tick_")]
            labelled = [tick for tick in ticks if _texts(tick)]
            if labelled:
                places = [float(next(tick.iter(f"{XML}use")).get(side, "")) for tick in labelled]
                values = np.array([float(_texts(tick)[0].replace(",", "")) for tick in labelled])
                line = np.polyfit(places, values, 1)
                if np.allclose(np.polyval(line, places), values, atol=1e-3 * np.ptp(values)):
                    return float(np.polyval(line, at))
                return float(10 ** np.polyval(np.polyfit(places, np.log10(values), 1), at))
        raise AssertionError(f"no axes have a labelled {side} scale")


def _texts(element: Element) -> list[str]:
    return [str(one.text).strip() for one in element.iter(ElementTree.Comment)]


def _points(path: str) -> list[Point]:
    """The corners of a path; of a curve, where each piece ends."""
    found = []
    for piece in re.findall(r"[MLQC][^MLQCz]+", path):
        numbers = [float(number) for number in piece[1:].split()]
        found.append((numbers[-2], numbers[-1]))
    return found
