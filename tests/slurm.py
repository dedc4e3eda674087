"""A real Slurm of two nodes on one machine, for a test: munge, a controller, two slurmd. Root, Linux.

The controller and each node have a network namespace on a bridge of their own; a node also has its own
processes, host name, /etc/hosts, /tmp/ray and /run, so what a job leaves behind there is seen, and ends with
the node. All files lie in one folder, none in /etc/slurm or /etc/munge.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from natively import ip

SUBNET = "10.78.3"
NODES = ("n1", "n2")
HUB = "hub"
MEMORY = 8000  # MB that a node says it has
KILL_WAIT = 10  # seconds from SIGTERM to SIGKILL, which always pass; Slurm's default is 30
NEEDED = {
    "ip": "iproute2",
    "setpriv": "util-linux",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "munged": "munge",
    "sbatch": "slurm-wlm",
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
}
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
MACHINE = """
set -eu
hostname "$1"
mount -t tmpfs none /run
mount --bind "$SLURM_WORLD/hosts" /etc/hosts
mkdir -p /tmp/ray
mount --bind "$SLURM_WORLD/$1/ray" /tmp/ray
"""
CONTROLLER = """
munged --foreground --force --key-file="$SLURM_WORLD/munge.key" --socket="$SLURM_WORLD/munge.socket" \\
  --pid-file="$SLURM_WORLD/munge.pid" --seed-file="$SLURM_WORLD/munge.seed" &
slurmctld -D &
"""
# `wait` also collects what a job's processes left, as a machine's first process does
DAEMONS = {"hub": f"{CONTROLLER} wait", "n1": "slurmd -D -N n1 & wait", "n2": "slurmd -D -N n2 & wait"}


def missing() -> str:
    """What this machine lacks for a Slurm; empty if nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, for network namespaces"
    lacking = {package for name, package in NEEDED.items() if not shutil.which(name, path=PATH)}
    return f"needs {', '.join(sorted(lacking))}" if lacking else ""


