"""Commands on clusters: submit a job, list jobs, read and stop them, look around from inside."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dirsweep.cli.shared import Cpus, Gpus, Storage, given_resources

if TYPE_CHECKING:
    from dirsweep.cluster import Job
    from dirsweep.cluster.head import Head

app = typer.Typer()
jobs = typer.Typer(no_args_is_help=True, help="Jobs of a running Ray cluster.")
app.add_typer(jobs, name="jobs")

Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="The head's dashboard  [default: RAY_API_SERVER_ADDRESS or RAY_ADDRESS]"
    ),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="As `dirsweep jobs list` shows it.")]


@app.command()
def submit(
    job: Annotated[Path, typer.Argument(metavar="JOB", help="A job, or a search space alone (YAML).")],
    to: Annotated[Literal["ray", "kuberay", "slurm"], typer.Option(help="Which kind of cluster.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be handed over.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print the job's log until it ends (not with kuberay).")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write the manifest or script, only.")
    ] = None,
    address: Address = None,
) -> None:
    """Hand a sweep to a cluster.

    Example: dirsweep submit jobs/slurm2.yaml --to slurm --dry-run
    """
    from dirsweep.cluster import read_job

    if to == "kuberay" and follow:
        raise ValueError(
            "--follow is for --to ray and slurm; there, read the log with: kubectl logs --follow job/NAME"
        )
    if follow and out is not None:
        raise ValueError("--follow would do nothing beside --out, which only writes; leave one out")
    if to != "ray" and address is not None:
        raise ValueError("--address is for --to ray; kubectl and sbatch know their own clusters")
    if to == "ray" and out is not None:
        raise ValueError("--out is for --to kuberay and slurm; nothing is written with --to ray")
    if dry_run and follow:
        raise ValueError("--follow would do nothing beside --dry-run; leave one out")
    if dry_run and out is not None:
        raise ValueError("--out writes and --dry-run prints; leave one out")
    wanted = read_job(job)
    try:
        if to == "ray":
            _to_ray(wanted, address, dry_run=dry_run, follow=follow)
        elif to == "kuberay":
            _to_kubernetes(wanted, dry_run, out)
        else:
            _to_slurm(wanted, dry_run, out, follow)
    except ValueError as error:
        told = str(error)
        raise ValueError(told if told.startswith(wanted.space) else f"{job}: {told}") from None


def _to_kubernetes(job: "Job", dry_run: bool, out: Path | None) -> None:
    from dirsweep.cluster import kuberay

    text = kuberay.manifests(job)
    if dry_run:
        typer.echo(text, nl=False)
        return
    said = kuberay.apply(text) if out is None else None
    if said is None:
        _written(text, out or Path(f"{job.name}.rayjob.yaml"), "kubectl apply -f")
        return
    typer.echo(said)
    typer.echo(f"its state   kubectl get rayjob {job.name}\nits log     kubectl logs --follow job/{job.name}")


def _to_slurm(job: "Job", dry_run: bool, out: Path | None, follow: bool) -> None:
    from dirsweep.cluster import slurm

    text = slurm.script(job)
    if dry_run:
        typer.echo(text, nl=False)
        return
    job_id = slurm.submit(text) if out is None else None
    if job_id is None:
        if follow:
            raise ValueError("--follow: no sbatch is on the PATH; without --follow the script is written")
        _written(text, out or Path(f"{job.name}.sbatch"), "sbatch")
        return
    typer.echo(f"submitted job {job_id}")
    if follow:
        _watch_slurm(job_id)
        return
    typer.echo(f"its state   squeue --jobs {job_id}\nits log     {job.name}-{job_id}.log, here")
    typer.echo(f"end it      scancel {job_id}")


def _watch_slurm(job_id: str) -> None:
    """Show a job's states and log to its end; status 1 for a job that did not complete, 2 for bad input."""
    from dirsweep.cluster.slurm_queue import follow

    try:
        ended = follow(job_id, lambda text: typer.echo(text, nl=False))
    except KeyboardInterrupt:
        typer.echo(f"\nthe job goes on; `squeue --me` shows it, `scancel {job_id}` ends it")
        raise typer.Exit(130) from None
    if not ended.log.exists():
        typer.echo(f"its log is on the nodes: {ended.log}")
    if ended.name != "COMPLETED":
        typer.echo(f"job {job_id}: {ended.told}, status {ended.exit_code}", err=True)
        raise typer.Exit(2 if ended.exit_code == 2 else 1)
    typer.echo(f"job {job_id}: {ended.told}")


