"""`dirsweep plan`: what a sweep would take."""

from pathlib import Path
from typing import Annotated

import typer

from dirsweep.cli.places import check_writable
from dirsweep.cli.shared import SWEEPS, Cpus, Gpus, Storage, Workers, checked_spec, given_resources, show
from dirsweep.cli.sweeps import with_trials

app = typer.Typer()


@app.command()
def plan(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A search space (YAML).")],
    storage: Storage = SWEEPS,
    trials: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Instead of the space's budget.")
    ] = None,
    workers: Workers = None,
    cpus_per_trial: Cpus = 1,
    gpus_per_trial: Gpus = 0.0,
) -> None:
    """Say what a sweep would take: time a few steps of its first configurations, train none.

    With --gpus-per-trial also how many trials are best to share a GPU, in a minute more.
    The report of the sweep will set the forecast beside what it took.

    Example: dirsweep plan search_spaces/all.yaml
    """
    check_writable(storage)
    space = checked_spec(spec)
    if trials is not None:
        space = with_trials(space, trials)

    from dirsweep import plan as plans

    resources = given_resources(workers, cpus_per_trial, gpus_per_trial)
    made = plans.make(space, storage, resources)
    show(plans.page(made))
    if found := plans.per_gpu(space, resources):
        show(plans.sharing(found))
    for refusal in plans.refusals(made):
        typer.echo(refusal)
