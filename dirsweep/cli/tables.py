"""`dirsweep init`: from a table, or a folder of images with one, to a dataset and a search space that run."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dirsweep.config import BinWidth, Csv, Images
    from dirsweep.data import Column

app = typer.Typer()


@app.command()
def init(
    table: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A CSV file with a header, or a folder with one and images."),
    ],
    target: Annotated[str, typer.Option(metavar="COL", help="The column to predict, a number in every row.")],
    bin_width: Annotated[
        float | None,
        typer.Option(metavar="W", help="Width of a bin  [default: one that suits the number of rows]"),
    ] = None,
) -> None:
    """Turn a table, or a folder of images with a table of labels, into a dataset file and a search space.

    Looks at the columns, takes a split that one of them says (train, val, test), finds the images that one
    names and decodes them, proposes bins, shows the shots; writes into the current folder.

    Example: dirsweep init houses.csv --target price
    """
    from dirsweep import data
    from dirsweep.cli import starter
    from dirsweep.config import BinWidth

    if table.is_dir():
        table = data.only_table(table)
    stem = table.stem
    dataset_file, space_file = (Path(f"{stem}.{kind}.yaml") for kind in ("dataset", "space"))
    for file in (dataset_file, space_file):
        if file.exists():
            raise ValueError(f"{file}: exists already; move it away, or use it: dirsweep validate {file}")
    columns = data.inspect_csv(table, target)
    if bin_width is not None and not bin_width > 0:
        raise ValueError(f"--bin-width must be greater than 0, found {bin_width:g}")
    label = data.read_labels(table, target)
    bins = BinWidth(width=bin_width) if bin_width else data.propose_bins(label, data.wanted_bins(len(label)))
    config = _proposed(table, target, bins, columns)
    if config.split_column is None:
        config = config.model_copy(update={"held_out_per_bin": data.propose_held_out(label, bins)})

    for column in columns:
        missing = f", {column.missing} missing" if column.missing else ""
        role = _role(config, column.name) or column.kind
        typer.echo(f"{column.name:<24} {role:<12} {column.distinct} distinct{missing}")
    _tell_of_choices(config, columns)
    _make_ready(config)
    many, few = data.propose_shots(data.load(config).shots.counts)
    config = config.model_copy(update={"many_above": many, "few_below": few})
    dataset = data.load(config)
    typer.echo(f"\n{data.describe(dataset)}\n")
    if not dataset.shots.masks["many"].any():
        typer.echo(
            "No bin is many-shot: name a larger --bin-width, or lower many_above and few_below in "
            f"{dataset_file}.\n"
        )
    starter.write(dataset_file, starter.dataset_text(config, _from_here))
    starter.write(space_file, starter.space_text(dataset, dataset_file, config.kind))
    typer.echo(
        f"Wrote {dataset_file} (correct it where the guesses are wrong) and {space_file}. Next:\n"
        f"  {shlex.join(['dirsweep', 'validate', str(dataset_file), str(space_file)])}\n"
        f"  {shlex.join(['dirsweep', 'run', str(space_file)])}"
    )


def _from_here(place: str) -> str:
    """A place by its path from the current folder; by its absolute one if it lies elsewhere."""
    found = os.path.relpath(place)
    return os.path.abspath(place) if Path(found).parts[:1] == ("..",) else found


def _proposed(table: Path, target: str, bins: "BinWidth", columns: "list[Column]") -> "Csv | Images":
    """How to read the table, by what its columns look like."""
    from dirsweep import data
    from dirsweep.config import Csv, Images

    found = data.find_images(table, target)
    split, group = (
        next((one.name for one in columns if one.kind == kind), None) for kind in ("split", "group")
    )
    path = str(table.resolve())
    if found is None:
        unused = [one.name for one in columns if one.kind in ("id-like", "constant", "split")]
        return Csv(
            path=path,
            target=target,
            bins=bins,
            ignore=tuple(name for name in unused if name != split),
            categorical=tuple(one.name for one in columns if one.stray and one.kind == "categorical"),
            split_column=split,
            group_column=group,
        )
    return Images(
        path=path,
        folder=str(found.folder.resolve()),
        target=target,
        bins=bins,
        image_column=found.column,
        numbers=tuple(one.name for one in columns if one.kind == "numeric" and one.name != found.column),
        channels=found.channels,
        split_column=split,
        group_column=None if group == found.column else group,
    )


def _tell_of_choices(config: "Csv | Images", columns: "list[Column]") -> None:
    """Say what was decided that a user might not expect."""
    if config.split_column is not None:
        typer.echo(f"\nThe split is the one that the column {config.split_column!r} says.")
    for column in columns:
        if column.stray and column.kind in ("categorical", "id-like") and not _role(config, column.name):
            taken = "as categories" if column.name in getattr(config, "categorical", ()) else "for no input"
            typer.echo(
                f"\n{column.name} holds numbers, but text in {column.stray}, so it is taken {taken}; to have "
                "it as numbers, correct or empty such cells, and run init again."
            )


def _role(config: "Csv | Images", column: str) -> str:
    """What a column of a folder of images is taken for, where its kind does not say it."""
    from dirsweep.config import Images

    if isinstance(config, Images):
        return {config.image_column: "image", config.group_column: "group"}.get(column, "")
    return ""


def _make_ready(config: "Csv | Images") -> None:
    """Decode the images, if it is a folder of images."""
    from dirsweep.cli.datasets import progress, tell
    from dirsweep.config import Images
    from dirsweep.data import images

    if isinstance(config, Images):
        typer.echo("")
        with progress() as told:
            tell(images.prepare(config, told))
