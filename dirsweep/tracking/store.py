"""Where the runs are kept: an sqlite file beside the sweeps, or a tracking server named by its URI.

MLflow is imported inside the functions, after `quiet` has set what must be set before: its telemetry off,
its log lines and printed links off, and no retries of its own (a request that fails waits in the tracker's
queue, where the sweep's end can still count it; MLflow's own seven retries take minutes).
"""

import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from dirsweep.storage import Folder, Place

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
NOTE = "mlflow.note.content"  # the tag that the UI shows as a description
TIMEOUT = 5  # seconds for one request to a server

LOGIN = ("UNAUTHENTICATED", "PERMISSION_DENIED")  # MLflow's codes for 401 and 403

TELEMETRY_OFF = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


class Unreachable(ValueError):
    """A server does not answer."""


class Moved(ValueError):
    """The files of an sqlite store's experiment lie elsewhere: writing would change another folder's."""


_QUIET = TELEMETRY_OFF | {
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(TIMEOUT),
}


def default_uri(storage: Place) -> str | None:
    """The embedded store of the sweeps in `storage`: an sqlite file on its disk; None in an object store."""
    storage = Folder(storage)
    return None if storage.path is None else f"sqlite:///{storage.path.resolve() / DATABASE}"


def shown(uri: str) -> str:
    """The URI without user name and password, fit for a message."""
    parts = urlsplit(uri)
    return uri.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else uri


def check(uri: str, option: str = "--tracking-uri") -> None:
    """See that `uri` names a store that we can write to and, if it is a server, that it answers.

    Raises:
        Unreachable: no answer from the server within `TIMEOUT` seconds.
        ValueError: not an sqlite or http(s) URI, no place to put the sqlite file, another program's
            database, or a login that is missing. Names the `option` that gave it.
    """
    database = database_path(uri, option)
    if database is not None:
        _check_database(uri, database, option)
        return
    quiet()
    from mlflow.exceptions import MlflowException

    try:
        open_client(uri).search_experiments(max_results=1)
    except MlflowException as error:
        if error.error_code in LOGIN:
            raise ValueError(f"{option} {shown(uri)}: {_login(error)}") from error
        raise Unreachable(
            f"{option} {shown(uri)}: no MLflow tracking server answers there ({brief(error, uri)}); "
            "start it, correct the address, or leave the option out to track in a file beside the sweep"
        ) from error


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what a store raises into a ValueError that names it."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        said = _login(error) if error.error_code in LOGIN else brief(error, uri)
        raise ValueError(f"{shown(uri)}: {said}") from error
    except (OSError, SQLAlchemyError) as error:  # among the first are those of an upload
        raise ValueError(f"{shown(uri)}: {brief(error, uri)}") from error


def _login(error: Any) -> str:
    what = "asks for a login" if error.error_code == LOGIN[0] else "does not let this login do that"
    return (
        f"the server {what}; MLflow reads MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
        "MLFLOW_TRACKING_TOKEN, from the environment"
    )


def database_path(uri: str, option: str = "--tracking-uri") -> Path | None:
    """The file of an sqlite URI, None for a server's.

    Raises:
        ValueError: any other kind of URI, or one whose password cannot be told from the rest.
    """
    if uri.startswith("sqlite:///") and uri != "sqlite:///":
        return Path(uri.removeprefix("sqlite:///"))
    _check_login(uri, option)
    if uri.startswith(("http://", "https://")) and urlsplit(uri).hostname:
        return None
    plain = "" if ":" in uri.removeprefix("file:") else uri.removeprefix("file:").removeprefix("//")
    raise ValueError(
        f"{option} {shown(uri)}: neither an sqlite file nor a server (MLflow writes no folders of "
        f"runs any more); use sqlite:///{Path(plain).absolute() / DATABASE} or http://HOST:PORT of an "
        "`mlflow server`"
    )


