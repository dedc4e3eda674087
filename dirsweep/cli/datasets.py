"""`dirsweep data`: which datasets there are, how one looks, and making one ready."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dirsweep.cli.shared import read_dataset

if TYPE_CHECKING:
    from dirsweep.config import DatasetConfig
    from dirsweep.data.images import Prepared

app = typer.Typer()
datasets = typer.Typer(help="The datasets there are.", no_args_is_help=True)
app.add_typer(datasets, name="data")

MOST_NAMED = 20


@datasets.command("list")
def list_datasets() -> None:
    """List the datasets that dirsweep knows by name, and dataset files here.

    Example: dirsweep data list
    """
    from dirsweep.config import AgeDBDir, Diamonds, IMDBWikiDir, StsBDir

    for known in (Diamonds, StsBDir, AgeDBDir, IMDBWikiDir):
        typer.echo(f"{known.model_fields['name'].default:<24}  {(known.__doc__ or '').splitlines()[0]}")
    for path in sorted(Path().glob("*.dataset.yaml")):
        typer.echo(f"{path!s:<24}  your own; `dirsweep data show {path}`")
    typer.echo("A table or a folder of images of your own: dirsweep init DATA --target COLUMN")


@datasets.command("show")
def show_dataset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A dataset's name, or a dataset file (YAML).")],
) -> None:
    """Show a dataset: rows per split, shots, how the training labels spread over the bins.

    Example: dirsweep data show diamonds
    """
    from dirsweep import data

    typer.echo(data.describe(data.load(read_dataset(name))))


@datasets.command("prepare")
def prepare(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="sts-b-dir, agedb-dir, imdb-wiki-dir, or a dataset file (YAML) of images."
        ),
    ],
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Faces: the folder that the CSV's paths start at (it has AgeDB/)."),
    ] = None,
    split: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Faces: the benchmark's CSV (age, path, split).")
    ] = None,
    size: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Faces: height and width  [default: 224]", min=1)
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Benchmarks: where to put them  [default: the user's cache]"),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="ADDRESS", help="sts-b-dir: a mirror of its files.")
    ] = None,
) -> None:
    """Make a dataset ready: fetch its files, or decode its images once.

    Decoding can be stopped and started again. Images that cannot be read are listed and left out; once they
    are mended, the same command takes them in.

    Example: dirsweep data prepare agedb-dir --images faces --split agedb.csv
    """
    benchmark = name.replace("_", "-")
    faces = benchmark in ("agedb-dir", "imdb-wiki-dir")
    given = {"--images": images, "--split": split, "--size": size, "--to": to, "--from": source}
    allowed = {"sts-b-dir": ("--to", "--from")}.get(benchmark, ("--images", "--split", "--size", "--to"))
    for option, value in given.items():
        if value is not None and option not in (allowed if faces or benchmark == "sts-b-dir" else ()):
            raise ValueError(f"{option} does nothing for {name}; leave it out")
    if benchmark == "sts-b-dir":
        from dirsweep.data import sts_b_dir

        folder = sts_b_dir.download(to, source)
        typer.echo(f"three files in {folder}; look at them: dirsweep data show sts_b_dir")
    elif faces:
        _faces(benchmark, images, split, size, to)
    else:
        _images(name)


def _faces(
    benchmark: str, images: Path | None, split: Path | None, size: int | None, to: Path | None
) -> None:
    from dirsweep.config import AgeDBDir, IMDBWikiDir
    from dirsweep.data import agedb_dir, imdb_wiki_dir

    where = agedb_dir.WHERE if benchmark == "agedb-dir" else imdb_wiki_dir.WHERE
    if images is None or split is None:
        raise ValueError(f"{benchmark}: give --images DIR and --split FILE; {where}")
    chosen = {"path": str(to.resolve()) if to else None} | ({"size": size} if size else {})
    with progress() as told:
        if benchmark == "agedb-dir":
            done = agedb_dir.prepare(AgeDBDir(**chosen), images, split, told)
        else:
            done = imdb_wiki_dir.prepare(IMDBWikiDir(**chosen), images, split, told)
    tell(done, "" if to or size else f"dirsweep data show {benchmark}")


def _images(name: str) -> None:
    from dirsweep.config import Images
    from dirsweep.data import images

    config: DatasetConfig = read_dataset(name)
    if not isinstance(config, Images):
        raise ValueError(f"{name}: nothing to prepare for a dataset of the kind {config.name}")
    with progress() as told:
        done = images.prepare(config, told)
    tell(done, f"dirsweep data show {name}")


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line for every tenth elsewhere; Ctrl-C is no error."""

    try:
        with _drawn() as told:
            yield told
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on", err=True)
        raise typer.Exit(130) from None


@contextmanager
def _drawn() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("decoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("decoding", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    tenths = 0

    def line(done: int, total: int) -> None:
        nonlocal tenths
        if 10 * done // total > tenths:
            tenths = 10 * done // total
            typer.echo(f"{done:,} of {total:,} images", err=True)

    yield line


def tell(done: "Prepared", look: str = "") -> None:
    """Say what was decoded, and what could not be."""
    counts = ", ".join(f"{side} {count:,}" for side, count in done.manifest.counts.items())
    recipe = done.manifest.recipe
    kept = sum(done.manifest.counts.values()) * recipe.shape[0] * recipe.shape[1] * recipe.shape[2]
    typer.echo(f"images: {counts}; {recipe.size} x {recipe.size} {recipe.channels}, {kept / 1e6:,.1f} MB")
    typer.echo(f"decoded in {done.folder}")
    if done.unreadable:
        typer.echo(f"left out, since they cannot be read ({len(done.unreadable)}):")
        for image, why in list(done.unreadable.items())[:MOST_NAMED]:
            typer.echo(f"  {image}: {why}")
        if len(done.unreadable) > MOST_NAMED:
            typer.echo(f"  and {len(done.unreadable) - MOST_NAMED} more; all are in manifest.json there")
    if look:
        typer.echo(f"look at them: {look}")
