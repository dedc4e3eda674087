"""What lies in a tracking store, as plain values that two stores are compared by; sweeps changed on disk."""

import hashlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from dirsweep import ledger
from dirsweep.ledger import Ledger
from dirsweep.storage import Folder, Record
from dirsweep.tracking import store


def contents(uri: str, *, times: bool = True, sweep: str = "") -> dict[str, dict[str, Any]]:
    """Every run of a store by its tag `trial`, "" for the sweep; with `times`, also when things happened.

    sweep: which one, where the store has several.
    """
    client = store.open_client(uri)
    there = [one for one in client.search_experiments() if one.name != "Default"]
    experiments = [one.experiment_id for one in there if sweep in ("", one.name)]
    runs = client.search_runs(experiments, max_results=1000)
    found = {run.data.tags.get("trial", ""): _content(client, run, times) for run in runs}
    assert len(found) == len(runs), "a run is there twice"
    return found


def _content(client: Any, run: Any, times: bool) -> dict[str, Any]:
    info, tags = run.info, dict(run.data.tags)
    for name in ("mlflow.parentRunId", store.NOTE, "mlflow.log-model.history"):
        tags.pop(name, None)
    points = {
        name: [
            (one.step, one.value, *((one.timestamp,) if times else ()))
            for one in client.get_metric_history(info.run_id, name)
        ]
        for name in run.data.metrics
    }
    files = {
        path: hashlib.sha256(Path(client.download_artifacts(info.run_id, path)).read_bytes()).hexdigest()
        for path in artifacts(client, info.run_id)
        if path != "leaderboard.txt"  # it says where the sweep's folder is
    }
    return {
        "name": info.run_name,
        "status": info.status,
        "params": run.data.params,
        "tags": tags,
        "points": points,
        "files": files,
        **({"begun": info.start_time, "ended": info.end_time} if times else {}),
    }


def artifacts(client: Any, run: str, below: str = "") -> list[str]:
    """Paths of a run's files."""
    found = []
    for file in client.list_artifacts(run, below or None):
        found += artifacts(client, run, file.path) if file.is_dir else [file.path]
    return sorted(found)


def copied(sweep: Path, storage: Path, name: str | None = None) -> Path:
    """A copy of a sweep, without its tracking store, in another storage folder."""
    return Path(shutil.copytree(sweep, storage / (name or sweep.name)))


def really_copied(sweep: Path, storage: Path) -> Path:
    """A copy of a sweep and of the store beside it as `cp -r` makes it: with the original's paths."""
    folder = copied(sweep, storage)
    shutil.copytree(sweep.parent / "mlartifacts", storage / "mlartifacts")
    shutil.copyfile(sweep.parent / "mlflow.db", storage / "mlflow.db")
    return folder


def files_below(folder: Path) -> dict[str, str]:
    """Hash by path of every file below a folder."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def with_store(sweep: Path, storage: Path) -> Path:
    """A copy of a sweep and of the store beside it, whose files are found in the copy."""
    old, new = ((place / "mlartifacts").as_uri() for place in (sweep.parent, storage))
    folder = really_copied(sweep, storage)
    places = {
        "experiments": "artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
        "model_versions": "source",
    }
    for table, column in places.items():
        execute(storage / "mlflow.db", f"UPDATE {table} SET {column} = replace({column}, '{old}', '{new}')")
    return folder


def rewritten(sweep: Path, records: list[Record]) -> Path:
    """The sweep with these records as its ledger."""
    folder = Folder(sweep)
    folder.delete(ledger.FILE)
    for number, record in enumerate(records):
        folder.append(ledger.FILE, {**record, "n": number})
    return sweep


def forget_places() -> None:
    """Make MLflow look up again where the files of a run lie: it remembers by run id, whatever the store."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()


def records(sweep: Path) -> list[Record]:
    """The ledger's records."""
    return Ledger.open(Folder(sweep)).records


def execute(database: Path, statement: str) -> None:
    """Run a statement in an sqlite file."""
    connection = sqlite3.connect(database, timeout=20)
    with connection:
        connection.execute(statement)
    connection.close()
