"""Ask and tell: an Optuna study in memory that the ledger can rebuild at any record.

An ask depends on nothing but the spec, its trial number and the records before it: the sampler is
made anew for each number, and the study holds what the ledger holds, with what the sampler noted on
trials and on the study. So a resumed sweep asks what it would have asked. Optuna's own storages are
not used: a second source of truth drifts from the first when the driver dies between the two.

Trials of earlier sweeps (`warm`) come first in the study, so a trial's place there is its number
moved up by how many those are.
"""

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from dirsweep.kinds import State
from dirsweep.ledger import Ledger, TrialRecord, fold
from dirsweep.search import staged
from dirsweep.search.constraints import constraint_values, limit
from dirsweep.search.model import SweepSpec
from dirsweep.search.parts import Joint
from dirsweep.search.sampler import in_study, optuna_distribution, sampler, suggested, warm_attrs


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
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._states: list[State] = []
        self._known: dict[str, TrialRecord] = {}
        self._read = 0
        """Records of the ledger that `_known` rests on."""
        self._family = staged.Family()
        self._warm = [
            trial for record in ledger.records if record["kind"] == "warm" for trial in record["trials"]
        ]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._replay()

    @property
    def asked(self) -> int:
        """How many trials were asked so far."""
        return len(self._states)

    @property
    def trials(self) -> list[FrozenTrial]:
        """The study's trials: those of earlier sweeps, then the asked ones, which run until they are told."""
        return self._study.get_trials()

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
    ) -> "Future[tuple[State, str]]":
        """Queue a tell; see `tell`. The reason comes with the state."""
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
        told = self.submit_tell(trial, state, metrics, epoch=epoch, seconds=seconds, reason=reason)
        return told.result()[0]

    def close(self) -> None:
        """Wait for what is queued, then end the thread."""
        self._thread.shutdown(wait=True)

    def _ask(self) -> tuple[int, dict[str, Any]]:
        controls = self._controls()
        for constraint in self._spec.constraints:
            limit(constraint, controls)
        number = len(self._states)
        if number == 0:
            self._add_warm(controls)
        noted = dict(self._storage.get_study_system_attrs(self._study_id))
        decision = self._decide()
        parent = decision.parent if decision else None
        self._study.sampler = sampler(self._spec, number)
        given = in_study(self._spec, parent or {})
        if given:
            self._study.enqueue_trial(given)  # taken as they are by the ask that follows
        trial = self._study.ask()
        assert trial.number == self._place(number)
        params = self._values(trial, parent)
        attrs = self._study.get_trials(deepcopy=False)[self._place(number)].system_attrs
        self._states.append("OPEN")
        further: dict[str, Any] = {"why": decision.why} if decision else {}
        now = self._storage.get_study_system_attrs(self._study_id)
        study = {name: value for name, value in now.items() if noted.get(name) != value}
        further |= {"study": study} if study else {}
        self._ledger.write("ask", trial=str(number), params=params, attrs=dict(attrs), **further)
        return number, params

    def _place(self, number: int) -> int:
        """A trial's number in the study."""
        return len(self._warm) + number

    def _add_warm(self, controls: Mapping[str, TrialRecord]) -> None:
        """Begin the study with the trials of earlier sweeps; once constraints have what they refer to."""
        for trial in self._warm:
            given = in_study(self._spec, trial["params"])
            self._study.add_trial(
                create_trial(
                    state=TrialState.COMPLETE,
                    values=[trial["metrics"][metric] for metric in self._spec.objectives],
                    params=given,
                    distributions={name: self._distributions[name] for name in given},
                    constraints=constraint_values(self._spec, trial["metrics"], controls),
                    system_attrs=warm_attrs(self._spec),
                )
            )

    def _decide(self) -> "staged.Decision | None":
        """In a staged sweep, whether the next trial has a new stage 1, and if not, whose."""
        if isinstance(self._spec.mode, Joint):
            return None
        known = self._so_far()
        for number in range(self._family.count, len(self._states)):
            self._family.add(known[str(number)])
        return staged.decide(self._spec, self._family)

    def _values(self, trial: optuna.Trial, parent: dict[str, Any] | None) -> dict[str, Any]:
        """The searched values of a trial: its parent's, of which the study takes note, and those asked."""
        params = dict(parent or {})
        taken = in_study(self._spec, params)
        for name in self._order:
            of_parent = parent is not None and staged.of_stage1(name)
            if name in taken or (not of_parent and self._spec.active(name, params)):
                params[name] = suggested(trial, name, self._spec.searched[name], self._distributions[name])
        return params

    def _tell(
        self, number: int, state: State, metrics: dict[str, float], epoch: int, seconds: float, reason: str
    ) -> tuple[State, str]:
        if not 0 <= number < len(self._states):
            raise ValueError(f"trial {number} was told, but never asked")
        if self._states[number] != "OPEN":
            known = self._so_far()[str(number)]
            return known.state, known.reason
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
        return state, reason

    def _controls(self) -> dict[str, TrialRecord]:
        """The controls that constraints are relative to, as far as they have come."""
        return (
            self._so_far() if any(constraint.of is not None for constraint in self._spec.constraints) else {}
        )

    def _so_far(self) -> dict[str, TrialRecord]:
        """All trials and controls; only what the ledger has had since the last time is read."""
        further = self._ledger.since(self._read)
        self._read += len(further)
        fold(self._known, further)
        return self._known

    def _replay(self) -> None:
        """Bring the study to where the ledger is."""
        known = self._so_far()
        asked = [record for record in known.values() if record.kind == "ask"]
        if asked:
            self._add_warm(known)
        for record in self._ledger.records:
            for name, value in record.get("study", {}).items():
                self._storage.set_study_system_attr(self._study_id, name, value)
        for number, trial in enumerate(asked):
            if trial.trial != str(number):
                raise ValueError(f"the ledger asks trial {trial.trial!r} where {number} should follow")
            given = in_study(self._spec, trial.params)
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

    def _finish(
        self, number: int, state: State, metrics: Mapping[str, float], known: Mapping[str, TrialRecord]
    ) -> None:
        """End a running trial of the study; its order among other tells does not matter to the samplers."""
        if state == "COMPLETE":
            self._constrain(number, constraint_values(self._spec, metrics, known))
            values = [metrics[metric] for metric in self._spec.objectives]
            self._study.tell(self._place(number), values, TrialState.COMPLETE)
        else:
            self._study.tell(self._place(number), state=TrialState[state])
        self._states[number] = state

    def _constrain(self, number: int, values: dict[str, float]) -> None:
        """Set constraints on a running trial, also on one that was added by replay and so has no handle."""
        trial = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, self._place(number))
        for key, value in create_trial(state=TrialState.RUNNING, constraints=values).system_attrs.items():
            self._storage.set_trial_system_attr(trial, key, value)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
