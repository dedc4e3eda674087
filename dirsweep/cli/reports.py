"""Commands that say what came out of sweeps: report, compare."""

from pathlib import Path
from typing import Annotated

import typer

from dirsweep.cli.places import check_file
from dirsweep.cli.shared import SWEEPS, Storage, Sweep, show, sweep_folder

app = typer.Typer()


@app.command()
def report(
    sweep: Sweep,
    as_json: Annotated[bool, typer.Option("--json", help="Every trial as one JSON object.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page for the browser, in one file.")
    ] = None,
    storage: Storage = SWEEPS,
) -> None:
    """Print a sweep's leaderboard beside its controls, or write a page with all of it.

    Example: dirsweep report all-1 --html all-1.html
    """
    import json

    from dirsweep import report as reports

    if as_json and html is not None:
        raise ValueError("--json prints one report and --html writes another; leave one out")
    if html is not None:
        check_file(html)
    found = reports.load(sweep_folder(sweep, storage))
    if html is not None:
        from dirsweep.report.html import page

        html.write_text(page(found), encoding="utf-8")
        typer.echo(f"wrote {html}")
    elif as_json:
        typer.echo(json.dumps(reports.as_json(found), indent=1, allow_nan=False))
    else:
        show(reports.leaderboard(found))


@app.command()
def compare(
    sweeps: Annotated[
        list[str], typer.Argument(metavar="SWEEP...", help="Sweeps' folders, or their names in --storage.")
    ],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page for the browser, in one file.")
    ] = None,
    storage: Storage = SWEEPS,
) -> None:
    """Print several sweeps' winners beside one another, with a benchmark's published figures.

    Example: dirsweep compare all-1 strength-1 --html compare.html
    """
    from dirsweep import report as reports
    from dirsweep.report.compare import comparable
    from dirsweep.report.side_by_side import comparison

    if html is not None:
        check_file(html)
    groups = comparable([reports.load(sweep_folder(one, storage)) for one in sweeps])
    if html is None:
        show(comparison(groups))
        return
    from dirsweep.report.html import compare_page

    html.write_text(compare_page(groups), encoding="utf-8")
    typer.echo(f"wrote {html}")
