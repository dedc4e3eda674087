"""Run services of docker/compose.yaml without Docker: the same words, names, ports and paths. Root, Linux.

A network namespace of its own keeps their ports from the machine's, its /etc/hosts gives the services the
names that they have in compose, and each service has a mount namespace of its own, with /run, its secrets and
/srv as in its container. Nothing in them reaches another network, and all of it is gone at the end.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from composed import DOCKER, read, resolved

MOUNTS = """
set -eu
mount -t tmpfs none /run
mkdir /run/secrets
mkdir -m 1777 /run/postgresql /run/lock
for secret in $SERVICE_SECRETS; do
  cp "$WORLD/secrets/$secret" /run/secrets/
done
touch /run/mlflow.ini
mount --bind "$DOCKER/mlflow.ini" /run/mlflow.ini
mount --bind "$WORLD/srv" /srv
exec setpriv --reuid="$SERVICE_USER" --regid="$SERVICE_USER" --clear-groups -- "$@"
"""


class World:
    """The services of one composed cluster, with secrets of their own."""

    def __init__(self, folder: Path, space: str) -> None:
        self.folder = folder
        self.space = space
        self.services: dict[str, Any] = resolved(read(), {"DIRSWEEP_SECRETS": str(folder / "secrets")})[
            "services"
        ]
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text()

    def words(self, service: str, words: list[str]) -> tuple[list[str], dict[str, str]]:
        """How to run these words where a service runs, and with which environment."""
        postgres = max(Path("/usr/lib/postgresql").glob("*/bin"))
        settings = self.services[service]
        environment = {
            "PATH": f"{self.folder}/bin:{Path(sys.executable).parent}:{postgres}:/usr/bin:/bin:/usr/sbin",
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "WORLD": str(self.folder),
            "DOCKER": str(DOCKER),
            "SERVICE_SECRETS": " ".join(settings.get("secrets", [])),
            "SERVICE_USER": settings.get("user", "root").replace("0:0", "root"),
        }
        inside = ["ip", "netns", "exec", self.space, "unshare", "--mount", "sh", "-c", MOUNTS, "sh", *words]
        return inside, environment | settings.get("environment", {})

    def start(
        self, service: str, words: list[str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a service by its own entrypoint and command, or by `words`."""
        settings = self.services[service]
        command, variables = self.words(
            service, words or [*settings.get("entrypoint", []), *settings["command"]]
        )
        with (self.folder / f"{service}.log").open("wb") as log:
            self.running[service] = subprocess.Popen(
                command,
                env=variables | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder / "home",
                start_new_session=True,
            )

    def run(self, service: str, words: list[str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run words to their end where a service runs, with its environment."""
        command, environment = self.words(service, words)
        return subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=self.folder / "home",
        )

    def wait_healthy(self, service: str, test: list[str] | None = None, timeout: float = 90) -> None:
        """Until a service's own health check (or `test`) is content."""
        until = time.monotonic() + timeout
        words = test or self.services[service]["healthcheck"]["test"][1:]
        while (done := self.run(service, words)).returncode != 0:
            ended = self.running[service].poll()
            assert ended is None, f"{service} ended with {ended}: {self.log(service)}"
            assert time.monotonic() < until, f"{service}: {done.stdout}{done.stderr}\n{self.log(service)}"
            time.sleep(0.2)

    def log(self, service: str) -> str:
        """The end of what a service printed."""
        return (self.folder / f"{service}.log").read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End all services, last first, as Docker would."""
        for name, process in reversed(self.running.items()):
            gently = signal.SIGINT if name == "postgres" else signal.SIGTERM
            for how in (gently, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, how)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)


@contextlib.contextmanager
def world(hosts: Mapping[str, str]) -> Iterator[World]:
    """An empty world in which the services have these addresses."""
    folder = Path(tempfile.mkdtemp(prefix="dirsweep-world-"))
    space = folder.name
    etc = Path("/etc/netns") / space
    made = World(folder, space)
    try:
        folder.chmod(0o755)
        for name in ("bin", "home", "srv"):
            (folder / name).mkdir()
        (folder / "home").chmod(0o777)
        for script in ("healthy", "with-secrets"):
            (folder / "bin" / script).symlink_to(DOCKER / f"{script}.sh")
        subprocess.run([DOCKER / "new-secrets.sh", folder / "secrets"], check=True, capture_output=True)
        etc.mkdir(parents=True)
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in hosts.items())]
        (etc / "hosts").write_text("\n".join(lines) + "\n")
        for words in (["netns", "add", space], ["-n", space, "link", "set", "lo", "up"]):
            subprocess.run(["ip", *words], check=True, capture_output=True)
        yield made
    finally:
        made.stop()
        subprocess.run(["ip", "netns", "delete", space], capture_output=True)
        shutil.rmtree(etc, ignore_errors=True)
        shutil.rmtree(folder)
