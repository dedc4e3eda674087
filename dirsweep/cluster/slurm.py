"""A job as a batch script for Slurm: a Ray cluster over the job's nodes, for as long as the job runs.

`ray symmetric-run` starts Ray on all nodes and runs the sweep on the first. Before the time limit Slurm
signals the script, which stops the sweep (trials save their state) and queues the job again; the sweep
goes on then, as it does after a preemption, which may come without a signal. Whole nodes are asked for:
`ray symmetric-run` ends by stopping every Ray of the user on its node.
"""

import math
import re
import shlex
import shutil
import subprocess

from dirsweep.cluster import inside
from dirsweep.cluster.job import Job, space_text
from dirsweep.cluster.slurm_queue import MARK
from dirsweep.storage import Folder

PATIENCE = 60  # seconds for sbatch
END = "END_OF_SPACE"


def script(job: Job) -> str:
    """The batch script. ValueError if the job lacks what Slurm needs."""
    resources = job.resources
    if resources.cpus_per_node is None:
        raise ValueError("'resources.cpus_per_node' is needed: Slurm is asked for whole nodes of that size")
    if job.time_limit is not None and job.time_limit <= job.slurm.stop_minutes:
        raise ValueError(
            f"'time_limit' is {job.time_limit} minutes, and the sweep is stopped {job.slurm.stop_minutes:g} "
            "before its end ('slurm.stop_minutes'): no time is left; raise it"
        )
    named = inside.from_secrets(job)
    if named:
        raise ValueError(
            f"'environment.{named[0]}': Slurm has no secrets; export it before `sbatch` and write `from: env`"
        )
    folder = Folder(job.storage).absolute()
    storage = str(folder)
    start = [f"--num-cpus={resources.cpus_per_node}", f"--num-gpus={resources.gpus_per_node}"]
    start.append("--include-log-monitor=false")  # it would print for a driver what workers print
    values = {
        "options": "\n".join(f"#SBATCH --{option}" for option in _options(job)),
        "name": shlex.quote(job.name),
        "storage": shlex.quote(storage),
        "shared": "storage" if folder.path is not None else "SLURM_SUBMIT_DIR",
        "retries": str(job.retries),
        "nodes": str(resources.nodes),
        "cpus": str(resources.cpus_per_node),
        "start": shlex.join(start),
        "setup": "\n".join(job.slurm.setup),
        "exports": "\n".join(_exports(job)),
        "job": inside.script(job, storage, ("dirsweep",), retries=0).rstrip("\n"),
        "space": space_text(job.rendered()).rstrip("\n"),
        "no_use": "|".join(map(str, inside.NO_USE)),
        "end": END,
    }
    return re.sub(r"@(\w+)@", lambda found: values[found[1]], _SCRIPT)


def submit(text: str) -> str | None:
    """Hand a script to sbatch, if there is one; the job's id, or None. ValueError if it was refused."""
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        return None
    try:
        done = subprocess.run([sbatch], input=text, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise ValueError(f"sbatch did not answer within {PATIENCE} s; is slurmctld up?") from None
    if done.returncode:
        raise ValueError(f"sbatch refused the job: {done.stderr.strip() or done.stdout.strip()}")
    found = re.search(r"job (\d+)", done.stdout)
    if found is None:
        raise ValueError(f"sbatch gave no id of the job: {done.stdout.strip()}")
    return found[1]


def _options(job: Job) -> list[str]:
    resources, wanted = job.resources, job.slurm
    options = [f"job-name={job.name}", f"comment={MARK}"]
    options += [f"nodes={resources.nodes}", "ntasks-per-node=1", "exclusive"]
    options.append(f"cpus-per-task={resources.cpus_per_node}")
    options += [f"gpus-per-node={resources.gpus_per_node}"] if resources.gpus_per_node else []
    options += [f"mem={resources.memory_per_node.removesuffix('i')}"] if resources.memory_per_node else []
    if job.time_limit is not None:
        options.append(f"time={job.time_limit}")
    options.append(f"signal=B:USR1@{math.ceil(wanted.stop_minutes * 60)}")  # a partition has a limit too
    options += [
        f"{name}={value}"
        for name in ("partition", "account", "qos")
        if (value := getattr(wanted, name)) is not None
    ]
    return [*options, "requeue", "open-mode=append", f"output={job.name}-%j.log"]


def _exports(job: Job) -> list[str]:
    usual = {"RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"} | inside.plain_variables(job)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in usual.items()]
    wanting = "is not set; export it before sbatch"
    return lines + [f': "${{{name}:?{wanting}}}"' for name in inside.from_environment(job)]


