"""Run services of docker/compose.yaml without Docker: the same words, names, ports and paths. Root, Linux.

Each container is a network namespace with an address on the bridges of its networks and an /etc/hosts with
the names that it would find. What runs in it has its name as host name, and namespaces of mounts and
processes, with /run, its secrets, /srv and Ray's folder as in the container. The bridges lie in a namespace
too, so nothing reaches another network, and all of it is gone at the end.
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

from composed import DOCKER, ROOT, read, resolved

MOUNTS = """
set -eu
echo "$CONTAINER" >/proc/sys/kernel/hostname
mount -t tmpfs none /run
mkdir /run/secrets
mkdir -m 1777 /run/postgresql /run/lock
for secret in $SERVICE_SECRETS; do
  cp "$WORLD/secrets/$secret" /run/secrets/
done
chown -R 1000 /run/secrets # they belong to whoever made them, not to the container's user
touch /run/mlflow.ini
mount --bind "$DOCKER/mlflow.ini" /run/mlflow.ini
mount --bind "$WORLD/srv" /srv
# where Ray keeps its sessions
mkdir -p /tmp/ray "$WORLD/ray/$CONTAINER"
mount --bind "$WORLD/ray/$CONTAINER" /tmp/ray
exec setpriv --reuid="$SERVICE_USER" --regid="$SERVICE_USER" --clear-groups -- "$@"
"""
EXECUTE = """
cd "${WORKDIR:-$WORLD/home}"
exec setpriv --reuid="$SERVICE_USER" --regid="$SERVICE_USER" --clear-groups -- "$@"
"""
RESTARTS = 4
"""Of a container that ends before it is healthy, for the one known reason."""
KNOWN = "The current node timed out during startup"
"""What a node of Ray's says that ends by itself after 30 s, on a busy machine."""
RESTARTED: list[str] = []
"""Containers that were started again, by name; said at the end of the tests."""
SUBNETS = {"records": "10.78.1", "cluster": "10.78.2"}