class Slurm:
    """Two nodes, n1 and n2, of one CPU each, and the controller, on which jobs are submitted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "HOME": str(folder / "home"),
            "SLURM_CONF": str(folder / "slurm.conf"),
            "SLURM_WORLD": str(folder),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: list[subprocess.Popen[bytes]] = []

    def space(self, name: str) -> str:
        """The network namespace of a node or of the hub."""
        return f"{self.folder.name}-{name}"

    def on(self, name: str) -> list[str]:
        """What to put before a command to run it on a machine."""
        return ["nsenter", f"--target={self._first(name)}", "--net", "--mount", "--uts", "--pid"]

    def told(self, *words: str, timeout: float = 30) -> str:
        """What a command on the controller's machine prints; AssertionError if it fails."""
        done = subprocess.run(
            [*self.on(HUB), *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def start_command(
        self, command: str, log: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a line of shell on the controller's machine; it ends with the machine at the latest."""
        with log.open("wb") as output:
            self._commands.append(
                subprocess.Popen(
                    [*self.on(HUB), "sh", "-c", command],
                    env=self.environment | dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            )
        return self._commands[-1]

    def shown(self, job: str) -> dict[str, str]:
        """What the controller knows of a job: "JobState", "Restarts", "ExitCode", "NodeList" ..."""
        words = self.told("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.partition("=")[::2] for word in words if "=" in word)

    def processes(self) -> dict[str, list[str]]:
        """Command lines of all processes on each node but those that make it a node."""
        found: dict[str, list[str]] = {}
        for name in NODES:
            found[name] = []
            for place in Path(f"/proc/{self._first(name)}/root/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):  # it ended
                    words = (place / "cmdline").read_bytes().split(b"\0")
                    if place.name != "1" and words[0] != b"slurmd":
                        found[name].append(b" ".join(words).decode())
        return found

    def _first(self, name: str) -> str:
        """The process that is number 1 on a machine; empty before there is one."""
        pid = self._running[name].pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()

    def logs(self) -> str:
        """The ends of the daemons' logs, and of the jobs'."""
        files = [*sorted(self.folder.glob("*.log")), *sorted(self.folder.glob("shared/*.log"))]
        return "".join(f"\n--- {file.name}\n{file.read_text(errors='replace')[-3000:]}" for file in files)

    # ---- its life

    def write(self) -> None:
        """Leave the settings where the daemons find them."""
        for name in ("home", "spool", *(f"{name}/ray" for name in DAEMONS)):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        lines = ["127.0.0.1 localhost", f"{SUBNET}.1 {HUB}"]
        lines += [f"{self.address(node)} {node}" for node in NODES]
        (self.folder / "hosts").write_text("\n".join(lines) + "\n")
        settings = {
            "ClusterName": "test",
            "SlurmctldHost": f"{HUB}({SUBNET}.1)",
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={self.folder}/munge.socket",
            "StateSaveLocation": f"{self.folder}/spool",
            "SlurmdSpoolDir": f"{self.folder}/%n",
            "SlurmctldPidFile": f"{self.folder}/slurmctld.pid",
            "SlurmdPidFile": f"{self.folder}/%n/slurmd.pid",  # one for both, and the second ends the first
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "SelectType": "select/cons_tres",
            "MpiDefault": "none",
            "ReturnToService": "2",
            "KillWait": str(KILL_WAIT),
            "SchedulerParameters": "sched_interval=2,sched_min_interval=0,bf_interval=2",
        }
        nodes = [f"NodeName={node} CPUs=1 RealMemory={MEMORY} State=UNKNOWN" for node in NODES]
        partition = f"PartitionName=batch Nodes={','.join(NODES)} Default=YES MaxTime=60 State=UP"
        written = [f"{name}={value}" for name, value in settings.items()]
        (self.folder / "slurm.conf").write_text("\n".join([*written, *nodes, partition, ""]))

    def address(self, node: str) -> str:
        return f"{SUBNET}.{2 + NODES.index(node)}"

    def connect(self) -> None:
        """Make the namespaces, and the bridge between them."""
        hub = self.space(HUB)
        ip("netns", "add", hub)
        ip("-n", hub, "link", "set", "lo", "up")
        ip("-n", hub, "link", "add", "slurm", "type", "bridge")
        ip("-n", hub, "addr", "add", f"{SUBNET}.1/24", "dev", "slurm")
        ip("-n", hub, "link", "set", "slurm", "up")
        for node in NODES:
            space = self.space(node)
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
            ip("-n", hub, "link", "add", node, "type", "veth", "peer", "name", "slurm", "netns", space)
            ip("-n", hub, "link", "set", node, "master", "slurm", "up")
            ip("-n", space, "addr", "add", f"{self.address(node)}/24", "dev", "slurm")
            ip("-n", space, "link", "set", "slurm", "up")
            ip("-n", space, "route", "add", "default", "dev", "slurm")  # leads nowhere; Ray looks for it

    def start(self) -> None:
        """Start the daemons, until both nodes are idle."""
        for name, daemons in DAEMONS.items():
            # not `ip netns exec`, which mounts another /sys, where slurmd finds no control groups
            net = f"--net=/run/netns/{self.space(name)}"
            apart = ("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
            with (self.folder / f"{name}.log").open("wb") as log:
                self._running[name] = subprocess.Popen(
                    [
                        "setpriv",
                        "--pdeathsig=KILL",
                        "nsenter",
                        net,
                        *apart,
                        "sh",
                        "-c",
                        MACHINE + daemons,
                        "sh",
                        name,
                    ],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder / "home",
                    start_new_session=True,
                )
        self.wait(lambda: all(map(self._first, DAEMONS)), "the machines", 30)
        self.wait(lambda: self._idle() == set(NODES), "both nodes to be idle", 30)

    def _idle(self) -> set[str]:
        done = subprocess.run(
            [*self.on(HUB), "sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return set(done.stdout.split())

    def wait(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Until the condition holds; AssertionError after so many seconds, or once a machine has ended."""
        until = time.monotonic() + seconds
        while not condition():
            for name, process in self._running.items():
                assert process.poll() is None, f"{name} ended: {self.logs()}"
            assert time.monotonic() < until, f"waited {seconds:g} s in vain for {what}: {self.logs()}"
            time.sleep(0.5)

    def stop(self) -> None:
        """End the daemons and what runs on the nodes, and remove the namespaces."""
        for name, process in self._running.items():
            first = self._first(name) if process.poll() is None else ""
            with contextlib.suppress(ProcessLookupError):
                if first:
                    os.kill(int(first), signal.SIGKILL)  # all that runs there ends first, then it does
                else:
                    process.kill()
            process.wait()
        for command in self._commands:
            command.wait()
        for name in DAEMONS:
            subprocess.run(["ip", "netns", "delete", self.space(name)], capture_output=True)


@contextlib.contextmanager
def running() -> Iterator[Slurm]:
    """A Slurm whose nodes wait for jobs; all of it is gone at the end. It does not outlive this process."""
    folder = Path(tempfile.mkdtemp(prefix="dirsweep-slurm-"))
    made = Slurm(folder)
    try:
        made.write()
        made.connect()
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)
