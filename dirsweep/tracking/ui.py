"""Show the runs in the browser: MLflow's own server as a child process, on this machine only."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from dirsweep.storage import Folder
from dirsweep.tracking import store, view
from dirsweep.tracking.runs import Runs, Sweep

MODE = "?workflowType=machine_learning"
"""Ends an address; without it the UI opens a new browser at pages on language models."""
START = 60  # seconds that MLflow may take to start


def ui_command(database: Path, port: int) -> list[str]:
    """The command that serves the store in the sqlite file `database` on 127.0.0.1:`port`."""
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--backend-store-uri", f"sqlite:///{database}"),
        *("--artifacts-destination", str(database.absolute().parent / store.ARTIFACTS)),
    ]


def address(uri: str, sweep: Sweep, known: dict[str, str]) -> str:
    """The page of a sweep in the UI of a store, from the # on; "" if the store has no such sweep.

    It shows the runs as a leaderboard once the sweep has ended.

    Args:
        known: run ids by trial, from the ledger.

    Raises ValueError if the store cannot be read.
    """
    with store.explained(uri):
        runs = Runs(uri, sweep, known, lambda key, run: None)
        found = runs.experiment
        arranged = bool(found) and view.TAG in runs.client.get_experiment(found).tags
    return f"#/experiments/{found}/runs{MODE}{f'&{view.SHARED}' if arranged else ''}" if found else ""


def serve_ui(
    storage: Folder,
    port: int,
    uri: str,
    announce: Callable[[str], None],
    page: Callable[[], str] = lambda: "",
) -> None:
    """Serve the UI until Ctrl-C; `announce` gets its address once it answers.

    Args:
        storage: the folder of sweeps.
        port: 0 takes a free one.
        uri: the store to show.
        announce: called with http://127.0.0.1:PORT, and the page after it if there is one.
        page: the page to open at, from the # on; looked up while the server starts.

    Raises:
        ValueError: a server's URI (it has a UI), no store there, a port in use, or MLflow ended by itself.
    """
    database = store.database_path(uri)
    if database is None:
        raise ValueError(f"{store.shown(uri)} is a tracking server with its own UI: open it in a browser")
    if not database.is_file():
        raise ValueError(f"{database}: no tracking store there yet; run a sweep in {storage} first")
    port = _free_port(port)
    with started(ui_command(database, port)) as server:
        for wish in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(wish, _stop)  # also when a script or a closing terminal ends us
        try:
            opened = page()
            server.wait_until_it_answers(port)
            announce(f"http://127.0.0.1:{port}{f'/{opened}' if opened else ''}")
            server.process.wait()
        except KeyboardInterrupt:
            return
        raise ValueError(server.why_it_ended())


@dataclass(frozen=True)
class Server:
    """A tracking server of our own, in a process with what it said so far."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def wait_until_it_answers(self, port: int) -> None:
        """Wait until it answers on 127.0.0.1:`port`. ValueError if it ended, or takes too long."""
        deadline = time.monotonic() + START
        while self.process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5),
            ):
                return
            time.sleep(0.1)
        if self.process.poll() is None:
            raise ValueError(f"mlflow server did not answer on 127.0.0.1:{port} within {START} s")
        raise ValueError(self.why_it_ended())

    def why_it_ended(self) -> str:
        """Its status and its last line."""
        self.log.seek(0)
        said = self.log.read().decode(errors="replace").strip().splitlines() or ["nothing"]
        return f"mlflow server ended with status {self.process.returncode}; it said last: {said[-1]}"


@contextlib.contextmanager
def started(command: list[str], settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """Run a tracking server inside the block; `settings` go into its environment."""
    # jobs are MLflow's evaluations of language models; they would start further processes
    environment = os.environ | store.TELEMETRY_OFF | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=environment | dict(settings),
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end MLflow with its own children
        )
        try:
            yield Server(process, log)
        finally:
            _end(process)


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: the server and the workers that it started."""
    for wish, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, wish)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(f"--port {port}: {error.strerror}; name another, or 0 for a free one") from error
        return int(probe.getsockname()[1])
