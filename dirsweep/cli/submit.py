"""Hand a sweep to a cluster: to a running Ray, to KubeRay or to Slurm."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dirsweep.cli.jobs import Address, Kind, on_kuberay, tell_commands, watch, watch_kuberay, watch_slurm

if TYPE_CHECKING:
    from dirsweep.cluster.job import Job

app = typer.Typer()


@app.command()
def submit(
    job: Annotated[Path, typer.Argument(metavar="JOB", help="A job, or a search space alone (YAML).")],
    to: Annotated[Kind, typer.Option(help="Which kind of cluster.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be handed over.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Print the job's log until it ends.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write the manifest or script, only.")
    ] = None,
    address: Address = None,
) -> None:
    """Hand a sweep to a cluster.

    Example: dirsweep submit jobs/slurm2.yaml --to slurm --dry-run
    """
    from dirsweep.cluster.job import read_job

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
            _to_kubernetes(wanted, dry_run, out, follow)
        else:
            _to_slurm(wanted, dry_run, out, follow)
    except ValueError as error:
        told = str(error)
        raise ValueError(told if told.startswith(wanted.space) else f"{job}: {told}") from None


def _to_kubernetes(job: "Job", dry_run: bool, out: Path | None, follow: bool) -> None:
    from dirsweep.cluster import kubectl, kuberay

    text = kuberay.manifests(job)
    if dry_run:
        typer.echo(text, nl=False)
        return
    said = kubectl.apply(text) if out is None else None
    if said is None:
        if follow:
            raise ValueError("--follow: no kubectl is on the PATH; without --follow the manifest is written")
        _written(text, out or Path(f"{job.name}.rayjob.yaml"), "kubectl apply -f")
        return
    typer.echo(said)
    namespace = job.kubernetes.namespace if job.kubernetes else None
    if follow:
        watch_kuberay(job.name, namespace)
        return
    tell_commands(on_kuberay(job.name, namespace))


def _to_slurm(job: "Job", dry_run: bool, out: Path | None, follow: bool) -> None:
    from dirsweep.cluster import slurm, slurm_nodes

    text = slurm.script(job)
    if dry_run:
        typer.echo(text, nl=False)
        return
    if out is None:
        slurm_nodes.check(job)
    job_id = slurm.submit(text) if out is None else None
    if job_id is None:
        if follow:
            raise ValueError("--follow: no sbatch is on the PATH; without --follow the script is written")
        _written(text, out or Path(f"{job.name}.sbatch"), "sbatch")
        return
    typer.echo(f"submitted job {job_id}")
    if follow:
        watch_slurm(job_id)
        return
    tell_commands(f"{job_id} --to slurm")


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
    watch(head, job_id, follow)