def missing() -> str:
    """What this machine lacks to run services natively; empty if nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, for network namespaces"
    lacking = [name for name in ("ip", "nsenter", "setpriv", "unshare") if not shutil.which(name)]
    lacking += [] if list(Path("/usr/lib/postgresql").glob("*/bin/postgres")) else ["PostgreSQL"]
    return f"needs {', '.join(lacking)}" if lacking else ""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=30)


class World:
    """Containers of one composed cluster, with secrets of their own."""

    def __init__(self, folder: Path, containers: Mapping[str, str], settings: Mapping[str, str]) -> None:
        """
        Args:
            containers: name -> service of the compose file.
            settings: what would stand in docker/.env.
        """
        self.folder = folder
        self.containers = dict(containers)
        given = dict(settings) | {"DIRSWEEP_SECRETS": str(folder / "secrets")}
        self.services: dict[str, Any] = resolved(read(), given)["services"]
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._given: dict[str, dict[str, str]] = {}
        self._begins: dict[str, int] = {}
        """Where in its log the present life of a container begins, in bytes."""

    def service(self, container: str) -> dict[str, Any]:
        """Its settings in the compose file."""
        found: dict[str, Any] = self.services[self.containers[container]]
        return found

    def space(self, container: str) -> str:
        """Its network namespace."""
        return f"{self.folder.name}-{container}"

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text()

    def connect(self) -> None:
        """Make the namespaces, and the bridges between them."""
        hub = self.space("hub")
        ip("netns", "add", hub)
        for network in SUBNETS:
            ip("-n", hub, "link", "add", network, "type", "bridge")
            ip("-n", hub, "link", "set", network, "up")
        for number, container in enumerate(self.containers):
            space = self.space(container)
            etc = Path("/etc/netns") / space
            etc.mkdir(parents=True)
            (etc / "hosts").write_text(self._hosts(container))
            (etc / "resolv.conf").write_text("# none: a question for another name fails at once\n")
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
            for network in self.service(container)["networks"]:
                port = f"{network}-{number}"
                ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", network, "netns", space)
                ip("-n", hub, "link", "set", port, "master", network, "up")
                ip("-n", space, "addr", "add", f"{self.address(container, network)}/24", "dev", network)
                ip("-n", space, "link", "set", network, "up")
            ip("-n", space, "route", "add", "default", "dev", network)  # leads nowhere; Ray looks for it

    def address(self, container: str, network: str) -> str:
        """Where it is reached on one of its networks."""
        return f"{SUBNETS[network]}.{10 + list(self.containers).index(container)}"

    def _hosts(self, container: str) -> str:
        lines = ["127.0.0.1 localhost"]
        for network in self.service(container)["networks"]:
            for other in self.containers:
                if network in self.service(other)["networks"]:
                    lines.append(f"{self.address(other, network)} {other}")
        return "\n".join(lines) + "\n"

    def cut(self, container: str, network: str) -> None:
        """Take a container's cable out."""
        ip(
            "-n",
            self.space("hub"),
            "link",
            "set",
            f"{network}-{list(self.containers).index(container)}",
            "down",
        )

    def disconnect(self) -> None:
        """Remove the namespaces."""
        for container in ("hub", *self.containers):
            subprocess.run(["ip", "netns", "delete", self.space(container)], capture_output=True)
            shutil.rmtree(Path("/etc/netns") / self.space(container), ignore_errors=True)

    def _inside(self, container: str, words: list[str]) -> tuple[list[str], dict[str, str]]:
        """How to run these words in a container, which may run already, and with which environment."""
        postgres = max(Path("/usr/lib/postgresql").glob("*/bin"))
        settings = self.service(container)
        environment = {
            "PATH": f"{self.folder}/bin:{Path(sys.executable).parent}:{postgres}:/usr/bin:/bin:/usr/sbin",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "RAY_USAGE_STATS_ENABLED": "0",
            "WORLD": str(self.folder),
            "DOCKER": str(DOCKER),
            "CONTAINER": container,
            "SERVICE_SECRETS": " ".join(settings.get("secrets", [])),
            "SERVICE_USER": settings.get("user", "root").replace("0:0", "root"),
        }
        environment |= settings.get("environment", {})
        if container in self.running:
            within = ("nsenter", f"--target={self._first(container)}", "--net", "--uts", "--mount", "--pid")
            return [*within, "sh", "-c", EXECUTE, "sh", *words], environment
        # its processes end with the tests' own, however these end
        enter = ("setpriv", "--pdeathsig=KILL", "ip", "netns", "exec", self.space(container))
        alone = ("unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        return [*enter, *alone, "sh", "-c", MOUNTS, "sh", *words], environment

    def _first(self, container: str) -> str:
        """Its first process, by its number out here, once its folders are mounted."""
        process = self.running[container]
        until = time.monotonic() + 10
        while time.monotonic() < until:
            assert process.poll() is None, (
                f"{container} ended with {process.returncode}: {self.log(container)}"
            )
            child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()
            if child and Path(f"/proc/{child}/comm").read_text() not in ("unshare\n", "sh\n"):
                return child
            time.sleep(0.02)
        raise AssertionError(f"{container} does not begin: {self.log(container)}")

    def start(
        self,
        container: str,
        words: list[str] | None = None,
        environment: Mapping[str, str] | None = None,
        name: str = "",
        workdir: str = "",
    ) -> None:
        """Start a container by its own entrypoint and command, or other words in it under a name."""
        settings = self.service(container)
        own = [*settings.get("entrypoint", []), *settings["command"]]
        if words is None:
            self.running.pop(container, None)
            self._given[container] = dict(environment or {})
        command, variables = self._inside(container, words or own)
        with (self.folder / f"{name or container}.log").open("ab") as log:
            self._begins[name or container] = log.tell()
            self.running[name or container] = subprocess.Popen(
                command,
                env=variables | {"WORKDIR": workdir} | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder / "home",
                start_new_session=True,
            )

    def run(self, container: str, words: list[str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run words to their end in a container, with its environment."""
        command, environment = self._inside(container, words)
        return subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=self.folder / "home",
        )

    def wait_healthy(self, container: str, test: list[str] | None = None, timeout: float = 180) -> None:
        """Until a container's own health check (or `test`) is content.

        One that ended for the known reason is started again, as Docker would; for any other reason it fails.
        """
        until, restarts, said = time.monotonic() + timeout, RESTARTS, ""
        words = test or self.service(container)["healthcheck"]["test"][1:]
        while True:
            with contextlib.suppress(AssertionError):  # it ended
                done = self.run(container, words)
                if done.returncode == 0:
                    return
                said = done.stdout + done.stderr
            if (ended := self.running[container].poll()) is not None:
                life = (self.folder / f"{container}.log").read_bytes()[self._begins[container] :]
                known = restarts and KNOWN.encode() in life
                assert known, f"{container} ended with {ended}: {self.log(container)}"
                assert self.service(container)["restart"] == "unless-stopped"
                restarts -= 1
                RESTARTED.append(container)
                self.start(container, environment=self._given.get(container))
            assert time.monotonic() < until, f"{container}: {said}\n{self.log(container)}"
            time.sleep(0.5)

    def log(self, name: str) -> str:
        """The end of what a container printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End all containers by the signals that Docker would send; those that stay after 3 s by force."""
        for name in self.containers.keys() & self.running.keys():
            with contextlib.suppress(AssertionError, ProcessLookupError):  # it ended, or did not begin
                first = int(self._first(name))
                os.kill(first, signal.SIGINT if name in ("postgres", "s3") else signal.SIGTERM)
        until = time.monotonic() + 3
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0.01))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def world(containers: Mapping[str, str], settings: Mapping[str, str] | None = None) -> Iterator[World]:
    """Containers that are connected and not yet started; see `World`."""
    folder = Path(tempfile.mkdtemp(prefix="dirsweep-world-"))
    made = World(folder, containers, settings or {})
    try:
        folder.chmod(0o755)
        for name in ("bin", "home", "ray", "srv", "srv/sweeps", "srv/project"):
            (folder / name).mkdir()
        (folder / "home").chmod(0o777)
        for script in ("healthy", "with-secrets"):
            (folder / "bin" / script).symlink_to(DOCKER / f"{script}.sh")
        for part in ("search_spaces", "jobs"):
            shutil.copytree(ROOT / part, folder / "srv" / "project" / part)
        subprocess.run([DOCKER / "new-secrets.sh", folder / "secrets"], check=True, capture_output=True)
        made.connect()
        yield made
    finally:
        made.stop()
        made.disconnect()
        shutil.rmtree(folder)


def start_tracking(made: World) -> None:
    """PostgreSQL, a store and MLflow, all healthy. moto's server stands for the S3 gateway, a Go program."""
    variables = made.service("postgres")["environment"]
    # what the image does at its first start: a database of this user, and a password asked of all who come
    init = ["initdb", *variables["POSTGRES_INITDB_ARGS"].split(), f"--username={variables['POSTGRES_USER']}"]
    password = f"--pwfile={variables['POSTGRES_PASSWORD_FILE']}"
    done = made.run("postgres", [*init, "--no-sync", password, "--pgdata=records"])
    assert done.returncode == 0, done.stderr
    with (made.folder / "home" / "records" / "pg_hba.conf").open("a") as rules:
        rules.write("\nhost all all all scram-sha-256\n")
    made.start("s3", ["moto_server", "--host=0.0.0.0", "--port=7070"])
    made.start("postgres", environment={"PGDATA": str(made.folder / "home" / "records")})
    made.wait_healthy("postgres")
    create = ["createdb", "--host=postgres", "--username=mlflow", variables["POSTGRES_DB"]]
    done = made.run("mlflow", ["with-secrets", "PGPASSWORD=postgres_password", "--", *create])
    assert done.returncode == 0, done.stderr
    made.wait_healthy("s3", ["healthy", "http://127.0.0.1:7070/moto-api/"])
    in_store(made, "make")
    made.start("mlflow")
    made.wait_healthy("mlflow")


STORE = """
import boto3, sys
store = boto3.client("s3", endpoint_url="http://s3:7070")
if sys.argv[1] == "make":
    store.create_bucket(Bucket="mlflow")
for page in store.get_paginator("list_objects_v2").paginate(Bucket="mlflow"):
    for found in page.get("Contents", []):
        print(found["Key"])
"""


def in_store(made: World, what: str = "list") -> list[str]:
    """Names of all artifacts; "make" makes the bucket first, elsewhere a folder of the gateway's volume."""
    words = [word for word in made.service("mlflow")["entrypoint"] if word.startswith("AWS_")]
    done = made.run("mlflow", ["with-secrets", *words, "--", "python", "-c", STORE, what])
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def sql(made: World, query: str, password: str = "") -> tuple[int, str]:
    """Ask the database as MLflow would: psql's status, and rows or refusal."""
    connection = f"postgresql://mlflow:{password or made.secret('postgres_password')}@postgres:5432/mlflow"
    done = made.run("mlflow", ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "-c", query, connection])
    return done.returncode, (done.stdout or done.stderr).strip()