_SCRIPT = r"""#!/usr/bin/env bash
@options@
# shellcheck disable=SC1091,SC2329 # setup lies elsewhere; a trap calls
set -euo pipefail
@setup@
@exports@

name=@name@
storage=@storage@
nodes=@nodes@
work="$@shared@/.jobs/$name-$SLURM_JOB_ID" # all nodes see it
mkdir -p "$work"
chmod 700 "$work"
cat >"$work/space.yaml" <<'@end@'
@space@
@end@

# The Ray cluster of this job has a token of its own; what names another came along from where sbatch ran.
unset RAY_ADDRESS RAY_AUTH_TOKEN
trap 'rm -f "$work/token"' EXIT
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$work/token")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$work/token"
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300

# What runs on the first node, once Ray is there on all.
cat >"$work/job.sh" <<'@end@'
@job@
@end@

# What each node runs: Ray, and on the first the job. The node is this job's alone, so a Ray that is there
# was left by one that was killed. The others refuse what only a head may be told.
cat >"$work/node.sh" <<'@end@'
! pgrep -u "$(id -u)" -x 'raylet|gcs_.*' >/dev/null || ray stop --force
address=$1
set -- @start@
[ "$SLURM_NODEID" != 0 ] || set -- "$@" --include-dashboard=false --no-monitor
# shellcheck disable=SC2016 # $0 is the inner shell's
exec ray symmetric-run --address "$address" --min-nodes @nodes@ "$@" -- \
  env RAY_ADDRESS="$address" sh -c 'sh "$0/job.sh"; echo $? >"$0/status"' "${0%/*}"
@end@

# Ray looks no name up in /etc/hosts, so it is given the first node's number.
read -r first < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
named=$(scontrol show node "$first" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')
read -r address _ < <(getent ahostsv4 "$named") || address=none
if [ "$address" = none ] || { [ "$nodes" != 1 ] && [ "${address%%.*}" = 127 ]; }; then
  echo "error: on $first, its own name $named means $address; the other nodes cannot reach it there" >&2
  exit 2
fi
address=$address:$((20000 + SLURM_JOB_ID % 10000))

ending=
step=
before_the_end() {
  echo "$1: trials save their state"
  dirsweep stop "$storage/$name" || kill -TERM "$step"
}
trap ': "${ending:=soon}"; before_the_end "Slurm ends this job soon (its time limit, or a preemption)"' USR1
trap 'ending=stopped; before_the_end "dirsweep jobs stop"' USR2

rm -f "$work/status"
srun --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 --cpus-per-task=@cpus@ \
  --kill-on-bad-exit=1 --wait=10 sh "$work/node.sh" "$address" &
step=$!
until wait "$step"; [ -z "$(jobs -pr)" ]; do :; done # the trap interrupts a wait

status=$(cat "$work/status" 2>/dev/null || echo 1)
if [ -n "$ending" ] && [ "$status" != 0 ] && [ "$status" != 2 ]; then
  if [ "$ending" = stopped ]; then
    rm -rf "$work"
    scancel "$SLURM_JOB_ID" # it would end as failed
    exit
  fi
  echo "queued again, to go on where it was"
  scontrol requeue "$SLURM_JOB_ID"
  exit
fi
failures=$(cat "$work/failures" 2>/dev/null || echo 0)
case "$status" in
  @no_use@) ;;
  *)
    if [ "$failures" -lt @retries@ ]; then
      echo $((failures + 1)) >"$work/failures"
      echo "failed with status $status; queued again, retry $((failures + 1)) of @retries@"
      scontrol requeue "$SLURM_JOB_ID"
      exit
    fi
    ;;
esac
rm -rf "$work"
exit "$status"
"""
