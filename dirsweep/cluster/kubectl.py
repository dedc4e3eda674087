"""Let kubectl do it, and say what it says: of its own log, which it writes beside that, nothing."""

import re
import shutil
import subprocess
from collections.abc import Callable

PATIENCE = 60
"""Seconds for it to take a job."""
LOG = re.compile(r"[IWEF]\d{4} [\d:.]+ +(\d+ )?\S+:\d+\] ")
"""How a line of its log begins: "E1126 12:00:00.000000 265 memcache.go:265] "."""
AWAY = ("The connection to the server", "Unable to connect to the server")
"""How it begins to say that no cluster answers."""
FAILED = (*AWAY, "error:", "Error from server")
"""How it begins to say why it fails."""


def apply(text: str) -> str | None:
    """Hand manifests to kubectl, if there is one; what it said, or None.

    Raises:
        ValueError: it refused them, or did not answer.
    """
    program = shutil.which("kubectl")
    if program is None:
        return None
    command = [program, "apply", "-f", "-"]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise ValueError(f"kubectl did not answer within {PATIENCE} s; is its cluster reachable?") from None
    if done.returncode:
        raise ValueError(f"kubectl refused the job: {_said(done.stderr) or done.stdout.strip()}")
    return done.stdout.strip()


def run(tell: Callable[[str], None], *words: str) -> bool:
    """Let kubectl print on stdout as it goes; whether there is a kubectl.

    `tell` is handed each line that it says beside that, as it comes, for it may be a login to be made.

    Raises:
        ValueError: it failed.
    """
    program = shutil.which("kubectl")
    if program is None:
        return False
    kept = []
    with subprocess.Popen([program, *words], stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if LOG.match(line) or line.startswith(FAILED):
                kept.append(line)
            elif line.strip():
                tell(line.rstrip())
    if process.returncode:
        said = _said("".join(kept)) or f"it ended with status {process.returncode}"
        raise ValueError(f"kubectl: {said}")
    return True


def _said(stderr: str) -> str:
    """Its own words, or of its log the last where it has none; and what to do where no cluster answers."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = [line for line in lines if not LOG.match(line)] or [LOG.sub("", line) for line in lines[-1:]]
    if said and said[-1].startswith(AWAY):
        said[-1] += "; see that the cluster is up, and is the one that `kubectl config current-context` names"
    return "\n".join(said)
