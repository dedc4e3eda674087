"""A real Ray head on this machine for a test: a process of its own, with a token, on free ports."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RAY = Path(sys.executable).parent / "ray"
PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
    "ray-client-server-port",
)
SECONDS = 60.0


@dataclass(frozen=True)
class Head:
    """Where a head is, for jobs (its dashboard) and for drivers, and the file with its token."""

    address: str
    driver_address: str
    token_file: Path
    log: Path


def free_ports(count: int) -> list[int]:
    """Ports that are free now, none of those that Ray gives its workers."""
    taken: list[socket.socket] = []
    found: list[int] = []
    try:
        while len(found) < count:
            taken.append(socket.socket())
            taken[-1].bind(("127.0.0.1", 0))
            port = taken[-1].getsockname()[1]
            found += [] if 10002 <= port <= 19999 else [port]
    finally:
        for one in taken:
            one.close()
    return found


@contextmanager
def running(folder: Path, cpus: int = 2) -> Iterator[Head]:
    """A head with so many CPUs, whose files lie in `folder`; a short-named folder holds Ray's sockets."""
    token, log = folder / "token", folder / "head.log"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    address = f"http://127.0.0.1:{ports['dashboard-port']}"
    kept = {
        name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN")
    }
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place,
        log.open("w") as output,
    ):
        process = subprocess.Popen(
            [
                *(RAY, "start", "--head", "--block", "--disable-usage-stats", "--include-dashboard=true"),
                *(f"--num-cpus={cpus}", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"),
                *("--min-worker-port=0", "--max-worker-port=0", f"--temp-dir={place}"),
                *(f"--{name}={port}" for name, port in ports.items()),
            ],
            env=kept
            | {
                "PATH": f"{RAY.parent}:{kept['PATH']}",
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(token),
            },
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            _wait(process, address, log)
            _wait_for_node(address, token.read_text(), log)
            yield Head(address, f"127.0.0.1:{ports['port']}", token, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            finally:
                end_group(process.pid)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait until the dashboard asks for a token."""
    give_up = time.monotonic() + SECONDS
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"{address}/api/version", timeout=2)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no head at {address} within {SECONDS:g} s: {log.read_text()}")


def _wait_for_node(address: str, token: str, log: Path) -> None:
    """Wait until the head counts itself among the nodes, a moment after its dashboard is up."""
    request = urllib.request.Request(f"{address}/api/v0/nodes", headers={"Authorization": f"Bearer {token}"})
    give_up = time.monotonic() + SECONDS
    while time.monotonic() < give_up:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                if b'"ALIVE"' in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"no node at {address} within {SECONDS:g} s: {log.read_text()}")


def end_group(group: int) -> None:
    """End what is left of a process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
