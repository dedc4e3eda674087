"""Optuna's side of a search space: samplers, distributions, suggestions."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from dirsweep.search.distribution import Choice, Distribution, Int, Log, Uniform, encoded
from dirsweep.search.model import TPE, SweepSpec


def sampler(spec: SweepSpec, number: int) -> BaseSampler:
    """The sampler of one trial, seeded by the spec's seed and the trial's number.

    TPE keeps Optuna's defaults: parameters jointly for one objective, each on its own for several;
    conditional ones always each on its own. `group=True` would model those jointly too, but is
    experimental and splits a few dozen trials into groups too small to learn from. Running trials
    count as bad ones (`constant_liar`, the default), so that workers do not crowd one spot.
    """
    seed = int(np.random.SeedSequence((spec.seed, number)).generate_state(1)[0])
    match spec.sampler:
        case TPE(startup=startup):
            return TPESampler(seed=seed, n_startup_trials=startup)
        case _:
            return RandomSampler(seed=seed)


def optuna_distribution(distribution: Distribution) -> BaseDistribution:
    """Optuna's form of a distribution; choices as JSON text, since Optuna takes 1 and true for equal."""
    match distribution:
        case Uniform(ends=(low, high), step=step):
            return FloatDistribution(low, high, step=step)
        case Log(ends=(low, high)):
            return FloatDistribution(low, high, log=True)
        case Int(ends=(low, high), step=step, log=log):
            return IntDistribution(low, high, log=log, step=step or 1)
        case Choice(values=values):
            return CategoricalDistribution([encoded(value) for value in values])


def suggested(trial: optuna.Trial, name: str, asked: Distribution, distribution: BaseDistribution) -> Any:
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            text = trial.suggest_categorical(name, choices)
            assert isinstance(asked, Choice)
            return next(value for value in asked.values if encoded(value) == text)
    raise AssertionError(f"{name}: no distribution {distribution}")
