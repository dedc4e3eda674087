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
from collections.abc import Callable
from pathlib import Path

from dirsweep.tracking import store

START = 60  # seconds that MLflow may take to start


def ui_command(storage: Path, port: int, uri: str) -> list[str]:
    """The command that serves the store `uri` on 127.0.0.1:`port`."""
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--backend-store-uri", uri),
        *("--artifacts-destination", str(storage.resolve() / store.ARTIFACTS)),
    ]


def serve_ui(storage: Path, port: int, uri: str, announce: Callable[[str], None]) -> None:
    """Serve the UI until Ctrl-C; `announce` gets its address once it answers.

    Args:
        storage: the folder of sweeps.
        port: 0 takes a free one.
        uri: the store to show.
        announce: called with http://127.0.0.1:PORT.

    Raises:
        ValueError: a server's URI (it has a UI), no store there, a port in use, or MLflow ended by itself.
    """
    database = store.database_path(uri)
    if database is None:
        raise ValueError(f"{store.shown(uri)} is a tracking server with its own UI: open it in a browser")
    if not database.is_file():
        raise ValueError(f"{database}: no tracking store there yet; run a sweep in {storage} first")
    port = _free_port(port)
    # jobs are MLflow's evaluations of language models; they would start further processes
    environment = os.environ | store.TELEMETRY_OFF | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ui_command(storage, port, uri),
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end MLflow with its own children
        )
        for wish in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(wish, _stop)  # also when a script or a closing terminal ends us
        try:
            _wait_until_it_answers(process, port)
            announce(f"http://127.0.0.1:{port}")
            process.wait()
        except KeyboardInterrupt:
            return
        finally:
            _end(process)
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines() or ["nothing"]
    raise ValueError(f"mlflow server ended with status {process.returncode}; it said last: {said[-1]}")


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5),
        ):
            return
        time.sleep(0.1)
    if process.poll() is None:
        raise ValueError(f"mlflow server did not answer on 127.0.0.1:{port} within {START} s")


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
