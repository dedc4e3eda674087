"""Write numbers for people: three significant digits, no exponents, a dash where there is none."""

import json
import math
from collections.abc import Iterable
from typing import Any

SHOTS = ("all", "many", "median", "few")


def headed(metric: str) -> str:
    """A metric's name over a column: "MAE", "Pearson"."""
    return metric.capitalize() if metric == "pearson" else metric.upper()


def unit(metric: str, of_label: str) -> str:
    """In what an error is given, by the unit of labels; `metric` may have its split and shot."""
    return f"in squared {of_label}" if metric.endswith("mse") else f"in {of_label}"


def digits(values: Iterable[float | None]) -> int:
    """Decimals that show three significant digits of the smallest of some values, at most 6."""
    sizes = [abs(value) for value in values if value is not None and math.isfinite(value) and value != 0]
    return min(6, max(0, 2 - math.floor(math.log10(min(sizes))))) if sizes else 0


def written(value: float | None, decimals: int | None = None) -> str:
    """A number with `decimals`, by default as many as make three significant digits; "-" for none or NaN."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.{digits([value]) if decimals is None else decimals}f}"


def shown(value: Any) -> str:
    """A searched value: a number with three significant digits ("1.4e-06"), text as it is, else as JSON."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < 1e-4 else written(value)
    return value if isinstance(value, str) else json.dumps(value)


def duration(seconds: float) -> str:
    """Seconds for people: "0.35 s", "12 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if 0.005 <= seconds < 0.995:
        return f"{seconds:.2f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
