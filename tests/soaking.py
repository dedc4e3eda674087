"""The processes of a soak: the driver, the MLflow server, and what they start. Begun, found, killed here."""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import sweeping
from heads import free_ports

from dirsweep import ledger
from dirsweep.tracking import store, ui

MARK = "DIRSWEEP_SOAK"
"""A variable that all processes of a soak have in their environment."""
NAME = "soak"
KINDS = ("driver", "trial", "process", "server")
TELL = re.compile(rb'"kind": ?"tell"')


@dataclass
class Soak:
    """One run of the soak in a folder, with the processes that it started."""

    folder: Path
    workers: int
    seed: int
    driver: subprocess.Popen[bytes] | None = None
    server: subprocess.Popen[bytes] | None = None
    begun: float = 0.0
    """When the driver that lives was started."""
    told_before: int = 0
    """What the ledger had told then."""
    turns: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    died: int = 0
    """Drivers that were killed, or ended since a process of their Ray was: they leave temporary files."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 (what is killed next is no secret)
        kept = self.folder / "port.txt"  # the sweep's ledger names the server
        if not kept.exists():
            kept.write_text(str(free_ports(1)[0]))
        self.port = int(kept.read_text())
        self.temporary = Path(tempfile.mkdtemp(prefix="soak-"))  # a short name, for Ray's sockets lie in it

    @property
    def sweep(self) -> Path:
        """The sweep's folder."""
        return self.folder / NAME

    @property
    def uri(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What the processes are known by; temporary files lie where they can be counted."""
        here = str(self.temporary)
        ours = {MARK: str(self.folder), "TMPDIR": here, "RAY_TMPDIR": here}
        return os.environ | store.TELEMETRY_OFF | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | ours

    def log(self, text: str) -> None:
        """Say something, in the log too."""
        line = f"{time.strftime('%H:%M:%S')}  {text}"
        print(line, flush=True)
        with (self.folder / "soak.log").open("a") as file:
            file.write(line + "\n")

    def start_server(self) -> None:
        """Start the MLflow server."""
        self.server = self._started(ui.ui_command(self.folder / store.DATABASE, self.port), "server.txt")

    def start_driver(self) -> None:
        """Start the sweep, or go on with it; the server may be dead meanwhile."""
        if self.driver is not None:
            self.died += 1
            self.log(f"the driver ended with status {self.driver.returncode}; it is started again")
        words = [
            *("run", str(self.folder / f"{NAME}.yaml"), "--name", NAME, "--or-resume"),
            *("--storage", str(self.folder), "--workers", str(self.workers), "--tracking-uri", self.uri),
        ]
        self.driver = self._started([sys.executable, "-m", "dirsweep", *words], "driver.txt")
        self.begun, self.told_before = time.monotonic(), self.told()

    def wait_for_server(self) -> None:
        """Wait until the server answers; start it if it is dead."""
        while True:
            if self.server is None or self.server.poll() is not None:
                self.start_server()
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.5)

    def sync(self) -> None:
        """Bring the server what did not reach it."""
        self.wait_for_server()
        words = ("sync", NAME, "--storage", str(self.folder), "--to", self.uri)
        done = self._started([sys.executable, "-m", "dirsweep", *words], "sync.txt")
        self.log(f"sync ended with status {done.wait(timeout=600)}")

    def _started(self, command: list[str], output: str) -> subprocess.Popen[bytes]:
        with (self.folder / output).open("ab") as file:
            return subprocess.Popen(
                command, env=self.environment, stdout=file, stderr=file, start_new_session=True
            )

    def ours(self) -> Iterator[psutil.Process]:
        """All that the soak started and that lives, whoever its parent is now."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.folder) and process.status() != "zombie":
                    yield process
            except (psutil.Error, OSError):
                continue

    def kill(self) -> None:
        """Kill what is next; what is not there now is passed over."""
        if not self.turns:
            self.turns = self.chance.sample(KINDS, len(KINDS))
        kind = self.turns.pop()
        victim = self._victim(kind)
        if victim is None:
            if self.turns:
                self.kill()
            return
        self.log(f"kill {kind} {victim} ({self.told()} told)")
        self.kills[kind] += 1
        if kind == "server":
            os.killpg(victim, signal.SIGKILL)
        else:
            os.kill(victim, signal.SIGKILL)

    def _victim(self, kind: str) -> int | None:
        if kind != "server" and self.told() == self.told_before:
            return None  # else a slow machine, on which drivers start for long, would get nowhere
        if kind in ("driver", "server"):
            one = self.driver if kind == "driver" else self.server
            return one.pid if one is not None and one.poll() is None else None
        trial = kind == "trial"
        mine = {one.pid for one in (self.driver, self.server) if one is not None}
        found = [one.pid for one in self.ours() if one.pid not in mine and _runs_a_trial(one) == trial]
        found = [pid for pid in found if trial or "ray" in _command(pid)]
        return self.chance.choice(found) if found else None

    def told(self) -> int:
        """How many trials and controls the ledger has told."""
        file = self.sweep / ledger.FILE
        return len(TELL.findall(file.read_bytes())) if file.exists() else 0

    @property
    def is_finished(self) -> bool:
        """Whether the last driver came to its end."""
        last = ledger.of_drivers(sweeping.records(self.sweep))[-1:]
        return bool(last) and last[0]["kind"] == "end" and last[0]["why"] == "finished"


def _command(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


def _runs_a_trial(process: psutil.Process) -> bool:
    command = _command(process.pid)
    return command.startswith("ray::") and "IDLE" not in command
