"""The command that draws trials."""

from typing import Annotated

import typer

from dirsweep.cli.shared import SWEEPS, Storage, Sweep, shorter, sweep_folder

app = typer.Typer()


@app.command()
def draw(
    sweep: Sweep,
    trials: Annotated[list[str], typer.Argument(metavar="NUMBER...", help="Trials, or controls by name.")],
    storage: Storage = SWEEPS,
) -> None:
    """Draw finished trials: norms, errors per bin, predictions, learning curves.

    The pictures (SVG) are put into the trials' folders, and beside their runs in MLflow.

    Example: dirsweep draw all-1 5 5-mu0
    """
    from dirsweep import publish
    from dirsweep import report as reports
    from dirsweep.report.drawing import draw_trial, drawable, trained

    found = reports.load(sweep_folder(sweep, storage))
    made = {}
    for trial in [drawable(found, name) for name in dict.fromkeys(trials)]:
        drawn = trained(found, trial)
        if drawn is not trial:
            typer.echo(f"{trial.trial} has the configuration of {drawn.trial}, so these are its pictures:")
        made[trial.trial] = draw_trial(found, drawn)
        for path in made[trial.trial]:
            typer.echo(shorter(path))
    if said := publish.pictures(found.folder, made):
        typer.echo(said)
