"""Follow a job of Slurm's: its states in the queue, and its log as it grows.

Asks `scontrol` alone: `sacct` needs an accounting data base, and `squeue` does not tell where the log is. A
job that was queued again keeps its id and its log, so following goes on.
"""

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
    *("REVOKED", "TIMEOUT"),
)
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
    """

    name: str
    reason: str
    restarts: int
    exit_code: int
    nodes: str
    log: Path

    @property
    def told(self) -> str:
        """For a reader: "running on n[1-2]", "pending (BeginTime), queued again 1 time"."""
        where = f" on {self.nodes}" if self.name == "RUNNING" else ""
        why = f" ({self.reason})" if self.reason else ""
        times = "1 time" if self.restarts == 1 else f"{self.restarts} times"
        again = f", queued again {times}" if self.restarts else ""
        return f"{self.name.lower().replace('_', ' ')}{where}{why}{again}"


def parse(text: str) -> State:
    """What `scontrol --oneliner show job` prints of one job."""
    found = dict(re.findall(r"(?:^|\s)(\w+)=(\S*)", text))
    [log] = re.findall(r"\sStdOut=(.*?)(?: Power=| \w+=|\s*$)", text)  # may have blanks
    return State(
        name=found["JobState"],
        reason="" if found["Reason"] == "None" else found["Reason"],
        restarts=int(found["Restarts"]),
        exit_code=int(found["ExitCode"].partition(":")[0]),
        nodes=found.get("NodeList", ""),
        log=Path(log),
    )


def state(job_id: str) -> State | None:
    """A job's state; None if the controller does not answer. ValueError if it knows no such job."""
    words = ["scontrol", "--oneliner", "show", "job", job_id]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    if "Invalid job id" in done.stderr:
        raise ValueError(f"Slurm no longer knows job {job_id}; `sacct --jobs {job_id}` may")
    return parse(done.stdout) if done.returncode == 0 and done.stdout else None


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
