"""Commands on jobs that were handed to a cluster: list, read and stop them; look around from inside."""

import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dirsweep.cli.places import reached
from dirsweep.cli.shared import Cpus, Gpus, Storage, given_resources

if TYPE_CHECKING:
    from dirsweep.cluster.head import Head

app = typer.Typer()
jobs = typer.Typer(no_args_is_help=True, help="Jobs on a cluster.")
app.add_typer(jobs, name="jobs")

Kind = Literal["ray", "kuberay", "slurm"]
To = Annotated[Kind, typer.Option(help="Which kind of cluster it was submitted to.")]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="The head's dashboard  [default: RAY_API_SERVER_ADDRESS or RAY_ADDRESS]"
    ),
]
Namespace = Annotated[
    str | None, typer.Option(metavar="NAME", help="With --to kuberay  [default: where kubectl points]")
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="As `dirsweep jobs list` shows it.")]


LOOKED = "cluster: "
STOPPED = {
    "running": "its trials save their state and end; submit the job again to go on",
    "waiting": "it was waiting and is cancelled; submit the job again to go on",
}
"""What `stop` says of a job that was running or waiting then."""


def watch(head: "Head", job_id: str, follow: bool) -> None:
    """Show a job's log to its end, or until the cluster has looked around.

    Status 1 for a job that failed, 2 for one that ended itself so: bad input that only the cluster could see.
    """
    named = f"{job_id}{head.option}"
    try:
        entry = head.follow(job_id, lambda text: typer.echo(text, nl=False), None if follow else LOOKED)
    except KeyboardInterrupt:
        typer.echo("\nthe job goes on")
        tell_commands(named)
        raise typer.Exit(130) from None
    if entry.status in ("FAILED", "STOPPED"):
        typer.echo(f"{job_id}: {entry.status.lower()}: {entry.message}", err=True)
        raise typer.Exit(2 if entry.code == 2 else 1)
    if not follow:
        tell_commands(named)


def tell_commands(job: str) -> None:
    """Say how to read and to stop a job; `job` is its id, with what else these commands need."""
    typer.echo(f"its log   dirsweep jobs logs {job} --follow\nend it    dirsweep jobs stop {job}")


def watch_slurm(job_id: str) -> None:
    """Show a job's states and log to its end; status 1 for a job that did not complete, 2 for bad input."""
    from dirsweep.cluster.slurm_queue import follow

    try:
        ended = follow(job_id, lambda text: typer.echo(text, nl=False))
    except KeyboardInterrupt:
        typer.echo("\nthe job goes on")
        tell_commands(f"{job_id} --to slurm")
        raise typer.Exit(130) from None
    if not ended.log.exists():
        typer.echo(f"its log is on the nodes: {ended.log}")
    if ended.name != "COMPLETED":
        status = f", status {ended.exit_code}" if ended.exit_code else ""  # none of one that was cancelled
        typer.echo(f"job {job_id}: {ended.told}{status}", err=True)
        raise typer.Exit(2 if ended.exit_code == 2 else 1)
    typer.echo(f"job {job_id}: {ended.told}")


def watch_kuberay(name: str, namespace: str | None) -> None:
    """Show a RayJob's states and log to its end; status 1 for one that did not succeed, 2 for bad input."""
    from dirsweep.cluster.rayjob import follow

    try:
        ended = follow(name, namespace, lambda text: typer.echo(text, nl=False))
    except KeyboardInterrupt:
        typer.echo("\nthe job goes on")
        tell_commands(on_kuberay(name, namespace))
        raise typer.Exit(130) from None
    if ended.exit_code:
        typer.echo(f"{name}: {ended.told}: {ended.message or ended.status.lower()}", err=True)
        raise typer.Exit(2 if ended.exit_code == 2 else 1)


def on_kuberay(name: str, namespace: str | None) -> str:
    """A RayJob's name, with what else `dirsweep jobs` needs to find it."""
    return f"{name} --to kuberay" + (f" --namespace {namespace}" if namespace else "")


@jobs.command("list")
def list_jobs(to: To = "ray", address: Address = None, namespace: Namespace = None) -> None:
    """List the jobs of a Ray cluster, your own in Slurm's queue or KubeRay's, the latest last.

    Example: dirsweep jobs list --address http://127.0.0.1:8265
    """
    _check_given(to, address, namespace)
    if to == "kuberay":
        _kubectl(namespace, "get", "rayjobs", "--sort-by=.metadata.creationTimestamp")
    elif to == "slurm":
        from dirsweep.cluster import slurm_queue

        queued = slurm_queue.jobs()
        if not queued:
            typer.echo(
                "Slurm: no job of yours now; begin one with: dirsweep submit jobs/slurm2.yaml --to slurm"
            )
        for job in queued:
            _show(f"{job.id:<6} {job.name}", job.status, job.began, job.ended)
    else:
        from dirsweep.cluster.head import Head

        head = Head(address)
        found = head.jobs()
        if not found:
            typer.echo(
                f"{head.address}: no job yet; begin one with: dirsweep submit jobs/laptop.yaml --to ray"
                f"{head.option}"
            )
        for one in found:
            _show(one.id, one.status, one.began, one.ended)


