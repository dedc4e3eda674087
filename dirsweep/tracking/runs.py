"""Write what a run is owed: find or make the experiment, the parent run and the trials' runs, then fill them.

Everything here can be done twice. A point carries the time of its call, an epoch that the run has is passed
over (the tag `epoch` says how far it is), a run is found again by its tag `trial`: so a delivery that failed
half way, or a driver that died before the ledger had the run's id, leaves nothing double.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dirsweep.tracking import store

logger = logging.getLogger(__name__)

LONGEST = 6000  # characters of a parameter that MLflow takes
POINTS, PARAMS = 800, 100  # in one batch; MLflow takes 1000 entries, 100 of them parameters
ENDED = {"FINISHED", "KILLED", "FAILED"}

PARENT = ""  # the sweep's own key


@dataclass(frozen=True)
class Point:
    """One value of a metric; `epoch` None belongs to the last epoch that the run has."""

    name: str
    value: float
    milliseconds: int
    epoch: int | None


@dataclass
class Owed:
    """What a run has not been given yet, from `items` calls, the first of them at `since` (unix ms)."""

    since: int
    items: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    told: dict[str, Callable[[], None]] = field(default_factory=dict)  # see `Tracker.catch_up`
    status: str = ""
    at: int = 0

    def add(self, later: "Owed") -> None:
        """Append what came later."""
        self.items += later.items
        self.tags |= later.tags
        self.params |= later.params
        self.points += later.points
        self.files += later.files
        self.told |= later.told
        if later.status:
            self.status, self.at = later.status, later.at


@dataclass
class Run:
    """What the store has of a run."""

    id: str
    status: str
    epoch: int
    params: dict[str, str]
    latest: dict[str, float]


class Runs:
    """The runs of one sweep in an open store. `known` and `on_run` as in `Tracker`."""

    def __init__(
        self, uri: str, sweep: str, known: dict[str, str], on_run: Callable[[str, str], None]
    ) -> None:
        self.uri, self.sweep, self.on_run = uri, sweep, on_run
        self.client = store.open_client(uri)
        self.experiment = ""
        self.runs: dict[str, Run] = {}
        if PARENT in known:
            self._find(known)

    def deliver(self, key: str, owed: Owed) -> list[Path]:
        """Give the run of `key` all that it is owed; the files among it that are gone."""
        run = self._run(key, owed)
        self._log(run, owed)
        for file in owed.files:
            if file.is_file():
                self.client.log_artifact(run.id, str(file))
        if owed.status in ENDED:
            self.client.set_terminated(run.id, owed.status, owed.at)
        elif owed.status and owed.status != run.status:
            self.client.update_run(run.id, owed.status)
        run.status = owed.status or run.status
        for trial, tell_again in owed.told.items():
            if trial not in self.runs or self.runs[trial].status not in ENDED:
                tell_again()
        return [file for file in owed.files if not file.is_file()]

    def _find(self, known: dict[str, str]) -> None:
        """Look up the parent run that the ledger names, and its children by their tags."""
        from mlflow.exceptions import MlflowException

        try:
            parent = self.client.get_run(known[PARENT])
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            parent = None
        if parent is None or parent.info.lifecycle_stage != "active":
            where = store.shown(self.uri)
            logger.warning("tracking: no run %s (ledger) in %s; tracked anew there", known[PARENT], where)
            return
        self.experiment = parent.info.experiment_id
        self.runs[PARENT] = _described(parent)
        children = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
        token = None
        while True:
            page = self.client.search_runs([self.experiment], children, max_results=1000, page_token=token)
            for run in page:
                key = run.data.tags.get("trial", "")
                if key not in self.runs or run.info.run_id == known.get(key):
                    self.runs[key] = _described(run)
            token = page.token
            if not token:
                return

    def _run(self, key: str, owed: Owed) -> Run:
        """The run of `key`, made if there is none; so are the parent and the experiment."""
        if key in self.runs:
            return self.runs[key]
        tags = {}
        if key != PARENT:
            tags = {"trial": key, "mlflow.parentRunId": self._run(PARENT, owed).id}
        elif not self.experiment:
            self.experiment = self._new_experiment()
        name = self.sweep if key == PARENT else f"trial {key}" if key.isdigit() else key
        made = self.client.create_run(self.experiment, start_time=owed.since, tags=tags, run_name=name)
        run = self.runs[key] = _described(made)
        try:
            self.on_run(key, run.id)
        except Exception:  # the caller's trouble, not MLflow's
            logger.warning("tracking: the id of run %s was not recorded", run.id, exc_info=True)
        return run

    def _new_experiment(self) -> str:
        """An experiment with the sweep's name, or with -2, -3 ... if another sweep has it."""
        from mlflow.exceptions import MlflowException

        number = 1
        while True:
            name = self.sweep if number == 1 else f"{self.sweep}-{number}"
            try:
                return str(self.client.create_experiment(name, store.artifact_location(self.uri)))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            number += 1

    def _log(self, run: Run, owed: Owed) -> None:
        """Write points, parameters and tags in one batch (more only past MLflow's limits)."""
        from mlflow.entities import Metric, Param, RunTag

        fresh = [point for point in owed.points if point.epoch is None or point.epoch > run.epoch]
        epoch = max([run.epoch, *(point.epoch for point in fresh if point.epoch is not None)])
        latest = dict(run.latest)
        metrics = []
        for point in fresh:
            if point.epoch is None and latest.get(point.name) == point.value:
                continue  # the final value is that of the last epoch: no second dot on the curve
            step = epoch if point.epoch is None else point.epoch
            metrics.append(Metric(point.name, point.value, point.milliseconds, step))
            latest[point.name] = point.value
        params = {name: _short(value) for name, value in owed.params.items()}
        changed = sorted(
            name for name in params.keys() & run.params.keys() if params[name] != run.params[name]
        )
        if changed:
            logger.warning("tracking: run %s keeps its first value of %s", run.id, ", ".join(changed))
        new = [Param(name, value) for name, value in params.items() if name not in run.params]
        named = owed.tags | ({"epoch": str(epoch)} if epoch > run.epoch else {})
        tags = [RunTag(name, _short(value)) for name, value in named.items()]
        while metrics or new or tags:
            self.client.log_batch(run.id, metrics[:POINTS], new[:PARAMS], tags)
            metrics, new, tags = metrics[POINTS:], new[PARAMS:], []
        run.epoch, run.latest, run.params = epoch, latest, params | run.params


def _described(run: Any) -> Run:
    """What the store has of a run, from MLflow's own object."""
    data = run.data
    epoch = int(data.tags.get("epoch", 0))
    return Run(run.info.run_id, run.info.status, epoch, dict(data.params), dict(data.metrics))


def _short(value: str) -> str:
    if len(value) <= LONGEST:
        return value
    return f"{value[: LONGEST - 100]} ... (shortened from {len(value)} characters)"
