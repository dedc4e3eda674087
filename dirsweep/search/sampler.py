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
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from dirsweep.search.distribution import Choice, Distribution, Int, Log, Uniform, encoded
from dirsweep.search.model import SweepSpec
from dirsweep.search.parts import GP, NSGA2, TPE, QuasiRandom


def sampler(spec: SweepSpec, number: int) -> BaseSampler:
    """The sampler of one trial, seeded by the spec's seed and the trial's number.

    The quasi-random one by the spec's seed alone: another scrambling each time would make its points
    independent random draws. TPE keeps Optuna's defaults: parameters jointly for one objective, each on
    its own for several; conditional ones always each on its own. `group=True` would model those jointly
    too, but is experimental and splits a few dozen trials into groups too small to learn from. Running
    trials count as bad ones (`constant_liar`, the default), so that workers do not crowd one spot.
    """
    seed = int(np.random.SeedSequence((spec.seed, number)).generate_state(1)[0])
    match spec.sampler:
        case TPE(startup=startup):
            return TPESampler(seed=seed, n_startup_trials=startup)
        case QuasiRandom():
            return _Sobol(spec)
        case NSGA2(population=population):
            return NSGAIISampler(seed=seed, population_size=population)
        case GP(startup=startup):
            from optuna.samplers import GPSampler  # torch and scipy, which the others do without

            return GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
        case _:
            return RandomSampler(seed=seed)


def warm_attrs(spec: SweepSpec) -> dict[str, Any]:
    """What the sampler would have noted on a finished trial; NSGA-II passes over trials of no generation."""
    return {"NSGAIISampler:generation": 0} if isinstance(spec.sampler, NSGA2) else {}


class _Sobol(QMCSampler):
    """One scrambled Sobol sequence over all searched names, from the first trial on.

    Optuna would draw the first trial at random and span the sequence over that trial's names only. Here
    a name whose condition does not hold leaves its coordinate unused, and the rest stays even.
    """

    def __init__(self, spec: SweepSpec) -> None:
        super().__init__(scramble=True, seed=spec.seed, warn_independent_sampling=False)
        self._space = {name: optuna_distribution(spec.searched[name]) for name in sorted(spec.searched)}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._space


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
