"""Write a sweep as an Optuna study into an sqlite file, for optuna-dashboard and Optuna's own plots.

A copy to look at: no sweep reads it. Trial 7 of the sweep is number 7 of the study, so trials that a sweep
took from earlier ones come after its own, where the sampler had them before. An open trial is a waiting one
(nothing here works on it), and controls, which the sampler never saw, are attributes of the study.
"""

import math
import os
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from dirsweep.ledger import Ledger, TrialRecord
from dirsweep.search.core import Search
from dirsweep.search.distribution import Choice
from dirsweep.search.known import known_trials
from dirsweep.search.model import SweepSpec
from dirsweep.search.spec import read_own_spec
from dirsweep.storage import Folder, Place, Record

SQLITE = "sqlite:///"
SHOTS = ("all", "many", "median", "few")


@dataclass(frozen=True)
class Exported:
    """A study that was written.

    trials: of the sweep, `waiting` of them open. earlier: those taken from earlier sweeps.
    """

    study: str
    uri: str
    trials: int
    waiting: int
    earlier: int


def export(folder: Place, uri: str) -> Exported:
    """Write the sweep in `folder`, finished or not, as a study of its name.

    The study has the objectives' names, each trial's values with the distributions that the space gives
    them, constraints as Optuna counts them, what the leaderboard shows as attributes, and with one
    objective its value at each epoch (Optuna keeps none for several).

    Args:
        uri: sqlite:///FILE; a file that is there already may hold other studies.

    Raises:
        ValueError: no sweep, no such URI, a file that is no database of Optuna's, or one that has a study
            of this name.
    """
    folder = Folder(folder)
    ledger = Ledger.open(folder)
    spec = read_own_spec(folder)
    name = folder.absolute().name
    file = _file(uri)
    _check_free(file, name)
    known = known_trials(spec, ledger, folder)
    search = Search(spec, ledger)
    search.close()
    earlier = len(search.trials) - search.asked
    asked = [record for record in known.values() if record.kind == "ask"]
    own = zip(search.trials[earlier:], asked, strict=True)
    copies = [_copy(spec, trial, record) for trial, record in own]
    copies += _earlier(spec, search.trials[:earlier], ledger.records)
    _write(file, name, spec, _about(spec, ledger, known), copies)
    waiting = sum(record.state == "OPEN" for record in asked)
    return Exported(name, uri, len(asked), waiting, earlier)


def _file(uri: str) -> Path:
    """The file of an sqlite URI. ValueError if it is none, or no place for one."""
    if not uri.startswith(SQLITE) or uri == SQLITE:
        raise ValueError(
            f"--optuna {uri}: no sqlite file; write sqlite:///FILE, such as sqlite:///studies.db"
        )
    file = Path(uri.removeprefix(SQLITE))
    if str(file) == ":memory:" or set(str(file)) & set("?%"):  # no file, or another one than it reads like
        raise ValueError(f"--optuna {uri}: name a file, without ? or % in its path")
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise ValueError(f"--optuna {uri}: cannot write in {file.parent}; name a file in a folder of yours")
    return file


