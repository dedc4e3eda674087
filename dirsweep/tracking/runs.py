"""Write what a run is owed: find or make the experiment, the parent run and the trials' runs, then fill them.

Everything here can be done twice. A point carries the time of its call, an epoch that the run has is passed
over (the tag `epoch` says how far it is), a run is found again by its tag `trial`: so a delivery that failed
half way, or a driver that died before the ledger had the run's id, leaves nothing double.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dirsweep.storage import File
from dirsweep.tracking import store
from dirsweep.tracking.owed import PARENT, Owed, Upload

logger = logging.getLogger(__name__)

LONGEST = 6000  # characters of a parameter that MLflow takes
POINTS, PARAMS = 800, 100  # in one batch; MLflow takes 1000 entries, 100 of them parameters
ENDED = {"FINISHED", "KILLED", "FAILED"}

IDENTITY = "sweep_id"
"""The tag of the experiment and the parent run by which a sweep is found again, whatever it is called."""


@dataclass(frozen=True)
class Sweep:
    """Which sweep it is.

    name: of its folder; a new experiment takes it (with -2, -3 ... if another sweep has the name).
    identity: what no other sweep has (`ledger.identity`).
    """

    name: str
    identity: str


@dataclass
class Run:
    """What the store has of a run."""

    id: str
    name: str
    status: str
    epoch: int
    params: dict[str, str]
    latest: dict[str, float]


class Runs:
    """The runs of one sweep in an open store. `known` and `on_run` as in `Tracker`."""

    def __init__(
        self, uri: str, sweep: Sweep, known: dict[str, str], on_run: Callable[[str, str], None]
    ) -> None:
        self.uri, self.sweep, self.on_run = uri, sweep, on_run
        self.client = store.open_client(uri)
        self.experiment = ""
        self.runs: dict[str, Run] = {}
        self._find(known)

    def check_place(self) -> None:
        """See that what is written here stays here, as `store.check_place`: before anything is written."""
        if self.experiment:
            store.check_place(self.uri, self.client.get_experiment(self.experiment).artifact_location)

    def deliver(self, key: str, owed: Owed) -> list[File]:
        """Give the run of `key` all that it is owed; the files among it that are gone."""
        run = self._run(key, owed)
        self._log(run, owed)
        gone = [upload.file for upload in owed.files if not self._put_beside(run, upload)]
        name = owed.name if owed.name != run.name else ""
        status = owed.status if owed.status != run.status else ""
        if name or (status and status not in ENDED):
            self.client.update_run(run.id, status if status not in ENDED else None, name or None)
        if owed.status in ENDED:
            self.client.set_terminated(run.id, owed.status, owed.at)
        run.status, run.name = owed.status or run.status, owed.name or run.name
        for trial, tell_again in owed.told.items():
            if trial not in self.runs or self.runs[trial].status not in ENDED:
                tell_again()
        return gone

    def _put_beside(self, run: Run, upload: Upload) -> bool:
        """Upload a file; False if it is gone."""
        try:
            with upload.file.folder.as_file(upload.file.name) as path:
                self.client.log_artifact(run.id, str(path), upload.below or None)
        except FileNotFoundError:
            return False
        return True

    def _find(self, known: dict[str, str]) -> None:
        """Look up the parent run: by the ledger's id, else by the sweep's identity; its children by tags."""
        parent = self._named(known[PARENT]) if PARENT in known else None
        parent = parent or self._identified()
        if parent is None:
            if PARENT in known:
                where = store.shown(self.uri)
                logger.warning("tracking: no run %s (ledger) in %s; tracked anew there", known[PARENT], where)
            return
        self.experiment = parent.info.experiment_id
        self._take_in(PARENT, parent, known)
        children = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
        token = None
        while True:
            page = self.client.search_runs([self.experiment], children, max_results=1000, page_token=token)
            for run in page:
                key = run.data.tags.get("trial", "")
                if key not in self.runs or run.info.run_id == known.get(key):
                    self._take_in(key, run, known)
            token = page.token
            if not token:
                return

    def _named(self, run_id: str) -> Any:
        """MLflow's run of that id; None if there is none, if it was deleted, or if it is another sweep's."""
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        ours = (
            found.data.tags.get(IDENTITY, self.sweep.identity) == self.sweep.identity
        )  # early ones say nothing
        return found if ours and found.info.lifecycle_stage == "active" else None

    def _identified(self) -> Any:
        """The parent run by the sweep's identity, or None; the experiment may be there by itself."""
        same = f"tags.`{IDENTITY}` = '{self.sweep.identity}'"
        for experiment in self.client.search_experiments(filter_string=same):
            self.experiment = experiment.experiment_id
            for run in self.client.search_runs([self.experiment], same, max_results=1):
                return run
        return None

    def _take_in(self, key: str, run: Any, known: dict[str, str]) -> None:
        self.runs[key] = _described(run)
        if key == PARENT or known.get(key) != run.info.run_id:
            self._say(key, run.info.run_id)

    def _say(self, key: str, run_id: str) -> None:
        try:
            self.on_run(key, run_id)
        except Exception:  # the caller's trouble, not MLflow's
            logger.warning("tracking: the id of run %s was not recorded", run_id, exc_info=True)

    def _run(self, key: str, owed: Owed) -> Run:
        """The run of `key`, made if there is none; so are the parent and the experiment."""
        if key in self.runs:
            return self.runs[key]
        if key != PARENT:
            tags = {"trial": key, "mlflow.parentRunId": self._run(PARENT, owed).id}
        else:
            tags = {IDENTITY: self.sweep.identity}
            self.experiment = self.experiment or self._new_experiment()
        usual = self.sweep.name if key == PARENT else f"trial {key}" if key.isdigit() else key
        name = owed.name or usual
        made = self.client.create_run(self.experiment, start_time=owed.since, tags=tags, run_name=name)
        self.runs[key] = _described(made)
        self._say(key, made.info.run_id)
        return self.runs[key]

    def _new_experiment(self) -> str:
        """An experiment with the sweep's name, or with -2, -3 ... if another sweep has it."""
        from mlflow.exceptions import MlflowException

        number = 1
        while True:
            name = self.sweep.name if number == 1 else f"{self.sweep.name}-{number}"
            place, tags = store.artifact_location(self.uri), {IDENTITY: self.sweep.identity}
            try:
                return str(self.client.create_experiment(name, place, tags=tags))
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
            if point.epoch is None and point.step is None and latest.get(point.name) == point.value:
                continue  # the final value is that of the last epoch: no second dot on the curve
            step = next(number for number in (point.epoch, point.step, epoch) if number is not None)
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
            last = len(metrics) <= POINTS and len(new) <= PARAMS  # the tag `epoch` says that all is there
            self.client.log_batch(run.id, metrics[:POINTS], new[:PARAMS], tags if last else [])
            metrics, new, tags = metrics[POINTS:], new[PARAMS:], [] if last else tags
        run.epoch, run.latest, run.params = epoch, latest, params | run.params


def _described(run: Any) -> Run:
    """What the store has of a run, from MLflow's own object."""
    data = run.data
    epoch = int(data.tags.get("epoch", 0))
    return Run(
        run.info.run_id, run.info.run_name, run.info.status, epoch, dict(data.params), dict(data.metrics)
    )


def _short(value: str) -> str:
    if len(value) <= LONGEST:
        return value
    return f"{value[: LONGEST - 100]} ... (shortened from {len(value)} characters)"
