"""Let kubectl do it, and say what it says: of its own log, which it writes beside that, nothing."""

import re
import shutil
import subprocess

PATIENCE = 60
"""Seconds for it to take a job."""
LOG = re.compile(r"[IWEF]\d{4} [\d:.]+ +(\d+ )?\S+:\d+\] ")
"""How a line of its log begins: "E1126 12:00:00.000000 265 memcache.go:265] "."""
AWAY = ("The connection to the server", "Unable to connect to the server")
"""How it begins to say that no cluster answers."""


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


def run(*words: str) -> str | None:
    """Let kubectl print on stdout as it goes; what it said beside that, or None if there is no kubectl.

    Raises:
        ValueError: it failed.
    """
    program = shutil.which("kubectl")
    if program is None:
        return None
    done = subprocess.run([program, *words], stderr=subprocess.PIPE, text=True)
    said = _said(done.stderr)
    if done.returncode:
        raise ValueError(f"kubectl: {said or f'it ended with status {done.returncode}'}")
    return said


def _said(stderr: str) -> str:
    """Its own words, or of its log the last where it has none; and what to do where no cluster answers."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = [line for line in lines if not LOG.match(line)] or [LOG.sub("", line) for line in lines[-1:]]
    if said and said[-1].startswith(AWAY):
        said[-1] += "; see that the cluster is up, and is the one that `kubectl config current-context` names"
    return "\n".join(said)
