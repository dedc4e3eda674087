"""`dirsweep export`: a sweep for other programs."""

from typing import Annotated

import typer

from dirsweep.cli.shared import SWEEPS, Storage, Sweep, sweep_folder

app = typer.Typer()


@app.command()
def export(
    sweep: Sweep,
    optuna: Annotated[
        str, typer.Option(metavar="sqlite:///FILE", help="Database to add an Optuna study of its name to.")
    ],
    storage: Storage = SWEEPS,
) -> None:
    """Write a sweep as an Optuna study, which optuna-dashboard opens.

    Open trials are waiting ones there; controls are attributes of the study.

    Example: dirsweep export all-1 --optuna sqlite:///all-1.db
    """
    folder = sweep_folder(sweep, storage)

    from dirsweep.search import export as exports

    typer.echo(f"writing {folder} as a study (half a minute for 1,000 trials)")
    done = exports.export(folder, optuna)
    said = f"{done.trials} trials"
    said += f", {done.waiting} of them open and so waiting" if done.waiting else ""
    said += f", and after them {done.earlier} of earlier sweeps" if done.earlier else ""
    typer.echo(f"study {done.study}: {said}\nopen it: optuna-dashboard {done.uri}")
