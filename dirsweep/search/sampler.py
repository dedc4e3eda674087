"""Optuna's side of a search space: samplers, distributions, suggestions."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
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
            return Sobol(spec, number)
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


class Sobol(BaseSampler):
    """One scrambled Sobol sequence over all searched names; a trial's point follows from its number.

    Not Optuna's own, which is experimental, draws the first trial at random and spans the sequence over
    that trial's names only. Here a name whose condition does not hold leaves its coordinate unused.
    """

    def __init__(self, spec: SweepSpec, number: int) -> None:
        self._seed, self._number = spec.seed, number
        self._space = {name: optuna_distribution(spec.searched[name]) for name in sorted(spec.searched)}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All searched names."""
        return self._space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The trial's point."""
        from scipy.stats import qmc  # takes a while, and the other samplers do without

        engine = qmc.Sobol(len(search_space), scramble=True, seed=self._seed)
        if self._number:
            engine.fast_forward(self._number)
        point = engine.random(1)[0]  # (D,) in [0, 1)
        return {
            name: _at(float(share), space)
            for share, (name, space) in zip(point, search_space.items(), strict=True)
        }

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Never needed: the point has every name."""
        raise AssertionError(f"{param_name} is not in the space")


def _at(share: float, distribution: BaseDistribution) -> Any:
    """The value below which a random draw falls with probability `share`, 0 <= share < 1."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[int(share * len(choices))]
        case IntDistribution(low=low, high=high, log=True):
            ends = math.log(low - 0.5), math.log(high + 0.5)  # each whole number has its own stretch
            return min(max(round(math.exp(ends[0] + share * (ends[1] - ends[0]))), low), high)
        case IntDistribution(low=low, high=high, step=step):
            return low + step * int(share * ((high - low) // step + 1))
        case FloatDistribution(low=low, high=high, log=True):
            return min(math.exp(math.log(low) + share * math.log(high / low)), high)
        case FloatDistribution(low=low, high=high, step=None):
            return low + share * (high - low)
        case FloatDistribution(low=low, high=high, step=step):
            assert step is not None
            return min(low + step * int(share * (round((high - low) / step) + 1)), high)
    raise AssertionError(f"no distribution {distribution}")


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


def in_study(spec: SweepSpec, params: Mapping[str, Any]) -> dict[str, Any]:
    """Searched values as a study holds them; without the base parent's, which are no searched ones."""
    given = {}
    for name, value in params.items():
        match spec.searched.get(name):
            case None:
                continue
            case Choice(values=values):
                if encoded(value) in map(encoded, values):
                    given[name] = encoded(value)
            case _:
                given[name] = value
    return given


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