@jobs.command()
def logs(
    job_id: JobId,
    to: To = "ray",
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the job ends.")] = False,
    address: Address = None,
    namespace: Namespace = None,
) -> None:
    """Print what a job has printed.

    Example: dirsweep jobs logs all-1-3f2a9c --follow
    """
    _check_given(to, address, namespace)
    if to == "kuberay":
        _kubectl(namespace, "logs", *(["--follow"] if follow else []), f"job/{job_id}")
    elif to == "slurm":
        from dirsweep.cluster import slurm_queue

        found = slurm_queue.ours(job_id)
        if follow:
            watch_slurm(job_id)
        elif found.log.exists():
            typer.echo(found.log.read_text(errors="replace"), nl=False)
        else:
            typer.echo(f"job {job_id}: {found.told}; no log is here yet, or it is on the nodes: {found.log}")
    else:
        from dirsweep.cluster.head import Head

        head = Head(address)
        if follow:
            head.job(job_id)
            watch(head, job_id, follow=True)
        else:
            typer.echo(head.logs(job_id), nl=False)


@jobs.command()
def stop(job_id: JobId, to: To = "ray", address: Address = None, namespace: Namespace = None) -> None:
    """End a job; submitting it again goes on. Its trials save their state (of KubeRay's, their last epoch's).

    Example: dirsweep jobs stop all-1-3f2a9c
    """
    _check_given(to, address, namespace)
    if to == "kuberay":
        _kubectl(namespace, "delete", "rayjob", job_id)
        return
    if to == "slurm":
        from dirsweep.cluster import slurm_queue

        was = slurm_queue.stop(job_id)
    else:
        from dirsweep.cluster.head import Head

        was = Head(address).stop(job_id)
    typer.echo(f"{job_id}: {STOPPED.get(was, 'had ended already')}")


def _check_given(to: Kind, address: str | None, namespace: str | None) -> None:
    if to != "ray" and address is not None:
        raise ValueError("--address is for --to ray; kubectl and Slurm know their own clusters")
    if to != "kuberay" and namespace is not None:
        raise ValueError("--namespace is for --to kuberay; leave it out")


def _show(name: str, status: str, began: float | None, ended: float | None) -> None:
    """A line of a list; unix seconds."""
    when = "" if began is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(began))
    took = "" if began is None or ended is None else f"{ended - began:.0f} s"
    typer.echo(f"{name:<28} {status.lower():<10} {when:<17} {took}".rstrip())


def _kubectl(namespace: str | None, *words: str) -> None:
    """Let kubectl do it. ValueError that says why it did not, or what to run elsewhere if there is none."""
    import shlex
    from functools import partial

    from dirsweep.cluster import kubectl

    words = (*words, *(["--namespace", namespace] if namespace else []))
    if not kubectl.run(partial(typer.echo, err=True), *words):
        command = shlex.join(["kubectl", *words])
        raise ValueError(f"no kubectl is on the PATH; where there is one, run: {command}")


@jobs.command()
def check(
    storage: Storage,
    expect: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VERSION", help="Of dirsweep, python or ray.")
    ] = None,
    at_least: Annotated[int, typer.Option(min=1, metavar="N", help="Trials that need room at once.")] = 1,
    variable: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Environment variable that must be set.")
    ] = None,
    needs: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="File or folder that all nodes must see.")
    ] = None,
    cpus_per_trial: Cpus = 1,
    gpus_per_trial: Gpus = 0.0,
) -> None:
    """On a cluster's head: see whether all nodes of the Ray at RAY_ADDRESS can serve a sweep.

    Example: dirsweep jobs check --storage /shared/sweeps
    """
    from dirsweep.cluster.check import KINDS, look_around

    expected = dict(pair.partition("=")[::2] for pair in expect or [])
    if unknown := sorted(set(expected) - set(KINDS)):
        raise ValueError(f"--expect {unknown[0]}: takes {', '.join(KINDS)}, each with =VERSION")
    with reached(storage):
        told = look_around(
            storage,
            given_resources(None, cpus_per_trial, gpus_per_trial),
            expected=expected,
            at_least=at_least,
            variables=variable or [],
            needs=needs or [],
        )
    typer.echo(f"{LOOKED}{told}")
