"""What a trial exceeds: constraint values as Optuna counts them, feasible at 0 and below."""

import math
from collections.abc import Mapping

from dirsweep.ledger import TrialRecord
from dirsweep.search.model import SweepSpec
from dirsweep.search.parts import Constraint


def constraint_values(
    spec: SweepSpec, metrics: Mapping[str, float], known: Mapping[str, TrialRecord]
) -> dict[str, float]:
    """How far each constraint is exceeded, in label units; NaN where the metric is missing.

    Args:
        metrics: a trial's final metrics.
        known: all trials and controls, for constraints that are relative to one.

    Raises:
        ValueError: a constraint is relative to a control that has no such result.
    """
    return {
        f"{place} {constraint.metric}": metrics.get(constraint.metric, math.nan) - limit(constraint, known)
        for place, constraint in enumerate(spec.constraints)
    }


def limit(constraint: Constraint, known: Mapping[str, TrialRecord]) -> float:
    """The largest allowed value, in label units.

    Raises:
        ValueError: it is relative to a control that did not finish or lacks the metric.
    """
    if constraint.of is None:
        return constraint.at_most
    control = known.get(constraint.of)
    value = control.metrics.get(constraint.metric, math.nan) if control is not None else math.nan
    if control is None or control.state != "COMPLETE" or not math.isfinite(value):
        raise ValueError(
            f"constraint '{constraint.metric} at most {constraint.at_most:g} of {constraint.of}' cannot be "
            f"judged: {_why(constraint, control, value)}; give `at_most` in label units without `of`, or "
            "mend `fixed`, and start a new sweep"
        )
    return constraint.at_most * value


def _why(constraint: Constraint, control: TrialRecord | None, value: float) -> str:
    if control is None or control.state == "OPEN":
        return f"the control {constraint.of} has not finished"
    if control.state != "COMPLETE":
        return f"the control {constraint.of} failed ({control.reason})"
    return f"the control {constraint.of} found {value} for {constraint.metric}"
