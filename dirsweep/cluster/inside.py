"""What a job does on the cluster, the same for Ray Jobs, KubeRay and Slurm: look around, then sweep.

The sweep begins or goes on with what is there under its name, so a job that was ended in the middle may
simply be started again.
"""

import shlex
from pathlib import Path

from dirsweep.cluster.job import Job
from dirsweep.cluster.seen import versions
from dirsweep.config import PLACES
from dirsweep.config.files import FILES

SPACE = "space.yaml"
SCRIPT = "job.sh"
STOPPED = 130
"""Status of a sweep that a signal or `dirsweep stop` ended."""
NO_USE = (0, 2, STOPPED)
"""Statuses after which another attempt would do the same: done, bad input, stopped.

A store or a server that is away ends with 1."""
PAUSE = 60
"""Seconds before the first further attempt, twice as many before the second, and so on: what is away may be
back then. Slurm and Kubernetes take their own time to begin a job again."""


def check_command(job: Job, storage: str, program: tuple[str, ...], at_least: int) -> str:
    """Shell: see whether all nodes can serve the job, with room for so many trials at once."""
    words = [*program, "jobs", "check", "--storage", storage]
    words += [part for name, found in versions().items() for part in ("--expect", f"{name}={found}")]
    words += ["--at-least", str(at_least)]
    words += [part for name in from_environment(job) for part in ("--variable", name)]
    words += [part for place in needed_places(job) for part in ("--needs", place)]
    return shlex.join([*words, *_per_trial(job)])


def sweep_command(job: Job, storage: str, program: tuple[str, ...], space: str) -> str:
    """Shell: begin the sweep, or go on with it."""
    words = [*program, "run", space, "--name", job.name, "--storage", storage, "--or-resume"]
    words += ["--tracking-uri", job.tracking_uri] if job.tracking_uri else []
    reuse = {None: [], True: ["--reuse-actors"], False: ["--no-reuse-actors"]}
    return shlex.join([*words, *_per_trial(job), *reuse[job.resources.reuse_actors]])


def script(
    job: Job,
    storage: str,
    program: tuple[str, ...],
    *,
    retries: int,
    at_least: int | None = None,
    retried: bool = False,
) -> str:
    """A POSIX shell script that runs where SPACE lies beside it, on the cluster's head.

    Args:
        retries: further attempts after a failure; 0 where the cluster has its own.
        at_least: trials that must have room when it begins; by default as many as the job asks for.
        retried: the cluster starts whatever fails again; a sweep that was stopped ends well then.
    """
    check = check_command(job, storage, program, at_least or job.resources.at_once)
    sweep = sweep_command(job, storage, program, SPACE)
    lines = ["#!/bin/sh", f"# {job.name}: look around, then begin the sweep or go on with it.", "set -eu"]
    lines.append('cd "$(dirname "$0")"')
    if retried:
        end = f'[ "$status" = {STOPPED} ] || exit "$status"'
        return "\n".join([*lines, check, "status=0", f"{sweep} || status=$?", end, ""])
    if retries == 0:
        return "\n".join([*lines, check, f"exec {sweep}", ""])
    useless = "|".join(map(str, NO_USE))
    return "\n".join(
        [
            *lines,
            "trap : TERM # the sweep ends by itself then, once its trials are saved",
            "attempt=0",
            "while :; do",
            "  status=0",
            f"  {check} || status=$?",
            f'  [ "$status" != 0 ] || {sweep} || status=$?',
            f'  case "$status" in {useless}) exit "$status" ;; esac',
            f'  [ "$attempt" -lt {retries} ] || exit "$status"',
            "  attempt=$((attempt + 1))",
            f"  pause=$(({PAUSE} * attempt))",
            f'  echo "failed with status $status; attempt $attempt of {retries} to go on, in $pause s"',
            '  sleep "$pause"',
            "done",
            "",
        ]
    )


def needed_places(job: Job) -> list[str]:
    """Files and folders that the search space names and all nodes must see: data, encoders, warm starts."""
    spec = job.rendered()
    named: list[object] = list(spec.warm_start)
    for branch, keys in (("dataset", PLACES), ("encoder", FILES)):
        part = spec.fixed.get(branch)
        named += [part.get(key) for key in keys] if isinstance(part, dict) else []
    return [place for place in named if isinstance(place, str) and Path(place).is_absolute()]


def plain_variables(job: Job) -> dict[str, str]:
    """Environment variables that the job gives values."""
    return {name: given.value for name, given in job.environment.items() if given.value is not None}


def from_environment(job: Job) -> list[str]:
    """Environment variables that are there already."""
    return [name for name, given in job.environment.items() if given.source == "env"]


def from_secrets(job: Job) -> list[str]:
    """Environment variables that Kubernetes takes from its secrets."""
    return [name for name, given in job.environment.items() if given.source == "secret"]


def _per_trial(job: Job) -> list[str]:
    wanted = job.resources
    words = ["--cpus-per-trial", str(wanted.cpus_per_trial)]
    return words + (["--gpus-per-trial", f"{wanted.gpus_per_trial:g}"] if wanted.gpus_per_trial else [])
