"""Ask and tell: an Optuna study in memory that the ledger can rebuild at any record.

An ask depends on nothing but the spec, its trial number and the records before it: the sampler is
made anew for each number, and the study holds what the ledger holds. So a resumed sweep asks what
it would have asked. Optuna's own storages are not used: a second source of truth drifts from the
first when the driver dies between the two.
"""

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from dirsweep.ledger import Ledger, State, TrialRecord, trials
from dirsweep.search.constraints import constraint_values, limit
from dirsweep.search.distribution import Choice, Distribution, Int, Log, Uniform, encoded
from dirsweep.search.model import TPE, SweepSpec


class Search:
    """Asks and tells of one sweep; `submit_ask` and `submit_tell` run in one thread, in order.

    Trials that are open in the ledger stay running in the study until they are told. The ledger's
    `ask` and `tell` records are written in that thread too, so their order is that of the study.
    """

    def __init__(self, spec: SweepSpec, ledger: Ledger) -> None:
        """Replay `ledger`. ValueError if it belongs to another spec."""
        if ledger.opening["spec"] != spec.hash:
            raise ValueError(
                f"the ledger was begun with another spec ({ledger.opening['spec'][:12]}) than this one "
                f"({spec.hash[:12]}); resume it with its own spec.yaml, or start another sweep"
            )
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._spec, self._ledger = spec, ledger
        self._order = spec.order()
        self._distributions = {name: optuna_distribution(spec.searched[name]) for name in self._order}
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            directions=["minimize"] * len(spec.objectives),
            sampler=RandomSampler(seed=0),
        )
        self._states: list[State] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._replay()

    @property
    def asked(self) -> int:
        """How many trials were asked so far."""
        return len(self._states)

    def submit_ask(self) -> "Future[tuple[int, dict[str, Any]]]":
        """Queue an ask; see `ask`."""
        return self._thread.submit(self._ask)

    def submit_tell(
        self,
        trial: int,
        state: State,
        metrics: Mapping[str, float],
        *,
        epoch: int,
        seconds: float,
        reason: str = "",
    ) -> "Future[State]":
        """Queue a tell; see `tell`."""
        return self._thread.submit(self._tell, trial, state, dict(metrics), epoch, seconds, reason)

    def ask(self) -> tuple[int, dict[str, Any]]:
        """The next trial's number and its searched values by dotted name.

        Raises:
            ValueError: a constraint is relative to a control that has not finished, or failed.
        """
        return self.submit_ask().result()

    def tell(
        self,
        trial: int,
        state: State,
        metrics: Mapping[str, float],
        *,
        epoch: int,
        seconds: float,
        reason: str = "",
    ) -> State:
        """Say how a trial ended: COMPLETE, PRUNED or FAIL. The state that was recorded is returned.

        COMPLETE becomes FAIL where an objective or a constrained metric is missing, NaN or infinite.
        A second tell of a trial changes nothing: the first is returned.
        """
        return self.submit_tell(trial, state, metrics, epoch=epoch, seconds=seconds, reason=reason).result()

    def close(self) -> None:
        """Wait for what is queued, then end the thread."""
        self._thread.shutdown(wait=True)

    def _ask(self) -> tuple[int, dict[str, Any]]:
        controls = self._controls()
        for constraint in self._spec.constraints:
            limit(constraint, controls)
        number = len(self._states)
        self._study.sampler = sampler(self._spec, number)
        trial = self._study.ask()
        assert trial.number == number
        params: dict[str, Any] = {}
        for name in self._order:
            if self._spec.active(name, params):
                params[name] = _suggested(trial, name, self._spec.searched[name], self._distributions[name])
        attrs = self._study.get_trials(deepcopy=False)[number].system_attrs
        self._states.append("OPEN")
        self._ledger.write("ask", trial=str(number), params=params, attrs=dict(attrs))
        return number, params

    def _tell(
        self, number: int, state: State, metrics: dict[str, float], epoch: int, seconds: float, reason: str
    ) -> State:
        if not 0 <= number < len(self._states):
            raise ValueError(f"trial {number} was told, but never asked")
        if self._states[number] != "OPEN":
            return self._states[number]
        if state == "COMPLETE":
            wanted = [*self._spec.objectives, *(constraint.metric for constraint in self._spec.constraints)]
            lacking = [metric for metric in wanted if not _is_finite(metrics.get(metric))]
            if lacking:
                found = ", ".join(f"{metric} is {metrics.get(metric, 'missing')}" for metric in lacking)
                state, reason = "FAIL", f"no finite result: {found}"
        controls = self._controls()
        self._ledger.write(
            "tell",
            trial=str(number),
            state=state,
            epoch=epoch,
            seconds=seconds,
            metrics=metrics,
            reason=reason,
        )
        self._finish(number, state, metrics, controls)
        return state

    def _controls(self) -> dict[str, TrialRecord]:
        """The controls that constraints are relative to, as far as they have come."""
        needed = {constraint.of for constraint in self._spec.constraints} - {None}
        return (
            trials(record for record in self._ledger.records if record.get("trial") in needed)
            if needed
            else {}
        )

    def _replay(self) -> None:
        """Bring the study to where the ledger is."""
        known = trials(self._ledger.records)
        for number, trial in enumerate(record for record in known.values() if record.kind == "ask"):
            if trial.trial != str(number):
                raise ValueError(f"the ledger asks trial {trial.trial!r} where {number} should follow")
            given = {name: self._given(name, value) for name, value in trial.params.items()}
            self._study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params=given,
                    distributions={name: self._distributions[name] for name in given},
                    system_attrs=trial.attrs,
                )
            )
            self._states.append("OPEN")
            if trial.state != "OPEN":
                self._finish(number, trial.state, trial.metrics, known)

    def _given(self, name: str, value: Any) -> Any:
        """A searched value as the study holds it."""
        return encoded(value) if isinstance(self._spec.searched[name], Choice) else value

    def _finish(
        self, number: int, state: State, metrics: Mapping[str, float], known: Mapping[str, TrialRecord]
    ) -> None:
        """End a running trial of the study; its order among other tells does not matter to the samplers."""
        if state == "COMPLETE":
            self._constrain(number, constraint_values(self._spec, metrics, known))
            self._study.tell(
                number, [metrics[metric] for metric in self._spec.objectives], TrialState.COMPLETE
            )
        else:
            self._study.tell(number, state=TrialState[state])
        self._states[number] = state

    def _constrain(self, number: int, values: dict[str, float]) -> None:
        """Set constraints on a running trial, also on one that was added by replay and so has no handle."""
        study = self._storage.get_study_id_from_name(self._study.study_name)
        trial = self._storage.get_trial_id_from_study_id_trial_number(study, number)
        for key, value in create_trial(state=TrialState.RUNNING, constraints=values).system_attrs.items():
            self._storage.set_trial_system_attr(trial, key, value)


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


def _suggested(trial: optuna.Trial, name: str, asked: Distribution, distribution: BaseDistribution) -> Any:
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


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
