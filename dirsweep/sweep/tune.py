"""Ray Tune, driven by a `Driver`: the thin part that knows Tune's classes and its manners.

Tune places trials on workers and carries their reports. It decides nothing: our scheduler is asked
first about each report, our searcher hands out trials, and at each step we look for trials that
Tune holds in error (an actor that died idle fails the next trial without telling anyone). Tune is
given reports as text, and a temporary folder. It pickles what it is given: these classes leave their
state at home, for no pickle is ever read.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune
from ray.tune import Stopper
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from dirsweep.storage import refusal
from dirsweep.sweep.driver import Driver
from dirsweep.sweep.scratch import EXPERIMENT, scratch
from dirsweep.sweep.session import Resources
from dirsweep.trainable import said

NOTHING = {"memory": 1.0}
"""A byte: Tune knows no trial that takes nothing at all."""

LOOK_SECONDS = 5.0
"""Between two looks whether Ray has a node left."""

Trainable = Callable[[Any], None]
Result = TypeVar("Result")


class _Link:
    """A part of Tune that hands everything on to the driver, and an error to Tune's end.

    Raised inside Tune's loop, an error would come out as the text of a traceback; so it is kept, the
    sweep ends, and it is raised then.
    """

    driver: Driver

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def guarded(self, call: Callable[..., Result], *arguments: Any, otherwise: Result) -> Result:
        try:
            return call(*arguments)
        except Exception as error:
            self.driver.failure = self.driver.failure or error
            return otherwise


class _Searcher(_Link, Searcher):
    """Hands out trials, and hears of their ends."""

    def __init__(self, driver: Driver, held: dict[str, Trial], resources: Resources) -> None:
        super().__init__()
        self.driver, self.held, self.resources = driver, held, resources

    def suggest(self, trial_id: str) -> Any:
        if self.driver.processes > 1 and len(self.held) >= self.driver.workers:
            return None  # what Tune starts takes nothing, so it would start any number
        assignment = self.guarded(self.driver.next, otherwise=None)
        if assignment is None:
            return Searcher.FINISHED if self.driver.over else None
        per_process = self.resources.per_process(self.driver.processes)
        return {**assignment, "gpu_share": self.resources.gpu_share, "per_process": per_process}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        if not error:  # `_Steps` finds those in error, also the ones that Tune does not report
            trial = self.held.pop(trial_id, None)
            if trial is not None:
                self.guarded(self.driver.ended, trial.config["key"], otherwise=None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the only truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a resumed sweep is a new experiment for Tune."""


class _Scheduler(_Link, FIFOScheduler):
    """Takes in each report, before any other part of Tune sees it."""

    def __init__(self, driver: Driver, held: dict[str, Trial]) -> None:
        super().__init__()
        self.driver, self.held = driver, held

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self.held[trial.trial_id] = trial

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        ends = self.guarded(self._reported, trial, result, otherwise=True)
        return TrialScheduler.STOP if ends else TrialScheduler.CONTINUE

    def _reported(self, trial: Trial, result: dict[str, Any]) -> bool:
        return self.driver.reported(trial.config["key"], said(result))

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The first that waits; Tune's own looks through all trials of the sweep for it, at each step."""
        return next((trial for trial in self.held.values() if trial.status == Trial.PENDING), None)


