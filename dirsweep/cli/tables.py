"""`dirsweep init`: from a CSV file to a dataset file and a search space that runs."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def init(
    table: Annotated[Path, typer.Argument(metavar="DATA.csv", help="A table with a header.")],
    target: Annotated[str, typer.Option(metavar="COL", help="The column to predict, a number in every row.")],
    bin_width: Annotated[
        float | None,
        typer.Option(metavar="W", help="Width of a bin  [default: one that makes about 75 bins]"),
    ] = None,
) -> None:
    """Turn a table into a dataset file and a search space.

    Looks at the columns, proposes bins, shows the shots; writes into the current folder.

    Example: dirsweep init houses.csv --target price
    """
    from dirsweep import data
    from dirsweep.cli import starter
    from dirsweep.config import BinWidth, Csv

    dataset_file, space_file = (Path(f"{table.stem}.{kind}.yaml") for kind in ("dataset", "space"))
    for file in (dataset_file, space_file):
        if file.exists():
            raise ValueError(f"{file}: exists already; move it away, or use it: dirsweep validate {file}")
    columns = data.inspect_csv(table, target)
    if bin_width is not None and not bin_width > 0:
        raise ValueError(f"--bin-width must be greater than 0, found {bin_width:g}")
    bins = BinWidth(width=bin_width) if bin_width else data.propose_bins(data.read_labels(table, target))
    ignored = tuple(column.name for column in columns if column.kind in ("id-like", "constant"))
    config = Csv(path=str(table.resolve()), target=target, bins=bins, ignore=ignored)
    dataset = data.load(config)

    for column in columns:
        missing = f", {column.missing} missing" if column.missing else ""
        typer.echo(f"{column.name:<24} {column.kind:<12} {column.distinct} distinct{missing}")
    typer.echo(f"\n{data.describe(dataset)}\n")
    if not dataset.shots.masks["many"].any():
        typer.echo(
            "No bin is many-shot: name a larger --bin-width, or lower many_above and few_below in "
            f"{dataset_file}.\n"
        )
    starter.write(dataset_file, starter.dataset_text(config, os.path.relpath(table)))
    starter.write(space_file, starter.space_text(dataset, dataset_file))
    typer.echo(
        f"Wrote {dataset_file} (correct it where the guesses are wrong) and {space_file}. Next:\n"
        f"  {shlex.join(['dirsweep', 'validate', str(dataset_file), str(space_file)])}\n"
        f"  {shlex.join(['dirsweep', 'run', str(space_file)])}"
    )
