"""`dirsweep replay`: does a tracked trial give its numbers again?"""

from typing import Annotated, Any

import typer

from dirsweep.cli.shared import SWEEPS, Storage, store_uri
from dirsweep.cli.sweeps import Uri

app = typer.Typer()

LINES = 20
"""About as many epochs of a trial are shown."""


@app.command()
def replay(
    run: Annotated[str, typer.Argument(metavar="RUN_ID", help="Id of a trial's run in MLflow.")],
    tracking_uri: Uri = None,
    storage: Storage = SWEEPS,
) -> None:
    """Run a trial again from its MLflow record alone and compare: identical, or the first difference.

    The status is 0 if all numbers are the same and 1 if they differ.

    Example: dirsweep replay 0f3c9a7be1d24c5f8a6b7c8d9e0f1a2b
    """
    from dirsweep import replay as replaying
    from dirsweep import report
    from dirsweep.tracking.record import read_run

    record = read_run(store_uri(tracking_uri, storage), run)
    typer.echo(f"{record.name}, again from its record alone")

    def show_epoch(one: dict[str, Any]) -> None:
        if one["epoch"] % max(1, one["of"] // LINES) == 0 or one["epoch"] == one["of"]:
            typer.echo(report.epoch_line(one, replaying.config_of(record).dataset.metrics[0]))

    try:
        outcome = replaying.replay(record, typer.echo, show_epoch)
    except KeyboardInterrupt:
        typer.echo("stopped; nothing is kept", err=True)
        raise typer.Exit(130) from None
    typer.echo(replaying.in_words(outcome))
    if not outcome.identical:
        raise typer.Exit(1)