class _Steps(_Link, Stopper):
    """Looks after Tune's trials at the end of each step, and ends them as they are if the driver gives up.

    A stopper and no callback, for given a callback Tune counts its kinds, and so imports MLflow.
    """

    def __init__(self, driver: Driver, held: dict[str, Trial]) -> None:
        self.driver, self.held = driver, held
        self.started: set[str] = set()
        self.looked = time.monotonic()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        for trial_id, trial in list(self.held.items()):
            if trial.status == Trial.ERROR:
                del self.held[trial_id]
                error, died = _error(trial)
                failed = partial(self.driver.failed, trial.config["key"], error, died=died)
                self.guarded(failed, otherwise=None)
            elif trial.status == Trial.RUNNING and trial_id not in self.started:
                self.started.add(trial_id)
                self.guarded(self.driver.started, trial.config["key"], otherwise=None)
            elif trial.status == Trial.RUNNING and self.driver.hangs(trial.config["key"]):
                _kill(trial)
        self.guarded(self.driver.step, otherwise=None)
        self.guarded(self._look_for_nodes, otherwise=None)
        if self.driver.gives_up:
            for trial in self.held.values():
                _kill(trial)
        return self.driver.gives_up

    def _look_for_nodes(self) -> None:
        """See that Ray has a node left; without one Tune would wait for the next without end."""
        if time.monotonic() - self.looked >= LOOK_SECONDS:
            self.looked = time.monotonic()
            if not any(node["Alive"] for node in ray.nodes()):
                raise refusal.Refused(
                    "Ray has died: none of its nodes lives. Go on with `dirsweep resume`: nothing is lost"
                )


def _kill(trial: Trial) -> None:
    """End the trial's worker, if it has one, as it is: Tune by itself would wait for the trial's code."""
    if trial.temporary_state.ray_actor is not None:
        ray.kill(trial.temporary_state.ray_actor)


class Silence(TrialProgressCallback):
    """In the place of Tune's progress callback, which prints each trial's end at any verbosity.

    Named in `session.SETTINGS`, so that Tune makes it itself (see `_Steps`).
    """

    def log_result(self, trial: Trial, result: dict[str, Any], error: bool = False) -> None:
        """Nothing."""

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Nothing."""


@contextmanager
def _keys_out_of_sight() -> Iterator[None]:
    """Keep Tune from handing AWS keys to the workers, for Ray writes them on a command line to do so.

    A worker has them from the environment that Ray was started in.
    """
    handed = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in handed if not name.startswith("AWS_")}
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE = handed


def drive(driver: Driver, trainable: Trainable, resources: Resources) -> None:
    """Run trials until the driver has no more; raises what went wrong in it."""
    held: dict[str, Trial] = {}
    """Trials that Tune has, by Tune's id."""
    alone = {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
    per_trial = alone if driver.processes == 1 else NOTHING  # of several, each process takes its own
    with scratch() as folder, _keys_out_of_sight():
        tuner = tune.Tuner(
            tune.with_resources(trainable, per_trial),
            tune_config=tune.TuneConfig(
                search_alg=_Searcher(driver, held, resources),
                scheduler=_Scheduler(driver, held),
                num_samples=-1,
                # a trial that Tune ends early leaves a thread behind, which only the actor's end ends
                reuse_actors=resources.reuses_actors and driver.processes == 1,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=EXPERIMENT,
                storage_path=str(folder),
                stop=_Steps(driver, held),
                failure_config=tune.FailureConfig(max_failures=0),
                verbose=0,
            ),
        )
        tuner.fit()
    if driver.failure is not None:
        raise driver.failure


def _name(trial: Trial) -> str:
    return f"{trial.config['key']}-{trial.trial_id}"


def _error(trial: Trial) -> tuple[str, bool]:
    """What Tune knows of a trial's error, the cause in the last line; and whether its worker died.

    Of a worker that died Ray says what happened in the first line, and then where and why.
    """
    file = Path(trial.error_file) if trial.error_file else None
    text = file.read_text().partition("\n")[2].strip() if file and file.exists() else "the worker was lost"
    is_traceback = any(line.lstrip().startswith("File ") for line in text.splitlines())
    if is_traceback:
        return text, False
    lines = [line.strip() for line in text.splitlines()]
    cause = next((line for line in lines if " because " in line), lines[0])
    where = next((f" ({line})" for line in lines if line.startswith("ip: ")), "")
    return f"{text}\n{cause.partition(' Node Id: ')[0]}{where}", True
