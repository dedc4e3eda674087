"""`dirsweep reproduce` and `dirsweep published`: the field's tables, run anew and as published."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dirsweep.cli.shared import Cpus, Gpus, Workers, given_resources, here

app = typer.Typer()

PLACE = Path("reproductions")
RECIPES = "diamonds, sts-b, sts-b-pretrained, agedb, agedb-rnc (Rank-N-Contrast recipe) or imdb-wiki."


class Size(StrEnum):
    """How much of a recipe is run."""

    smoke = "smoke"
    small = "small"
    full = "full"


@app.command()
def reproduce(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help=RECIPES),
    ],
    scale: Annotated[Size, typer.Option(help="How much of the published recipe is run.")] = Size.small,
    methods: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Some of the recipe's methods; vanilla is always among them."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Set a knob of every trial by its dotted name."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=here, help="Where it lies  [default: reproductions/RECIPE-SCALE]"),
    ] = None,
    workers: Workers = None,
    cpus_per_trial: Cpus = 1,
    gpus_per_trial: Gpus = 0.0,
) -> None:
    """Tune the field's methods on equal terms, each also with stage 2, and print ours beside the published.

    Interrupted, the same command goes on.

    Example: dirsweep reproduce sts-b --scale small
    """
    from dirsweep import reproduce as reproducing
    from dirsweep.cli.places import check_writable
    from dirsweep.cli.trials import parsed
    from dirsweep.storage import Folder

    found = reproducing.chosen(reproducing.read(recipe), methods)
    found = reproducing.with_values(found, dict(map(parsed, values or ())))
    place = PLACE / f"{recipe.replace('_', '-')}-{scale.value}" if out is None else out
    check_writable(Folder(place), "--out")
    typer.echo(f"reproduction {place}: checking the recipe and its data (Ctrl-C stops; nothing is lost)")
    try:
        text = reproducing.reproduce(
            found, scale.value, place, given_resources(workers, cpus_per_trial, gpus_per_trial), typer.echo
        )
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on, and what is trained is kept", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"\n{text}\nalso {place}/table.md, table.html, per_seed.csv, norms.svg")


@app.command()
def published(
    name: Annotated[str, typer.Argument(metavar="NAME", help="agedb-dir, imdb-wiki-dir or sts-b-dir.")],
) -> None:
    """Print a benchmark's published figures by method and source, and whether their parts add up.

    Example: dirsweep published agedb-dir
    """
    from dirsweep import reproduce as reproducing

    typer.echo(reproducing.published_page(name), nl=False)