def _written(text: str, file: Path, command: str) -> None:
    from dirsweep.cli.places import check_file

    check_file(file, "--out")
    file.write_text(text)
    typer.echo(f"wrote {file}; hand it over with: {command} {file}")


def _to_ray(job: "Job", address: str | None, *, dry_run: bool, follow: bool) -> None:
    import secrets
    import tempfile

    from dirsweep.cluster.package import pack

    with tempfile.TemporaryDirectory(prefix="dirsweep-job-") as folder:
        package = pack(job, Path(folder))
        if dry_run:
            typer.echo(f"would send {package.told}")
            typer.echo(
                f"would set  {', '.join(f'{name}={value}' for name, value in package.variables.items())}"
            )
            typer.echo(f"would ask  room for {job.resources.at_once} trials at once\nwould run  job.sh:\n")
            typer.echo((package.work / "job.sh").read_text(), nl=False)
            return

        from dirsweep.cluster.head import Head

        head = Head(address)
        found = head.check(job)
        job_id = f"{job.name}-{secrets.token_hex(3)}"
        typer.echo(f"{head.address}: {found.told}\nsending {package.told}")
        head.submit(job, package, job_id)
    typer.echo(f"submitted {job_id}; the cluster looks around:")
    _watch(head, job_id, follow)


LOOKED = "cluster: "


def _watch(head: "Head", job_id: str, follow: bool) -> None:
    """Show a job's log to its end, or until the cluster has looked around.

    Status 1 for a job that failed, 2 for one that ended itself so: bad input that only the cluster could see.
    """
    try:
        entry = head.follow(job_id, lambda text: typer.echo(text, nl=False), None if follow else LOOKED)
    except KeyboardInterrupt:
        typer.echo(f"\nthe job goes on; `dirsweep jobs logs {job_id} --follow` shows it, `jobs stop` ends it")
        raise typer.Exit(130) from None
    if entry.status in ("FAILED", "STOPPED"):
        typer.echo(f"{job_id}: {entry.status.lower()}: {entry.message}", err=True)
        raise typer.Exit(2 if entry.code == 2 else 1)
    if not follow:
        typer.echo(f"its log   dirsweep jobs logs {job_id} --follow\nend it    dirsweep jobs stop {job_id}")


@jobs.command("list")
def list_jobs(address: Address = None) -> None:
    """List the jobs of a Ray cluster, the latest last.

    Example: dirsweep jobs list --address http://127.0.0.1:8265
    """
    import time

    from dirsweep.cluster.head import Head

    head = Head(address)
    found = head.jobs()
    if not found:
        typer.echo(f"{head.address}: no job yet; begin one with: dirsweep submit jobs/laptop.yaml --to ray")
    for one in found:
        began = "" if one.began is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(one.began))
        took = "" if one.began is None or one.ended is None else f"{one.ended - one.began:.0f} s"
        typer.echo(f"{one.id:<28} {one.status.lower():<10} {began:<17} {took}")


@jobs.command()
def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the job ends.")] = False,
    address: Address = None,
) -> None:
    """Print what a job has printed.

    Example: dirsweep jobs logs all-1-3f2a9c --follow
    """
    from dirsweep.cluster.head import Head

    head = Head(address)
    if follow:
        head.job(job_id)
        _watch(head, job_id, follow=True)
    else:
        typer.echo(head.logs(job_id), nl=False)


@jobs.command()
def stop(job_id: JobId, address: Address = None) -> None:
    """End a job; its trials save their state, and submitting it again goes on.

    Example: dirsweep jobs stop all-1-3f2a9c
    """
    from dirsweep.cluster.head import Head

    if Head(address).stop(job_id):
        typer.echo(f"{job_id}: its trials save their state and end; submit the job again to go on")
    else:
        typer.echo(f"{job_id}: had ended already")


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
    told = look_around(
        storage,
        given_resources(None, cpus_per_trial, gpus_per_trial),
        expected=expected,
        at_least=at_least,
        variables=variable or [],
        needs=needs or [],
    )
    typer.echo(f"{LOOKED}{told}")
