"""Read back what the store has of one trial: all that is needed to run it again.

Only a run of a trial that finished has it all: its files are put there at its end.
"""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dirsweep.tracking import store

FILES = ("config.json", "facts.json", "metrics.json", "bins.csv")
ENDED = {
    "PRUNED": "was pruned",
    "FAIL": "failed",
    "OPEN": "has not ended (`dirsweep resume` goes on with its sweep)",
    "RUNNING": "still runs",
}


@dataclass(frozen=True)
class RunRecord:
    """A finished trial as its run has it.

    config: the trial's configuration, as a tree. facts: hash of its data (`data`), `method_version`, and the
        hash of each file that its encoder read (`encoder`).
    metrics: the final ones by name.
    history: by metric and epoch, what it reported while it trained; values that are not finite are left out.
    bins: the text of its bins.csv.
    versions: package to version, as the sweep began.
    """

    run: str
    name: str
    config: dict[str, Any]
    facts: dict[str, Any]
    metrics: dict[str, float]
    history: dict[str, dict[int, float]]
    bins: str
    versions: dict[str, str]
    tags: dict[str, str]


def read_run(uri: str, run: str) -> RunRecord:
    """The record of the trial whose run has this id.

    Args:
        uri: the store, as `store.check` accepts it.

    Raises:
        ValueError: no store, one that does not answer or wants a login, no such run, one that is not
            a finished trial of dirsweep's, or a file of it that is missing or damaged.
    """
    database = store.database_path(uri)
    if database is not None and not (database.is_file() and database.stat().st_size):
        raise ValueError(f"--tracking-uri {uri}: no tracking store there; name the one that has the run")
    store.check(uri)
    store.quiet()
    with store.explained(uri):
        client = store.open_client(uri)
        found = _run(client, run, uri)
        _check_finished(found, uri)
        _check_files(found, {file.path for file in client.list_artifacts(run)})
        with tempfile.TemporaryDirectory(prefix="dirsweep-") as folder:
            texts = {name: _text(client.download_artifacts(run, name, folder)) for name in FILES}
        names = [name for name in found.data.metrics if name.startswith("val/")]
        history = {name: _by_epoch(client.get_metric_history(run, name)) for name in names}
    read = {name: _parsed(found, name, texts[name]) for name in FILES if name.endswith(".json")}
    tags = dict(found.data.tags)
    return RunRecord(
        run,
        found.info.run_name,
        read["config.json"],
        read["facts.json"],
        read["metrics.json"],
        history,
        texts["bins.csv"],
        _parsed(found, "tag versions", tags.get("versions", "{}")),
        tags,
    )


def _run(client: Any, run: str, uri: str) -> Any:
    """The store's run of this id. ValueError if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        where = store.shown(uri)
        raise ValueError(
            f"{run}: no such run in {where}; a run's page in `dirsweep ui` shows its id"
        ) from None


def _check_files(run: Any, there: set[str]) -> None:
    """ValueError unless a run has all files that it takes to run its trial again."""
    lacking = [name for name in FILES if name not in there]
    if not lacking:
        return
    reason = run.data.tags.get("reason", "")
    if reason.startswith("same configuration"):
        raise ValueError(f"{_named(run)}: did not run itself ({reason}); give the id of that trial's run")
    raise ValueError(
        f"{_named(run)}: has no {', '.join(lacking)}, without which it cannot be run again; "
        "`dirsweep sync SWEEP --to URI` rebuilds the record from the sweep's folder"
    )


def _check_finished(run: Any, uri: str) -> None:
    """ValueError unless it is the run of a trial that finished."""
    tags, where = run.data.tags, store.shown(uri)
    if run.info.lifecycle_stage != "active":
        raise ValueError(f"{_named(run)}: was deleted from {where}; `mlflow runs restore` brings it back")
    if "trial" not in tags:
        if "spec_hash" in tags:
            raise ValueError(f"{_named(run)}: is a whole sweep; give the id of one of its trials' runs")
        raise ValueError(f"{_named(run)}: is no trial of dirsweep's (it has no tag 'trial')")
    status = tags.get("status", "")
    if status != "COMPLETE":
        how = ENDED.get(status, f"has the status {status or run.info.status!r}")
        reason = f" ({tags['reason']})" if tags.get("reason") else ""
        raise ValueError(f"{_named(run)}: {how}{reason}, so there is no result to compare with")


def _named(run: Any) -> str:
    return f"run {run.info.run_id} ({run.info.run_name})"


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _by_epoch(points: list[Any]) -> dict[int, float]:
    """Values by epoch; of two at one epoch the first, for the later one is the trial's final value."""
    found: dict[int, float] = {}
    for point in sorted(points, key=lambda point: (point.step, point.timestamp)):
        if math.isfinite(point.value):
            found.setdefault(point.step, point.value)
    return found


def _parsed(run: Any, name: str, text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{_named(run)}: its {name} is damaged ({error})") from None