def _check_login(uri: str, option: str) -> None:
    """Refuse a server's URI of which `shown` might leave a part of the password, without showing it."""
    if "://" not in uri or uri.startswith("file:"):
        return
    try:
        parts = urlsplit(uri)
        clear = "@" not in parts.path + parts.query + parts.fragment and (parts.port or True)
    except ValueError:  # it names what it could not read
        clear = False
    if not clear:
        raise ValueError(
            f"{option}: the address has an @ after its host, or a port that is no number (it is not shown, "
            "for it may hold a password). In a user name or password write / as %2F, # as %23, ? as %3F and "
            "@ as %40; or leave them out and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )


def _check_database(uri: str, database: Path, option: str) -> None:
    if database.exists():
        with database.open("rb") as file:
            head = file.read(16)
        if head not in (b"", b"SQLite format 3\0"):
            raise ValueError(f"{option} {uri}: the file exists and is not an sqlite database; name another")
        _check_tables(uri, database, option)
    place = next(folder for folder in database.absolute().parents if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise ValueError(f"{option} {uri}: cannot write in {place}; name a file in a folder of yours")


def _check_tables(uri: str, database: Path, option: str) -> None:
    """Refuse another program's database, to which MLflow would add its own tables before it fails."""
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {
                table
                for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{option} {uri}: cannot be read ({error})") from error
    if tables and "experiments" not in tables:
        some = ", ".join(sorted(tables)[:3])
        raise ValueError(f"{option} {uri}: another program's database (it has tables {some}); name another")


def artifact_location(uri: str) -> str | None:
    """Where a new experiment's files go: beside the sqlite file; None leaves it to the server."""
    database = database_path(uri)
    return None if database is None else (database.absolute().parent / ARTIFACTS).as_uri()


def check_place(uri: str, location: str) -> None:
    """See that an experiment's files lie beside the sqlite file: MLflow keeps an absolute path.

    Args:
        location: the experiment's, as MLflow has it.

    Raises:
        Moved: they lie elsewhere, and what is written here would go there.
    """
    database, place = database_path(uri), artifact_location(uri)
    if database is None or place is None or urlsplit(location).scheme not in ("", "file"):
        return
    there, here = (Path(url2pathname(urlsplit(one).path)).resolve() for one in (location, place))
    if there != here:
        raise Moved(
            f"{uri}: keeps this sweep's files in {there}: the storage folder was moved or copied. Delete "
            f"{database.name} and {ARTIFACTS} in {here.parent}, then `dirsweep sync SWEEP` for each sweep "
            "there; or leave them and `dirsweep sync SWEEP --to` a fresh store"
        )


def quiet() -> None:
    """Turn MLflow's telemetry, log lines and own retries off in this process, before it is imported."""
    os.environ.update(_QUIET)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def open_client(uri: str) -> Any:
    """An `MlflowClient` of the store; makes an sqlite file that is not there yet (1 to 6 s)."""
    quiet()
    from mlflow.tracking import MlflowClient
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _settings):
        event.listen(Engine, "connect", _settings)
    database = database_path(uri)
    if database is not None and not database.exists():
        _make(database)
    return MlflowClient(tracking_uri=uri)


def _make(database: Path) -> None:
    """Put a database with MLflow's tables in place whole.

    MLflow builds them by some sixty migrations; a kill in their midst, or two sweeps that start at once,
    leave a file that no later start can repair.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with tempfile.TemporaryDirectory(prefix="dirsweep-") as folder:
        fresh = Path(folder) / DATABASE
        made = SqlAlchemyStore(f"sqlite:///{fresh}", (database.absolute().parent / ARTIFACTS).as_uri())
        made.engine.dispose()  # the last connection to close brings everything into the one file
        Folder(database.parent).put_if_absent(database.name, fresh.read_bytes())


def _settings(connection: Any, _: Any) -> None:
    """Let the embedded database wait for the disk at checkpoints, not at each of a dozen commits a trial.

    A power cut may take the last commits, never the file's integrity. Readers (the UI) do not block the
    writer in this mode.
    """
    from sqlite3 import Connection

    if not isinstance(connection, Connection):
        return
    for _, _, file in connection.execute("PRAGMA database_list").fetchall():
        if file and Path(file).name == DATABASE:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")


def brief(error: Exception, uri: str) -> str:
    """An error in one line, without credentials and without the statement that SQLAlchemy adds."""
    text = " ".join(str(error).partition("[SQL:")[0].split()) or type(error).__name__
    host = urlsplit(uri).netloc
    return (text.replace(host, host.rpartition("@")[2]) if host else text)[:300]
