"""How a searched value is written."""

import json
from typing import Any

from dirsweep.report.numbers import written


def shown(value: Any) -> str:
    """A number with three significant digits, text as it is, anything else as JSON."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return written(value)
    return value if isinstance(value, str) else json.dumps(value)
