"""How a searched value is written."""

import json
from typing import Any

from dirsweep.report.numbers import written


def shown(value: Any) -> str:
    """A number with three significant digits ("1.4e-06"), text as it is, anything else as JSON."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < 1e-4 else written(value)
    return value if isinstance(value, str) else json.dumps(value)
