"""A RayJob that kubectl has applied: follow its states, and its log as it grows, to its end.

The log is that of the Kubernetes job of the same name, whose pod hands the job to its cluster and prints what
it prints. What KubeRay tries again has another cluster, pod and log; the job's id there tells them apart.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ENDED = ("Complete", "Failed", "ValidationFailed")
ASK_SECONDS = 5.0
"""Between two questions to Kubernetes."""
PATIENCE = 120.0
"""Seconds without an answer from Kubernetes, whose control plane may be restarted meanwhile."""


@dataclass(frozen=True)
class State:
    """What KubeRay says of a RayJob.

    name: of the whole: Initializing, Running, Retrying, Complete, Failed ...; empty at first.
    status: of the job on the cluster: SUCCEEDED, FAILED, STOPPED ...; empty before it is there.
    job_id: on the cluster; another one at each attempt.
    failures: attempts that failed.
    message: why it failed.
    """

    name: str
    status: str
    job_id: str
    failures: int
    message: str

    @property
    def told(self) -> str:
        """For a reader: "running", "retrying, failed 1 time"."""
        times = "1 time" if self.failures == 1 else f"{self.failures} times"
        failed = f", failed {times}" if self.failures else ""
        return f"{self.name.lower() or 'new'}{failed}"

    @property
    def exit_code(self) -> int:
        """Of the job's script; 1 where KubeRay does not say it."""
        if self.status == "SUCCEEDED":
            return 0
        found = re.search(r"exit code (\d+)", self.message)
        return int(found[1]) if found else 1


def parse(text: str) -> State:
    """What `kubectl get rayjob NAME --output=json` prints."""
    found: dict[str, Any] = json.loads(text).get("status") or {}
    return State(
        name=found.get("jobDeploymentStatus", ""),
        status=found.get("jobStatus", ""),
        job_id=found.get("jobId", ""),
        failures=found.get("failed", 0),
        message=found.get("message", "").partition(", last available logs")[0],
    )


def follow(name: str, namespace: str | None, show: Callable[[str], None]) -> State:
    """Show a RayJob's log as it grows, and lines of its own for its states; how it ended.

    Raises:
        ValueError: it was deleted meanwhile, or Kubernetes does not answer for long.
    """
    where = ["--namespace", namespace] if namespace else []
    told, job_id, shown = "", "", 0
    heard = time.monotonic()
    while True:
        found = _state(name, where)
        if found is not None:
            heard = time.monotonic()
            if found.told != told:
                told = found.told
                show(f"{name}: {told}\n")
            if found.job_id != job_id:
                job_id, shown = found.job_id, 0
            ended = found.name in ENDED
            shown = _show_further(name, where, shown, show, ended)
            if ended:
                return found
        elif time.monotonic() - heard > PATIENCE:
            raise ValueError(f"kubectl had no answer for {PATIENCE:g} s; the job may run on")
        time.sleep(ASK_SECONDS)


def _state(name: str, where: list[str]) -> State | None:
    """None without an answer. ValueError if there is no such RayJob."""
    done = _kubectl("get", "rayjob", name, "--output=json", *where)
    if done is not None and "NotFound" in done.stderr:
        raise ValueError(f"there is no RayJob {name} any more; it was deleted (`dirsweep jobs stop`)")
    return parse(done.stdout) if done is not None and done.returncode == 0 else None


def _show_further(name: str, where: list[str], shown: int, show: Callable[[str], None], ended: bool) -> int:
    """Show whole lines of the log after so many letters, and the rest of an ended job's; where they end."""
    done = _kubectl("logs", f"job/{name}", *where)
    if done is None or done.returncode:  # there is no pod yet, or none any more
        return shown
    whole = done.stdout if ended else done.stdout[: done.stdout.rfind("\n") + 1]
    if whole[shown:]:
        show(whole[shown:])
    return max(shown, len(whole))


def _kubectl(*words: str) -> "subprocess.CompletedProcess[str] | None":
    """What kubectl says; None if it does not end in time."""
    try:
        words = ("kubectl", *words)
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None
