"""Jobs in Slurm's queue: list them, follow one's states and its log as it grows, stop it.

Asks the controller alone, which forgets a job some minutes after its end (MinJobAge): `sacct` needs an
accounting data base. A job that was queued again keeps its id and its log, so following goes on.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MARK = "dirsweep"
"""Comment of our jobs, by which they are told from the user's others."""
ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
    *("REVOKED", "TIMEOUT"),
)
GENTLY = ("--batch", "--signal=USR2")
"""The script has a trap for it."""
ASK_SECONDS = 5.0
"""Between two questions to the controller, which all users of a cluster ask."""
LOOK_SECONDS = 0.5
"""Between two looks into the log."""
PATIENCE = 120.0
"""Seconds without an answer from the controller, which may be restarted meanwhile."""


@dataclass(frozen=True)
class State:
    """What the controller says of a job.

    name: PENDING, RUNNING, COMPLETED ...
    reason: why it is not running, or why it failed; empty if there is none.
    restarts: how often it was queued again.
    exit_code: of its script.
    comment: what the script says of itself; MARK in those of dirsweep.
    """

    name: str
    reason: str
    restarts: int
    exit_code: int
    nodes: str
    comment: str
    log: Path

    @property
    def told(self) -> str:
        """For a reader: "running on n[1-2]", "pending (BeginTime), queued again 1 time"."""
        where = f" on {self.nodes}" if self.name == "RUNNING" else ""
        why = f" ({self.reason})" if self.reason else ""
        times = "1 time" if self.restarts == 1 else f"{self.restarts} times"
        again = f", queued again {times}" if self.restarts else ""
        return f"{self.name.lower().replace('_', ' ')}{where}{why}{again}"


@dataclass(frozen=True)
class Listed:
    """A job in the queue; unix seconds, None where it has not begun or ended."""

    id: str
    name: str
    status: str
    began: float | None
    ended: float | None


def parse(text: str) -> State:
    """What `scontrol --oneliner show job` prints of one job."""
    found = dict(re.findall(r"(?:^|\s)(\w+)=(\S*)", text))
    [log] = re.findall(r"\sStdOut=(.*?)(?: Power=| \w+=|\s*$)", text) or [""]  # may have blanks
    return State(
        name=found["JobState"],
        reason="" if found["Reason"] == "None" else found["Reason"],
        restarts=int(found["Restarts"]),
        exit_code=int(found["ExitCode"].partition(":")[0]),
        nodes=found.get("NodeList", ""),
        comment=found.get("Comment", ""),
        log=Path(log),
    )


def state(job_id: str) -> State | None:
    """A job's state; None if the controller does not answer. ValueError if it knows no such job."""
    done = asked("scontrol", "--oneliner", "show", "job", job_id)
    if done is not None and "Invalid job id" in done.stderr:
        raise ValueError(
            f"Slurm does not know job {job_id}, or no longer (`sacct --jobs {job_id}` may); its log is "
            f"NAME-{job_id}.log in the folder where it was submitted"
        )
    return parse(done.stdout) if done is not None and done.returncode == 0 and done.stdout else None


def ours(job_id: str) -> State:
    """A job's state. ValueError if there is no such job, or it is none of dirsweep's, or no answer."""
    found = state(job_id)
    if found is None:
        raise ValueError(f"scontrol has no answer about job {job_id}; is slurmctld up?")
    if found.comment != MARK:
        raise ValueError(f"job {job_id} is none of dirsweep's; `dirsweep jobs list --to slurm` shows those")
    return found


def jobs() -> list[Listed]:
    """The user's jobs that are dirsweep's, as long as the controller remembers them, the latest last.

    Raises:
        ValueError: no Slurm is here, or its controller does not answer.
    """
    done = asked("squeue", "--me", "--states=all", "--noheader", "--sort=i", "--format=%k|%i|%j|%T|%S|%e")
    if done is None or done.returncode:
        raise ValueError(f"{_complaint(done)}; is slurmctld up?")
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith(f"{MARK}|")]
    return [
        Listed(
            job_id,
            name,
            status,
            began=None if status == "PENDING" else _seconds(began),  # when it may begin
            ended=_seconds(ended) if status in ENDED else None,
        )
        for _, job_id, name, status, began, ended in rows
    ]


def stop(job_id: str) -> Literal["running", "waiting", "ended"]:
    """Ask a job to end, once its trials have saved their state; what it was doing.

    Raises:
        ValueError: as `ours`, or Slurm refuses.
    """
    found = ours(job_id)
    if found.name in ENDED:
        return "ended"
    runs = found.name == "RUNNING"
    done = asked("scancel", *(GENTLY if runs else ()), job_id)
    if done is None or done.returncode:
        raise ValueError(_complaint(done))
    return "running" if runs else "waiting"


def asked(*words: str) -> "subprocess.CompletedProcess[str] | None":
    """What a command of Slurm's says; None if the controller does not answer. ValueError if there is none."""
    environment = os.environ | {"SLURM_TIME_FORMAT": "%s"}
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    except FileNotFoundError:
        raise ValueError(f"no {words[0]} is on the PATH; run this where Slurm's commands are") from None
    except subprocess.TimeoutExpired:
        return None


def _complaint(done: "subprocess.CompletedProcess[str] | None") -> str:
    """The last line of what a command says against a question."""
    return (done and done.stderr.strip().rpartition("\n")[2]) or f"no answer within {PATIENCE:g} s"


def _seconds(text: str) -> float | None:
    return float(text) if text.isdecimal() else None  # N/A


def follow(job_id: str, show: Callable[[str], None]) -> State:
    """Show a job's log as it grows, and lines of its own for its states; how it ended.

    Raises:
        ValueError: the controller does not answer for long, or has forgotten the job.
    """
    told, shown = "", 0
    heard = time.monotonic()
    while True:
        found = state(job_id)
        if found is not None:
            heard = time.monotonic()
            shown = _show_further(found.log, shown, show, ended=found.name in ENDED)
            if found.name in ENDED:
                return found
            if found.told != told:
                told = found.told
                show(f"job {job_id}: {told}\n")
        elif time.monotonic() - heard > PATIENCE:
            raise ValueError(f"slurmctld did not answer for {PATIENCE:g} s; the job may run on (`squeue`)")
        again = time.monotonic() + ASK_SECONDS
        while time.monotonic() < again:
            time.sleep(LOOK_SECONDS)
            if found is not None:
                shown = _show_further(found.log, shown, show)


def _show_further(log: Path, shown: int, show: Callable[[str], None], ended: bool = False) -> int:
    """Show whole lines of the log after so many bytes, and the rest if the job has ended; where they end."""
    if not log.exists():  # it waits, or its nodes write where this machine does not see it
        return shown
    with log.open("rb") as file:
        file.seek(shown)
        text = file.read()
    whole = text if ended else text[: text.rfind(b"\n") + 1]
    if whole:
        show(whole.decode(errors="replace"))
    return shown + len(whole)
