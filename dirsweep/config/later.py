"""Knobs that came when there were results already, whose numbers they leave as they are at their default.

Where a configuration is hashed they are left out at that default: a stage 1 that was stored before, or a
verdict that was begun, is found again.
"""

from typing import Any

LATER = {"processes": 1, "batch_norm": None, "accumulate": 1, "gather": "after", "compiled": False}
"""By name, with the default; none is the name of another knob that may have this value."""


def as_before(tree: Any) -> Any:
    """A dumped configuration, or part of one, without later knobs at their default."""
    if isinstance(tree, list):
        return [as_before(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    kept = {key: value for key, value in tree.items() if key not in LATER or value != LATER[key]}
    return {key: as_before(value) for key, value in kept.items()}
