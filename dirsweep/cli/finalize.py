"""`dirsweep finalize`: the verdict on a sweep."""

from typing import Annotated

import typer

from dirsweep.cli.shared import (
    SWEEPS,
    Cpus,
    Gpus,
    Storage,
    Sweep,
    Workers,
    given_resources,
    publish,
    sweep_folder,
)

app = typer.Typer()


@app.command()
def finalize(
    sweep: Sweep,
    top: Annotated[int, typer.Option(min=1, metavar="K", help="How many of the best trials are judged.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Fresh seeds of every configuration.")] = 5,
    primary: Annotated[
        str | None,
        typer.Option(
            metavar="CONTROL:SHOT",
            help="The comparison that counts most  [default: mu0:few where it applies]",
        ),
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also judge the winner's parts one by one.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take; train and open nothing.")
    ] = False,
    no_open: Annotated[bool, typer.Option("--no-open", help="Train, and leave test sealed.")] = False,
    storage: Storage = SWEEPS,
    workers: Workers = None,
    cpus_per_trial: Cpus = 1,
    gpus_per_trial: Gpus = 0.0,
) -> None:
    """Retrain the best trials and their controls over fresh seeds, open test once, and say what holds.

    Interrupted, the same command goes on.

    Example: dirsweep finalize all-1 --top 2 --seeds 10
    """
    if dry_run and no_open:
        raise ValueError("--no-open would do nothing beside --dry-run; leave one out")
    folder = sweep_folder(sweep, storage)

    from dirsweep import finalize as finalizing

    settings = finalizing.Settings(top=top, seeds=seeds, ablate=ablate, primary=primary)
    if dry_run:
        typer.echo(finalizing.forecast(folder, settings), nl=False)
        return
    resources = given_resources(workers, cpus_per_trial, gpus_per_trial)
    try:
        text = finalizing.finalize(folder, settings, resources, typer.echo, sealed=no_open)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on, and what is trained is kept", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"\n{text}", nl=False)
    publish(folder)
