"""A sweep as one JSON object, for scripts: `trials`, `controls`, `spent` and `best`."""

import math
from typing import Any

from dirsweep.ledger import TrialRecord
from dirsweep.report.load import SweepReport


def as_json(report: SweepReport) -> dict[str, Any]:
    """Plain JSON values; a number that is NaN or infinite is null.

    `trials` and `best` (null without a complete, feasible trial) are objects with number, status, reason (why
    it failed or was pruned), params, metrics and seconds; `controls` have name, of and control in place of
    the number, and so have `repeats`, trials with a further seed. The metrics of `best` are means over its
    seeds.
    """
    controls = [trial for trial in report.trials.values() if trial.kind == "control"]
    tree = {
        "trials": [_trial(trial) for trial in report.asked],
        "controls": [_control(trial) for trial in controls if not trial.is_repeat],
        "repeats": [_control(trial) for trial in controls if trial.is_repeat],
        "spent": {
            "trainer_seconds": report.spent.trainer_seconds,
            "reused_seconds": report.spent.reused_seconds,
            "parents": report.spent.parents,
            "children": report.spent.children,
        },
        "best": None if report.best is None else _trial(report.best),
    }
    return {name: _finite(part) for name, part in tree.items()}


def _trial(trial: TrialRecord) -> dict[str, Any]:
    return {"number": int(trial.trial), **_result(trial)}


def _control(trial: TrialRecord) -> dict[str, Any]:
    return {"name": trial.trial, "of": trial.of, "control": trial.control, **_result(trial)}


def _result(trial: TrialRecord) -> dict[str, Any]:
    return {
        "status": trial.state,
        "reason": trial.reason,
        "params": trial.params,
        "metrics": trial.metrics,
        "seconds": trial.seconds,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
