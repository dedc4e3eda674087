"""Commands on what MLflow has of sweeps: browse it, rebuild it."""

import webbrowser
from typing import Annotated

import typer

from dirsweep.cli.shared import SWEEPS, Storage, Sweep, mlflow_store, shorter, store_uri, sweep_folder

app = typer.Typer()


@app.command()
def ui(
    sweep: Annotated[
        str | None,
        typer.Argument(metavar="[SWEEP]", help="Open at this sweep  [default: the newest in --storage]"),
    ] = None,
    storage: Storage = SWEEPS,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")
    ] = 5000,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the browser too.")] = False,
    tracking_uri: Annotated[
        str | None,
        typer.Option(metavar="URI", parser=mlflow_store, help="Another store  [default: the sweep's own]"),
    ] = None,
) -> None:
    """Browse sweeps in MLflow's UI, on this machine alone.

    Example: dirsweep ui all-1 --open
    """
    from dirsweep import publish, tracking
    from dirsweep.ledger import Ledger
    from dirsweep.sweep.place import own_store

    folder = None if sweep is None else sweep_folder(sweep, storage)
    uri = tracking_uri
    if folder is not None and uri is None:
        uri = own_store(folder, Ledger.open(folder).records)
        if uri is None:
            raise ValueError(
                f"{folder}: was run without tracking; `dirsweep sync {shorter(folder)}` brings it into MLflow"
            )
    uri = store_uri(uri, storage)
    folder = folder or publish.newest(storage, uri)

    def page() -> str:
        return "" if folder is None else publish.page(folder, uri)

    def announce(address: str, hint: str = "  (Ctrl-C ends it)") -> None:
        typer.echo(f"{address}{hint}")
        if open_browser:
            webbrowser.open(address)

    if tracking.database_path(uri) is None:  # a server, which has its own
        announce(f"{tracking.shown(uri).rstrip('/')}/{page()}", hint="")
    else:
        typer.echo("starting MLflow ...")
        tracking.serve_ui(storage, port, uri, announce, page)


@app.command()
def sync(
    sweep: Sweep,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            parser=mlflow_store,
            help="MLflow store  [default: the sweep's own, else sqlite beside it]",
        ),
    ] = None,
    storage: Storage = SWEEPS,
) -> None:
    """Rebuild a sweep in MLflow from its ledger and its trials' folders.

    For a store that was lost, or another one: nothing is there twice, however often it runs.

    Example: dirsweep sync all-1 --to http://127.0.0.1:5000
    """
    from dirsweep import publish

    folder = sweep_folder(sweep, storage)
    done = publish.sync(folder, to, typer.echo)
    still = f", {done.open_trials} of them open" if done.open_trials else ""
    typer.echo(f"{shorter(folder)}: the sweep and {done.trials} trials and controls{still} are in {done.uri}")
    if done.running:
        typer.echo("its driver runs: sync again when it has ended, for what is to come")
    for sentence in done.left:
        typer.echo(f"missing there: {sentence}", err=True)
    if done.uri.startswith("http"):
        typer.echo(f"{done.uri.rstrip('/')}/{done.address}")
    else:
        typer.echo(
            f"browse it: dirsweep ui {shorter(folder)}{'' if to is None else f' --tracking-uri {done.uri}'}"
        )
    if done.left:
        raise typer.Exit(1)
