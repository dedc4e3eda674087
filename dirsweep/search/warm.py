"""Complete trials of earlier sweeps, for the sampler of a new one to learn from.

What is taken is written to the new sweep's ledger, so that resuming it needs no other folder. A trial
is taken with the values that the present space searches, read from its whole configuration: a name that
the earlier sweep held fixed has its value all the same.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from dirsweep import METHOD_VERSION
from dirsweep.config import TrialConfig
from dirsweep.ledger import Ledger, TrialRecord, trials
from dirsweep.search.check import name_problems
from dirsweep.search.distribution import Choice, Distribution, Int, Log, Uniform, encoded
from dirsweep.search.model import SweepSpec
from dirsweep.search.reach import below
from dirsweep.search.spec import own_tree
from dirsweep.storage import Folder, Record


@dataclass
class Warm:
    """What a sweep takes from earlier ones.

    trials: one record each: `from` (folder's name and trial), `params`, `metrics`.
    notes: what was taken and what was left out, in words, a line for each folder and each reason.
    """

    trials: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def gather(spec: SweepSpec, data: str) -> Warm:
    """The complete trials of the spec's `warm_start` folders.

    Args:
        data: hash of the present dataset.

    Raises:
        ValueError: a folder holds no sweep, one of other data or of another version of the method, or
            none of its trials can be taken.
    """
    found = Warm()
    for folder in spec.warm_start:
        _take(spec, Folder(folder), data, found)
    return found


def _take(spec: SweepSpec, folder: Folder, data: str, found: Warm) -> None:
    ledger = Ledger.open(folder)
    _check_same(folder, ledger.opening, data)
    earlier = own_tree(folder)
    searched = list(earlier.get("searched", {}))
    gone = [name for name in searched if name_problems({name: None})]
    dropped = [name for name in searched if name not in spec.searched and name not in gone]
    wanted = (*spec.objectives, *(constraint.metric for constraint in spec.constraints))
    taken, left_out, other = list[Record](), Counter[str](), dict[str, str]()
    for trial in trials(ledger.records).values():
        if trial.kind != "ask" or trial.state != "COMPLETE":
            continue
        try:
            metrics = _metrics(trial, wanted)
            config = _config(earlier, trial, gone)
            params = _params(spec, config)
            here = _here(spec, params)
        except ValueError as error:
            left_out[str(error)] += 1
            continue
        other |= _differences(config, here)
        taken.append({"from": f"{folder.name}/{trial.trial}", "params": params, "metrics": metrics})
    reasons = [f"{count} left out: {reason}" for reason, count in left_out.items()]
    if not taken:
        why = "; ".join(reasons) or "it has no complete trial"
        raise ValueError(f"'warm_start': {folder}: no trial can be taken ({why}); leave the folder out")
    found.trials += taken
    notes = [f"{len(taken)} trials taken", *reasons]
    notes += [f"{name} is no parameter any more and is left out" for name in gone]
    notes += [f"{name} is not searched here and is left out" for name in dropped]
    notes += [
        f"{name} was {values}: the results are taken as they are"
        for name, values in other.items()
        if name not in dropped
    ]
    found.notes += [f"warm start from {folder.name}: {note}" for note in notes]


def _check_same(folder: Folder, opening: Record, data: str) -> None:
    for name, here in (("data", data), ("method_version", METHOD_VERSION)):
        if opening.get(name) != here:
            raise ValueError(
                f"'warm_start': {folder}: begun with {name} {opening.get(name)}, but here it is {here}: its "
                "errors are not comparable with this sweep's; leave the folder out"
            )


def _metrics(trial: TrialRecord, wanted: tuple[str, ...]) -> dict[str, float]:
    for name in wanted:
        if not math.isfinite(trial.metrics.get(name, math.nan)):
            raise ValueError(f"no finite {name}, which is an objective or constrained here")
    return {name: trial.metrics[name] for name in wanted}


def _config(earlier: dict[str, Any], trial: TrialRecord, gone: list[str]) -> dict[str, Any]:
    """A trial's whole configuration as a tree, without parameters that are `gone`."""
    known = {name: value for name, value in trial.params.items() if name not in gone}
    try:
        config = TrialConfig.model_validate(earlier.get("fixed", {})).with_overrides(known)
    except ValueError:
        raise ValueError("its configuration is none that dirsweep takes now") from None
    return config.model_dump(mode="json")


def _differences(then: Any, here: Any, name: str = "") -> dict[str, str]:
    """By dotted name, what two configurations set differently; not where the data lie or what they run on."""
    if name.split(".")[0] in ("dataset", "device", "threads", "processes", "seed"):
        return {}
    if isinstance(then, dict) and isinstance(here, dict):
        found: dict[str, str] = {}
        for key in [*then, *(key for key in here if key not in then)]:
            found |= _differences(then.get(key), here.get(key), f"{name}.{key}".lstrip("."))
        return found
    return {} if then == here else {name: f"{json.dumps(then)} and is {json.dumps(here)} here"}


def _here(spec: SweepSpec, params: dict[str, Any]) -> dict[str, Any]:
    """The whole configuration that these values make in the present space, as a tree."""
    try:
        return spec.config(params).model_dump(mode="json")
    except ValueError:
        raise ValueError("its values do not go together with what is fixed here") from None


def _params(spec: SweepSpec, config: dict[str, Any]) -> dict[str, Any]:
    """The values of the present space's names in a configuration; ValueError if one is outside it."""
    params: dict[str, Any] = {}
    for name in spec.order():
        if spec.active(name, params):
            value = below(config, name)
            asked = _asked_as(spec.searched[name], value)
            if not asked:
                raise ValueError(f"{name} {encoded(value)} is outside the present space")
            params[name] = asked[0]
    return params


def _asked_as(distribution: Distribution, value: Any) -> list[Any]:
    """A configuration's value as the space writes it, where 1 may stand for 1.0; none if it is outside."""
    if isinstance(distribution, Choice):
        return [one for one in distribution.values if _alike(one, value)]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    low, high = distribution.ends
    if not low <= value <= high:
        return []
    match distribution:
        case Int(step=step):
            return [int(value)] if float(value).is_integer() and (value - low) % step == 0 else []
        case Uniform(step=float(step)):
            steps = round((value - low) / step)
            return [value] if math.isclose((value - low) / step, steps, abs_tol=1e-6) else []
        case Uniform() | Log():
            return [value]


def _alike(one: Any, other: Any) -> bool:
    """Whether two plain values are the same to a configuration: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