def _check_free(file: Path, name: str) -> None:
    """See that the study can be added to what is in `file`. ValueError if not."""
    if not file.exists():
        return
    other = f"{file}: is there already and is no database of Optuna's"
    if file.is_dir():
        raise ValueError(f"{file}: a folder; name a file in it")
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            tables = {
                table for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            if tables and "studies" not in tables:  # another program's, which Optuna would add its tables to
                raise ValueError(
                    f"{other} (it has tables {', '.join(sorted(tables)[:3])}); name another file"
                )
            taken = (
                bool(tables)
                and database.execute("SELECT 1 FROM studies WHERE study_name = ?", (name,)).fetchone()
            )
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{other} ({error}); name another file") from None
    if taken:
        raise ValueError(
            f"{file}: has a study {name} already; name another file, or remove that study first: "
            f"optuna delete-study --storage {SQLITE}{file} --study-name {name}"
        )


def _copy(spec: SweepSpec, trial: FrozenTrial, record: TrialRecord) -> FrozenTrial:
    """A trial of the sampler's study with what the ledger knows of it."""
    attributes = {name: value for name, value in record.params.items() if name not in trial.params}
    attributes |= {"seconds": record.seconds, **_kept(spec, record.metrics)}
    attributes |= {"reason": record.reason} if record.reason else {}
    reported = {}
    if len(spec.objectives) == 1:
        reported = {one["epoch"]: one["metrics"].get(spec.objectives[0]) for one in record.reports}
    params, space = _plain(spec, trial)
    asked = (
        {"fixed_params": params} if record.state == "OPEN" else {}
    )  # where a waiting trial's are looked for
    copy = create_trial(
        state=TrialState.WAITING if record.state == "OPEN" else trial.state,
        values=trial.values,
        params=params,
        distributions=space,
        user_attrs=attributes,
        system_attrs=_system(trial) | asked,
        intermediate_values={epoch: value for epoch, value in reported.items() if value is not None},
    )
    if record.state != "OPEN":
        copy.datetime_start = _local(record.begun or record.ended)  # it may have failed unstarted
        copy.datetime_complete = _local(record.ended)
    return copy


def _local(seconds: float) -> datetime:
    """Unix seconds as Optuna writes times: local, without a zone."""
    return datetime.fromtimestamp(seconds)


def _earlier(spec: SweepSpec, taken: list[FrozenTrial], records: Iterable[Record]) -> list[FrozenTrial]:
    """The trials of earlier sweeps that this one began with; when they ran is not known here."""
    noted = [
        (one, record["time"]) for record in records if record["kind"] == "warm" for one in record["trials"]
    ]
    copies = []
    for trial, (one, time) in zip(taken, noted[: len(taken)], strict=True):
        params, space = _plain(spec, trial)
        copy = create_trial(
            values=trial.values,
            params=params,
            distributions=space,
            user_attrs={"from": one["from"], **_kept(spec, one["metrics"])},
            system_attrs=_system(trial),
        )
        copy.datetime_start = copy.datetime_complete = _local(time)
        copies.append(copy)
    return copies


def _plain(spec: SweepSpec, trial: FrozenTrial) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """A trial's values and distributions with choices as the space writes them, where Optuna takes those.

    It takes no lists, and takes 1, 1.0 and true for one value: such choices stay JSON text, as the sampler
    has them.
    """
    params, space = dict(trial.params), dict(trial.distributions)
    for name, distribution in trial.distributions.items():
        asked = spec.searched[name]
        if not isinstance(distribution, CategoricalDistribution) or not isinstance(asked, Choice):
            continue
        values = [value for value in asked.values if value is None or isinstance(value, str | int | float)]
        if len(set(values)) == len(asked.values):
            params[name] = values[distribution.choices.index(trial.params[name])]
            space[name] = CategoricalDistribution(values)
    return params, space


def _about(spec: SweepSpec, ledger: Ledger, known: Mapping[str, TrialRecord]) -> dict[str, Any]:
    """Attributes of the study: the question, what the sweep was made with, controls and repeats by name."""
    kept = ("spec", "data", "git", "method_version", "versions")
    about = {"question": spec.question.strip(), **{name: ledger.opening.get(name, "") for name in kept}}
    if spec.constraints:
        about["constraints"] = [constraint.model_dump(exclude_none=True) for constraint in spec.constraints]
    for record in known.values():
        if record.kind == "control":
            facts = {"of": record.of, "control": record.control, "state": record.state}
            about[record.trial] = facts | {"seconds": record.seconds, "metrics": _kept(spec, record.metrics)}
    return about


def _kept(spec: SweepSpec, metrics: Mapping[str, float]) -> dict[str, float]:
    """What the leaderboard shows and what is constrained; not the error of an empty shot, which is no JSON.

    Optuna takes a millisecond and more to write a number, and the dashboard a column to show it.
    """
    shown = [f"val/{shot}/{metric}" for metric in spec.metrics for shot in SHOTS]
    shown += [*spec.objectives, *(constraint.metric for constraint in spec.constraints), "fit/r2"]
    return {
        name: metrics[name] for name in dict.fromkeys(shown) if math.isfinite(metrics.get(name, math.nan))
    }


def _system(trial: FrozenTrial) -> dict[str, Any]:
    """What Optuna keeps with a trial, constraints as a list: the dashboard knows no names of theirs yet.

    It shows them and plots by them; the one trial that it calls the best is picked without them all the same.
    """
    own = {name: value for name, value in trial.system_attrs.items() if not name.startswith("constraints:")}
    return own | ({"constraints": list(trial.constraints.values())} if trial.constraints else {})


def _write(file: Path, name: str, spec: SweepSpec, about: dict[str, Any], copies: list[FrozenTrial]) -> None:
    """Add the study, whole or not at all."""
    with _opened(file) as storage:
        directions = [StudyDirection.MINIMIZE] * len(spec.objectives)
        study = optuna.create_study(storage=storage, study_name=name, directions=directions)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                study.set_metric_names(list(spec.objectives))
            for key, value in about.items():
                study.set_user_attr(key, value)
            study.add_trials(copies)
        except BaseException:
            optuna.delete_study(study_name=name, storage=storage)
            raise


@contextmanager
def _opened(file: Path) -> Iterator[RDBStorage]:
    try:
        storage = RDBStorage(f"{SQLITE}{file}")
    except RuntimeError as error:  # the file was made by an Optuna with other tables
        raise ValueError(f"{file}: {error}") from error
    try:
        yield storage
    except StorageInternalError as error:  # locked, or the disk is full
        raise ValueError(f"{file}: the study could not be written: {error}") from error
    finally:
        storage.remove_session()
        storage.engine.dispose()
