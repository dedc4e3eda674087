"""How much each searched name decides each objective, by Optuna's PED-ANOVA.

PED-ANOVA (Watanabe et al., 2023) compares how a name's values are spread among the best trials with how
they are spread among all: a name whose best values are the same as any others decides nothing. Names
with conditions are compared where they are asked. Children of a staged sweep's base parent are left
out: they lack the names that the others were searched over.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from dirsweep.ledger import TrialRecord
from dirsweep.search.model import SweepSpec
from dirsweep.search.sampler import in_study, optuna_distribution

FEWEST = 10
"""Complete trials below which the answer would be noise."""
BEST = 5
"""Trials among the best ones at least; Optuna advises five."""


@dataclass(frozen=True)
class Importance:
    """What decides a sweep's results.

    shares: objective to name to its share, most important first; the shares of an objective sum to 1.
    trials: complete trials that it rests on, without a base parent's.
    reason: why `shares` is empty; "" if it is not.
    """

    shares: dict[str, dict[str, float]]
    trials: int
    reason: str = ""


def importance(spec: SweepSpec, trials: Mapping[str, TrialRecord]) -> Importance:
    """The importance of each searched name for each objective, over complete trials (no controls)."""
    complete = [
        trial
        for trial in trials.values()
        if trial.kind == "ask" and trial.state == "COMPLETE" and _is_inside(spec, trial)
    ]
    if len(complete) < FEWEST:
        reason = f"needs {FEWEST} complete trials, there are {len(complete)}"
        return Importance({}, len(complete), reason)
    flat = [name for name in spec.objectives if len({trial.metrics[name] for trial in complete}) == 1]
    if flat:
        return Importance({}, len(complete), f"all complete trials have the same {flat[0]}")
    return Importance({name: _shares(spec, complete, name) for name in spec.objectives}, len(complete))


def _is_inside(spec: SweepSpec, trial: TrialRecord) -> bool:
    """Whether a trial has a value of the space for every name that it would be asked."""
    asked = {name for name in spec.searched if spec.active(name, trial.params)}
    return set(in_study(spec, trial.params)) == asked


def _shares(spec: SweepSpec, complete: list[TrialRecord], objective: str) -> dict[str, float]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    space = {name: optuna_distribution(distribution) for name, distribution in spec.searched.items()}
    for trial in complete:
        params = in_study(spec, trial.params)
        study.add_trial(
            create_trial(
                params=params,
                distributions={name: space[name] for name in params},
                value=trial.metrics[objective],
            )
        )
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, BEST / len(complete)))
    with warnings.catch_warnings():
        # That a condition held once only is no news to a reader of a few dozen trials.
        warnings.filterwarnings("ignore", message="Some regimes for parameter")
        return get_param_importances(study, evaluator=evaluator)
